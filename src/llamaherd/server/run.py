"""The server as a process: sockets, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import uvicorn

from llamaherd.errors import LlamaHerdError, OptionError
from llamaherd.server.app import create_app
from llamaherd.server.settings import Settings

logger = logging.getLogger("llamaherd.server")
IDLE_S = 75
"""Seconds that an idle connection stays open: clients keep theirs for the next request."""
TICKS_A_LOOK = 20
"""Of uvicorn's ten ticks a second, one look at the configuration's file."""
LAST_WORDS_S = 5
"""Seconds beyond the grace period in which the events that end streams must be sent."""


class Server(uvicorn.Server):
    """Serves models until it is told to stop.

    Told to stop, it accepts nothing more, lets answers finish for ``grace_s``, then ends what still
    runs with an event that says so. Told to read its configuration again, by SIGHUP or by a change
    of the file, it loads and unloads models without touching answers that run.

    Args:
        config: the file of the configuration.
        reread: reads it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        config: Path | None = None,
        reread: Callable[[], Settings] | None = None,
    ) -> None:
        self._failure: BaseException | None = None
        self._config, self._reread = config, reread
        self._changed = _modified(config)
        self._settings = settings
        self.app = create_app(settings, on_failure=self._fail)
        params = settings.server
        super().__init__(
            uvicorn.Config(
                self.app,
                host=params.host,
                port=params.port,
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                ws="none",
                timeout_keep_alive=IDLE_S,
                timeout_graceful_shutdown=int(params.grace_s) + LAST_WORDS_S,
            )
        )

    @property
    def url(self) -> str:
        """Where it listens."""
        address = self.servers[0].sockets[0].getsockname()
        host = f"[{address[0]}]" if ":" in address[0] else address[0]
        return f"http://{host}:{address[1]}"

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until stopped.

        Raises:
            OptionError: the address cannot be listened on.
            LlamaHerdError: a model that was wanted from the start cannot be loaded.
        """
        super().run(sockets or [self._bound()])
        if self._failure is not None:
            raise self._failure

    def _bound(self) -> socket.socket:
        """A socket on the address, before any model is loaded."""
        host, port = self.config.host, self.config.port
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            return socket.create_server((host, port), family=family, backlog=self.config.backlog)
        except OSError as error:
            expected = f"an address that is free ({error.strerror}): choose another --port"
            raise OptionError("host and port", f"{host}:{port}", expected) from error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            self._watch_for_hangups()
            names = ", ".join(model.name for model in self._settings.models)
            logger.info("serving %s at %s", names, self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers finish, then end the rest."""
        service = self.app.state.service
        asyncio.get_running_loop().call_later(self._settings.server.grace_s, service.stop_all)
        await super().shutdown(sockets)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: see whether the configuration has changed."""
        if counter % TICKS_A_LOOK == 0 and _modified(self._config) != self._changed:
            self._changed = _modified(self._config)
            self.reload()
        return await super().on_tick(counter)

    def reload(self) -> None:
        """Read the configuration again; a wrong one is told in the log and changes nothing."""
        if self._reread is None:
            return
        try:
            settings = self._reread()
        except (LlamaHerdError, OSError) as error:
            logger.error("the configuration stays as it was: %s", error)
            return
        logger.info("the configuration is read again")
        self.app.state.service.configure(settings)

    def _watch_for_hangups(self) -> None:
        if hasattr(signal, "SIGHUP") and threading.current_thread() is threading.main_thread():
            self.loop.add_signal_handler(signal.SIGHUP, self.reload)

    def _fail(self, error: BaseException) -> None:
        self._failure, self.should_exit = error, True


def _modified(path: Path | None) -> float:
    try:
        return 0.0 if path is None else path.stat().st_mtime
    except OSError:  # an editor may be about to replace it
        return 0.0
