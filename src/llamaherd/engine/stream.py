"""The caller's end of a request."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator

from llamaherd.engine.request import Event, FinishEvent, PromptEvent, TokenEvent


class TokenStream:
    """Iterates over a request's events; afterwards ``finish`` tells how it ended.

    One thread at a time iterates; any thread may cancel. Leaving the stream (``close``, the end of
    a ``with``, garbage collection) cancels the request within a step.
    """

    def __init__(self, events: queue.SimpleQueue[Event], cancel: Callable[[], None]) -> None:
        self._events, self._cancel = events, cancel
        self.finish: FinishEvent | None = None

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
            self.finish = event
            if event.error is not None:
                raise event.error
        raise StopIteration

    def cancel(self) -> None:
        """End the request; what it produced and its finish event still arrive. Any thread."""
        if self.finish is None:
            self._cancel()

    def close(self) -> None:
        """Cancel, for a caller who wants nothing more."""
        self.cancel()

    def __enter__(self) -> TokenStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "finish"):
            self.cancel()
