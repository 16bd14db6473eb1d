"""The real server on a free loopback port, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, TypeVar

from llamaherd import Llama
from llamaherd.server.run import Server
from llamaherd.server.service import Service
from llamaherd.server.settings import ModelSettings, ServerParams, Settings

_T = TypeVar("_T")
DEMO = ModelSettings(name="demo", file="demo", options={"n_threads": 1, "n_ctx": 4096})


class Running:
    """A server that runs.

    Attributes:
        url: without a slash at the end.
    """

    def __init__(self, server: Server) -> None:
        self.server, self.url = server, server.url

    @property
    def service(self) -> Service:
        """What its routes use."""
        service: Service = self.server.app.state.service
        return service

    @property
    def llm(self) -> Llama:
        """Its first model, loaded."""
        wait_until(lambda: next(iter(self.service.models)).llm is not None)
        llm = next(iter(self.service.models)).llm
        assert llm is not None
        return llm

    def on_loop(self, function: Callable[[], Any]) -> Any:
        """The result of a function (or coroutine function) on the server's event loop."""
        done: Future[Any] = Future()

        async def call() -> None:
            try:
                found = function()
                done.set_result(await found if asyncio.iscoroutine(found) else found)
            except BaseException as error:
                done.set_exception(error)

        asyncio.run_coroutine_threadsafe(call(), self.server.loop)
        return done.result(timeout=60)


def settings(*models: ModelSettings, **params: Any) -> Settings:
    """Settings for a test: a free port, the demo model unless others are named."""
    return Settings(ServerParams(**{"port": 0, "grace_s": 2.0, **params}), models or (DEMO,))


@contextmanager
def serving(*models: ModelSettings, **params: Any) -> Iterator[Running]:
    """A server, stopped at the end."""
    server = Server(settings(*models, **params))
    thread = threading.Thread(target=server.run, name="server")
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        yield Running(server)
    finally:
        server.should_exit = True
        thread.join(timeout=60)
        assert not thread.is_alive(), "the server does not stop"


def wait_until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    """Come back once something holds; fail if it never does."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
