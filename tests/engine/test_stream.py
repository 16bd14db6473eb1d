"""Events on their way to an event loop."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from llamaherd.engine import TokenEvent
from llamaherd.engine.request import Indexed
from llamaherd.engine.stream import to_loop


def test_events_that_come_together_wake_a_loop_once() -> None:
    async def receive() -> tuple[int, list[int]]:
        loop = asyncio.get_running_loop()
        call, n_calls = loop.call_soon_threadsafe, 0

        def counted(*args: Any) -> Any:
            nonlocal n_calls
            n_calls += 1
            return call(*args)

        loop.call_soon_threadsafe = counted  # type: ignore[method-assign, assignment]
        queues = [asyncio.Queue[Indexed]() for _ in range(3)]
        emits = [to_loop(loop, events) for events in queues]

        def step(first: int) -> None:
            for number, emit in enumerate(emits):
                emit((0, TokenEvent("", (first + number,))))

        for first in (0, 10):
            engine = threading.Thread(target=step, args=(first,))
            engine.start()
            engine.join()  # the loop is busy meanwhile
            await asyncio.sleep(0)
        found = [await events.get() for _ in range(2) for events in queues]
        loop.call_soon_threadsafe = call  # type: ignore[method-assign]
        tokens = [event.tokens[0] for _, event in found if isinstance(event, TokenEvent)]
        return n_calls, tokens

    n_calls, tokens = asyncio.run(receive())
    assert n_calls == 2
    assert tokens == [0, 1, 2, 10, 11, 12]


def test_a_loop_that_was_closed_hears_nothing() -> None:
    async def prepare() -> Any:
        return to_loop(asyncio.get_running_loop(), asyncio.Queue())

    emit = asyncio.run(prepare())
    emit((0, TokenEvent("", (1,))))
    emit((0, TokenEvent("", (2,))))
