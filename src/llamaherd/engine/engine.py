"""Requests in from any thread, events out: the public side of the worker thread.

``worker.py`` is what runs on it. Both meet in an inbox of commands, which the worker empties
between two steps.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from llamaherd import workers
from llamaherd.engine.alarms import Alarms
from llamaherd.engine.output import Output
from llamaherd.engine.request import FinishReason, Indexed, Request
from llamaherd.engine.runner import Runner
from llamaherd.engine.sampler import TokenSampler
from llamaherd.engine.snapshots import Snapshot
from llamaherd.engine.speculative import Proposer
from llamaherd.engine.stats import Stats
from llamaherd.engine.stream import AsyncTokenStream, TokenStream, to_loop
from llamaherd.engine.worker import Answer, Worker
from llamaherd.errors import (
    ClosedError,
    ContextLengthError,
    QueueFullError,
    RequestError,
    UnsupportedError,
)
from llamaherd.model import Model
from llamaherd.params import ContextParams


@dataclass(frozen=True)
class Ask:
    """One answer to be generated, with what draws its tokens.

    Attributes:
        sampler: taken over by the engine, also when it refuses the request.
        stops: strings that end the answer.
        deadline_s: seconds from now in which it must end, waiting included.
        shown: control tokens that are part of the text.
    """

    request: Request
    sampler: TokenSampler
    stops: Sequence[str] = ()
    deadline_s: float | None = None
    shown: frozenset[int] = frozenset()


class Engine:
    """Runs requests on one model. All public methods may be called from any thread.

    Args:
        model: must stay open until ``on_close`` is called.
        proposer: guesses tokens ahead; closed with the engine.
        on_close: called once the context is freed, on whichever thread that is.
        clock: monotonic, in seconds.

    Raises:
        ContextCreateError: llama.cpp cannot make the context.
    """

    def __init__(
        self,
        model: Model,
        params: ContextParams,
        *,
        proposer: Proposer | None = None,
        on_close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._on_close, self._clock = model, on_close, clock
        queue_bound = params.max_queue
        self._most_unfinished = None if queue_bound is None else params.n_parallel + queue_bound
        self._runner = _runner(model, params, proposer)
        self.n_ctx, self.generates = self._runner.n_ctx, self._runner.generates
        self._worker = Worker(self._runner, model.vocab, params, clock=clock, proposer=proposer)
        self._inbox = workers.Inbox()
        self._closing = False
        self._closed_because = "the model is closed: load it again to go on"
        self._n_unfinished = 0
        self._alarms: Alarms[Request] = Alarms(clock)
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="llamaherd-engine", daemon=True)
        self._thread.start()
        workers.track(self)

    @property
    def stats(self) -> Stats:
        """Where it stands; requests that the worker has not taken in yet are waiting, too."""
        found = self._worker.stats
        return replace(found, waiting=max(0, self._n_unfinished - found.running))

    def stream(self, asks: Sequence[Ask]) -> TokenStream:
        """Queue requests; iterate over their events as they come, each with its request's index.

        Raises:
            ContextLengthError: a prompt leaves no room for an answer.
            QueueFullError: too many requests wait already.
            UnsupportedError: the model does not generate text.
            ClosedError: the engine is closed.
        """
        events: queue.SimpleQueue[Indexed] = queue.SimpleQueue()
        return TokenStream(events, len(asks), self._submit_all(asks, events.put))

    def astream(self, asks: Sequence[Ask]) -> AsyncTokenStream:
        """:meth:`stream` for a coroutine; called on its event loop."""
        events: asyncio.Queue[Indexed] = asyncio.Queue()
        emit = to_loop(asyncio.get_running_loop(), events)
        return AsyncTokenStream(events, len(asks), self._submit_all(asks, emit))

    def _submit_all(
        self, asks: Sequence[Ask], emit: Callable[[Indexed], None]
    ) -> Callable[[], None]:
        """All of them or none; returns what cancels them."""
        requests = [ask.request for ask in asks]
        try:
            for ask in asks:
                self._check_admission(ask.request)
                # What a grammar demands to begin with is read together with the prompt.
                ask.request.tokens += ask.sampler.forced(ask.request, self.n_ctx)
            with self._lock:
                self._check_queue(len(asks))
                for index, ask in enumerate(asks):
                    self._submit(ask, index, emit)
        except BaseException:
            for ask in asks:
                ask.sampler.close()
            raise
        for ask in asks:
            if ask.deadline_s is not None:
                moment = ask.request.queued_at + ask.deadline_s
                self._alarms.set(moment, ask.request, self._end_by_deadline)
        return partial(self._end_all, requests)

    def _check_admission(self, request: Request) -> None:
        if threading.current_thread() is self._thread:
            raise RequestError(
                "a logits processor asked the model that it works for, which would wait for itself"
            )
        if not self.generates:
            raise UnsupportedError(f"{self._model.path.name} is no model that generates text")
        if len(request.prompt) >= self.n_ctx:
            raise ContextLengthError(len(request.prompt), self.n_ctx)
        longest = max((len(s.embeddings) for s in request.spans if s.whole), default=0)
        if longest > self._runner.n_ubatch:  # llama.cpp would end the process
            raise UnsupportedError(
                f"a picture of {longest} tokens must be computed at once, and n_ubatch is "
                f"{self._runner.n_ubatch}: load the model with n_ubatch={longest} and an n_batch "
                "that is not smaller"
            )

    def check_room(self, n_more: int) -> None:
        """Whether so many requests would be taken now, before work is put into them.

        Raises:
            QueueFullError, ClosedError: as :meth:`stream`.
        """
        with self._lock:
            self._check_queue(n_more)

    def _check_queue(self, n_more: int) -> None:
        if self._closing:
            raise ClosedError(self._closed_because)
        most = self._most_unfinished
        if most is not None and self._n_unfinished + n_more > most:
            raise QueueFullError(self._n_unfinished, most)

    def _submit(self, ask: Ask, index: int, emit: Callable[[Indexed], None]) -> None:
        request = ask.request
        request.index, request.emit = index, emit
        request.queued_at = self._clock()
        self._n_unfinished += 1
        answer = Answer(
            ask.sampler, Output(self._model.vocab, ask.stops, ask.shown), self._one_less
        )
        self._inbox.put(partial(self._worker.accept, request, answer))

    def _one_less(self) -> None:
        with self._lock:
            self._n_unfinished -= 1

    # -- early ends -----------------------------------------------------------------------------

    def end(self, request: Request, reason: FinishReason = "cancelled") -> None:
        """End a request within a step, also while its prompt is read; no effect on ended ones."""
        if request.ending is None:
            request.ending = reason
            if request.started_at is not None and request.first_token_at is None:
                self._runner.abort()  # its prompt may take many seconds more
            self._inbox.put(lambda: None)  # wake an idle worker

    def _end_all(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self.end(request)

    def _end_by_deadline(self, request: Request) -> None:
        self.end(request, "deadline")

    def cancel_all(self) -> None:
        """End every request within a step, as :meth:`end` does."""
        self._inbox.put(self._worker.mark_all)
        self._runner.abort()

    # -- memory ---------------------------------------------------------------------------------

    def forget(self) -> None:
        """Drop what is kept in memory of finished requests."""
        self._inbox.put(self._worker.forget)

    def remember(self, snapshot: Snapshot) -> None:
        """Restore this state for prompts that begin with its tokens."""
        self._inbox.put(partial(self._worker.snapshots.add, snapshot))

    # -- life -----------------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel everything, join the thread and free the context. May be called twice.

        On the engine's own thread, where a garbage collection may end up, it only asks: the thread
        frees everything when it has left its step.
        """
        with self._lock:
            first, self._closing = not self._closing, True
        if first:
            self._alarms.close()
            self._runner.abort()
            self._inbox.put(lambda: None)
        if threading.current_thread() is not self._thread:
            self._thread.join()

    @property
    def closed(self) -> bool:
        """Whether it takes no requests any more."""
        return self._closing

    def abandon(self, why: str) -> None:
        """In a forked child, where the thread does not exist: refuse requests, wait for nobody."""
        self._lock = threading.Lock()
        self._closing, self._closed_because = True, why

    def _work(self) -> None:
        worker = self._worker
        try:
            while not self._closing:
                if worker.idle:
                    self._inbox.wait(worker.rest)
                else:
                    self._inbox.carry_out()
                self._runner.rearm()  # an abort from here on is for requests marked from here on
                worker.end_marked()
                if not worker.idle and not self._closing:
                    worker.guarded_step()
        finally:
            self._shut_down()

    def _shut_down(self) -> None:
        with self._lock:
            self._closing = True
        self._inbox.carry_out()
        self._worker.close(ClosedError("the model was closed while the request ran"))
        self._on_close()


def _runner(model: Model, params: ContextParams, proposer: Proposer | None) -> Runner:
    try:
        return Runner(model, params, follower=proposer.follower if proposer else None)
    except BaseException:
        if proposer is not None:
            proposer.close()
        raise
