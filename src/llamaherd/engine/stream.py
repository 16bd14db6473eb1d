"""The caller's end of one or more requests."""

from __future__ import annotations

import asyncio
import queue
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial

from llamaherd.engine.request import Event, FinishEvent, Indexed


class _Stream:
    """What both kinds share.

    Dropping a stream cancels its requests within a step.

    Attributes:
        failed: index of a request that ended with an error, once that was raised.
    """

    failed = 0

    def __init__(self, n_requests: int, cancel: Callable[[], None]) -> None:
        self._n_unfinished, self._cancel = n_requests, cancel

    @property
    def done(self) -> bool:
        """Whether every request has ended."""
        return self._n_unfinished == 0

    def cancel(self) -> None:
        """End the requests; what they produced and their finish events still arrive. Any thread."""
        if not self.done:
            self._cancel()

    def _note(self, index: int, event: Event) -> None:
        if isinstance(event, FinishEvent):
            self._n_unfinished -= 1
            if event.error is not None:
                self.failed = index
                self.cancel()
                raise event.error

    def __del__(self) -> None:
        if hasattr(self, "_cancel"):
            self.cancel()


class TokenStream(_Stream):
    """Iterates over the events of requests as they come. One thread at a time."""

    def __init__(
        self, events: queue.SimpleQueue[Indexed], n_requests: int, cancel: Callable[[], None]
    ) -> None:
        super().__init__(n_requests, cancel)
        self._events = events

    def __iter__(self) -> Iterator[Indexed]:
        return self

    def __next__(self) -> Indexed:
        """The next event and its request's index; waits for it.

        Raises:
            LlamaHerdError: a request failed; the others are cancelled.
        """
        if self.done:
            raise StopIteration
        index, event = self._events.get()
        self._note(index, event)
        return index, event


class AsyncTokenStream(_Stream):
    """The same for one coroutine: the engine's thread wakes its event loop once a step."""

    def __init__(
        self, events: asyncio.Queue[Indexed], n_requests: int, cancel: Callable[[], None]
    ) -> None:
        super().__init__(n_requests, cancel)
        self._events = events

    def __aiter__(self) -> AsyncIterator[Indexed]:
        return self

    async def __anext__(self) -> Indexed:
        """The next event and its request's index; waits for it.

        Raises:
            LlamaHerdError: a request failed; the others are cancelled.
        """
        if self.done:
            raise StopAsyncIteration
        index, event = await self._events.get()
        self._note(index, event)
        return index, event


class _Post:
    """Takes events to one event loop; those that come together wake it once.

    To wake a loop is a system call, in which Python's lock is lost to that loop: for the engine's
    thread, once a step is enough.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = weakref.ref(loop)
        self._letters: deque[tuple[asyncio.Queue[Indexed], Indexed]] = deque()
        self._called = False

    def send(self, events: asyncio.Queue[Indexed], event: Indexed) -> None:
        """Any thread."""
        self._letters.append((events, event))
        loop = self._loop()
        if self._called or loop is None:
            return
        self._called = True
        try:
            loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            self._letters.clear()  # the loop was closed: nobody is left to tell

    def _deliver(self) -> None:
        self._called = False  # first: what comes from now on calls again
        while self._letters:
            events, event = self._letters.popleft()
            events.put_nowait(event)


_posts: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Post] = weakref.WeakKeyDictionary()


def to_loop(
    loop: asyncio.AbstractEventLoop, events: asyncio.Queue[Indexed]
) -> Callable[[Indexed], None]:
    """An ``emit`` that puts events into a queue of ``loop`` from another thread.

    Called on the loop's own thread.
    """
    return partial(_posts.setdefault(loop, _Post(loop)).send, events)
