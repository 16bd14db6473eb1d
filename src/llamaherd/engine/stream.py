"""The caller's end of a request."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Callable, Iterator

from llamaherd.engine.request import Event, FinishEvent, PromptEvent, TokenEvent


class _Stream:
    """What both kinds share: ``finish`` tells how the request ended, once it has.

    Dropping a stream cancels its request within a step.
    """

    finish: FinishEvent | None = None

    def __init__(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel

    def cancel(self) -> None:
        """End the request; what it produced and its finish event still arrive. Any thread."""
        if self.finish is None:
            self._cancel()

    def _ended(self, event: FinishEvent) -> None:
        self.finish = event
        if event.error is not None:
            raise event.error

    def __del__(self) -> None:
        if hasattr(self, "_cancel"):
            self.cancel()


class TokenStream(_Stream):
    """Iterates over a request's events. One thread at a time."""

    def __init__(self, events: queue.SimpleQueue[Event], cancel: Callable[[], None]) -> None:
        super().__init__(cancel)
        self._events = events

    def __iter__(self) -> Iterator[PromptEvent | TokenEvent]:
        return self

    def __next__(self) -> PromptEvent | TokenEvent:
        """The next event; waits for it.

        Raises:
            LlamaHerdError: the request failed, once its text has been delivered.
        """
        if self.finish is None:
            event = self._events.get()
            if not isinstance(event, FinishEvent):
                return event
            self._ended(event)
        raise StopIteration


class AsyncTokenStream(_Stream):
    """The same for one coroutine: the engine's thread wakes its event loop for each event."""

    def __init__(self, events: asyncio.Queue[Event], cancel: Callable[[], None]) -> None:
        super().__init__(cancel)
        self._events = events

    def __aiter__(self) -> AsyncIterator[PromptEvent | TokenEvent]:
        return self

    async def __anext__(self) -> PromptEvent | TokenEvent:
        """The next event; waits for it.

        Raises:
            LlamaHerdError: the request failed, once its text has been delivered.
        """
        if self.finish is None:
            event = await self._events.get()
            if not isinstance(event, FinishEvent):
                return event
            self._ended(event)
        raise StopAsyncIteration


def to_loop(
    loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Event]
) -> Callable[[Event], None]:
    """An ``emit`` that puts events into a queue of ``loop`` from another thread."""

    def emit(event: Event) -> None:
        try:
            loop.call_soon_threadsafe(events.put_nowait, event)
        except RuntimeError:
            pass  # the loop was closed: nobody is left to tell

    return emit
