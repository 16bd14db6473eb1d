"""The server as a process: sockets, signals, and an orderly end."""

from __future__ import annotations

import asyncio
import logging
import socket

import uvicorn

from llamaherd.server.app import create_app
from llamaherd.server.settings import Settings

logger = logging.getLogger("llamaherd.server")
IDLE_S = 75
"""Seconds that an idle connection stays open: clients keep theirs for the next request."""
LAST_WORDS_S = 5
"""Seconds beyond the grace period in which the events that end streams must be sent."""


class Server(uvicorn.Server):
    """Serves models until it is told to stop.

    Told to stop, it accepts nothing more, lets answers finish for ``grace_s``, then ends what still
    runs with an event that says so.
    """

    def __init__(self, settings: Settings) -> None:
        self._failure: BaseException | None = None
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
            LlamaHerdError: a model that was wanted from the start cannot be loaded.
        """
        super().run(sockets)
        if self._failure is not None:
            raise self._failure

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        if self.started:
            names = ", ".join(model.name for model in self._settings.models)
            logger.info("serving %s at %s", names, self.url)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let answers finish, then end the rest."""
        service = self.app.state.service
        asyncio.get_running_loop().call_later(self._settings.server.grace_s, service.stop_all)
        await super().shutdown(sockets)

    def _fail(self, error: BaseException) -> None:
        self._failure, self.should_exit = error, True
