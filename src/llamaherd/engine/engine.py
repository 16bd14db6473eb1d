"""The worker thread that owns the llama_context: schedule, run, sample, emit."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import queue
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from llamaherd.engine.alarms import Alarms
from llamaherd.engine.logprobs import token_logprob
from llamaherd.engine.output import Output
from llamaherd.engine.pace import PrefillPace
from llamaherd.engine.request import (
    Event,
    FinishEvent,
    FinishReason,
    PromptEvent,
    Request,
    Timings,
    TokenLogprob,
)
from llamaherd.engine.runner import ABORTED, Adapters, Runner
from llamaherd.engine.sampler import TokenSampler
from llamaherd.engine.scheduler import Plan, Scheduler, Slice
from llamaherd.engine.stream import AsyncTokenStream, TokenStream, to_loop
from llamaherd.errors import (
    ClosedError,
    ContextLengthError,
    DecodeError,
    RequestError,
    UnsupportedError,
)
from llamaherd.model import Model
from llamaherd.params import ContextParams

logger = logging.getLogger("llamaherd.engine")

_Command = Callable[[], None]
_OPEN: weakref.WeakSet[Engine] = weakref.WeakSet()


@dataclass(frozen=True)
class _Answer:
    """What the engine keeps beside a request: how to draw its tokens and write its text."""

    sampler: TokenSampler
    output: Output


class Engine:
    """Runs requests on one model. All public methods may be called from any thread.

    Args:
        model: must stay open until ``on_close`` is called.
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
        adapters: Adapters = (),
        on_close: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._model, self._on_close, self._clock = model, on_close, clock
        self._runner = Runner(model, params)
        if adapters:
            self._runner.apply_adapters(adapters)
        self.n_ctx = self._runner.n_ctx
        self._scheduler = Scheduler(
            params.n_parallel,
            self._runner.n_batch,
            self._runner.n_cells,
            can_cut=not model.forgets,
        )
        self._pace = PrefillPace(self._runner.n_batch)
        self._forgets = model.forgets
        self._answers: dict[Request, _Answer] = {}
        self._inbox: queue.SimpleQueue[_Command] = queue.SimpleQueue()
        self._closing = False
        self._closed_because = "the model is closed: load it again to go on"
        self._alarms: Alarms[Request] = Alarms(clock)
        self._lock = threading.Lock()
        self.n_decoded = 0
        self._thread = threading.Thread(target=self._work, name="llamaherd-engine", daemon=True)
        self._thread.start()
        _OPEN.add(self)

    def submit(
        self,
        request: Request,
        sampler: TokenSampler,
        *,
        stops: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> None:
        """Queue a request; its events go to ``request.emit``.

        Takes ownership of ``sampler``, also when it raises.

        Args:
            stops: strings that end the answer.
            deadline_s: seconds from now in which it must end, waiting included.

        Raises:
            ContextLengthError: the prompt leaves no room for an answer.
            UnsupportedError: the model does not generate text.
            ClosedError: the engine is closed.
        """
        try:
            self._check_admission(request)
            request.queued_at = self._clock()
            answer = _Answer(sampler, Output(self._model.vocab, stops))
            with self._lock:
                if self._closing:
                    raise ClosedError(self._closed_because)
                self._inbox.put(partial(self._accept, request, answer))
        except BaseException:
            sampler.close()
            raise
        if deadline_s is not None:
            self._alarms.set(request.queued_at + deadline_s, request, self._end_by_deadline)

    def _check_admission(self, request: Request) -> None:
        if threading.current_thread() is self._thread:
            raise RequestError(
                "a logits processor asked the model that it works for, which would wait for itself"
            )
        if not self._runner.generates:
            raise UnsupportedError(f"{self._model.path.name} is no model that generates text")
        if len(request.prompt) >= self.n_ctx:
            raise ContextLengthError(len(request.prompt), self.n_ctx)

    def stream(
        self,
        make: Callable[[Callable[[Event], None]], Request],
        sampler: TokenSampler,
        *,
        stops: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> TokenStream:
        """Submit the request that ``make`` returns for an ``emit`` function; iterate its events."""
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        request = make(events.put)
        self.submit(request, sampler, stops=stops, deadline_s=deadline_s)
        return TokenStream(events, partial(self.end, request))

    def astream(
        self,
        make: Callable[[Callable[[Event], None]], Request],
        sampler: TokenSampler,
        *,
        stops: Sequence[str] = (),
        deadline_s: float | None = None,
    ) -> AsyncTokenStream:
        """:meth:`stream` for a coroutine; called on its event loop."""
        events: asyncio.Queue[Event] = asyncio.Queue()
        request = make(to_loop(asyncio.get_running_loop(), events))
        self.submit(request, sampler, stops=stops, deadline_s=deadline_s)
        return AsyncTokenStream(events, partial(self.end, request))

    def end(self, request: Request, reason: FinishReason = "cancelled") -> None:
        """End a request within a step, also while its prompt is read; no effect on ended ones."""
        if request.ending is None:
            request.ending = reason
            if request.started_at is not None and request.first_token_at is None:
                self._runner.abort()  # its prompt may take many seconds more
            self._inbox.put(lambda: None)  # wake an idle worker

    def _end_by_deadline(self, request: Request) -> None:
        self.end(request, "deadline")

    def cancel_all(self) -> None:
        """End every request within a step, as :meth:`end` does."""
        self._inbox.put(self._mark_all)
        self._runner.abort()

    def forget(self) -> None:
        """Drop what is kept in memory of finished requests."""
        self._inbox.put(self._drop_left_behind)

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

    # -- the worker's side ------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while not self._closing:
                self._take_commands(wait=self._scheduler.idle)
                self._runner.rearm()  # an abort from here on is for requests marked from here on
                self._end_marked()
                if not self._scheduler.idle and not self._closing:
                    self._guarded_step()
        finally:
            self._shut_down()

    def _take_commands(self, *, wait: bool) -> None:
        if wait:
            self._inbox.get()()
        while not self._inbox.empty():
            self._inbox.get()()

    def _accept(self, request: Request, answer: _Answer) -> None:
        self._answers[request] = answer
        self._scheduler.add(request)

    def _guarded_step(self) -> None:
        try:
            self.step()
        except DecodeError as error:
            self._recover(error)
        except Exception as error:
            logger.exception("a step failed; its requests end with this error")
            self._fail_running(error)

    def step(self) -> None:
        """Schedule, run, sample, emit: one token for each request whose prompt has been read."""
        plan = self._scheduler.plan(self._pace.limit)
        self._mark_started(plan)
        begin = self._clock()
        ends = self._runner.run(plan)
        self._count(plan, self._clock() - begin)
        for piece, row in zip(plan.slices, ends, strict=True):
            piece.request.n_cached = piece.stop
            if piece.outputs == "all":
                self._note_prompt_logprobs(piece, row)
            if piece.stop == len(piece.request.tokens):
                self._draw(piece.request, row)

    def _count(self, plan: Plan, seconds: float) -> None:
        lengths = [piece.stop - piece.start for piece in plan.slices]
        self.n_decoded += sum(lengths)
        self._pace.observe(lengths.count(1), sum(n for n in lengths if n > 1), seconds)

    def _mark_started(self, plan: Plan) -> None:
        for piece in plan.slices:
            if piece.request.started_at is None:
                piece.request.started_at = self._clock()
                self._answers[piece.request].sampler.prime(piece.request.tokens)
            if piece.request.ending is not None:
                self._runner.abort()  # its end() came before it could see that it had started

    def _note_prompt_logprobs(self, piece: Slice, row: int) -> None:
        request, first_row = piece.request, row - (piece.stop - piece.start) + 1
        for position in range(piece.start, min(piece.stop, len(request.prompt) - 1)):
            if position < len(request.found_prompt_logprobs):
                continue  # read before, and lost from memory since
            logits = self._runner.logits(first_row + position - piece.start)
            found = token_logprob(logits, request.prompt[position + 1], request.n_probs or 0)
            request.found_prompt_logprobs.append(found)

    def _draw(self, request: Request, row: int) -> None:
        if request.first_token_at is None:
            request.first_token_at = self._clock()
            if request.prompt_logprobs:
                request.emit(PromptEvent(tuple(request.found_prompt_logprobs)))
        if request.n_left == 0:  # nothing was to be generated, only the prompt to be read
            self._finish(request, "length")
            return
        answer = self._answers[request]
        try:
            token, logprob = answer.sampler.draw(self._runner, row, request.tokens, request.n_probs)
        except BaseException as error:  # a caller's logits processor: only its request ends
            self._finish(request, "error", error)
            return
        request.tokens.append(token)
        self._emit(request, answer, token, logprob)

    def _emit(
        self, request: Request, answer: _Answer, token: int, logprob: TokenLogprob | None
    ) -> None:
        if self._model.vocab.is_end(token):
            self._finish(request, "stop")
            return
        event = answer.output.feed(token, logprob)
        if event is not None:
            request.emit(event)
        if answer.output.stopping_word is not None or answer.sampler.finished:
            self._finish(request, "stop")
        elif request.n_left == 0 or len(request.tokens) >= self.n_ctx:
            self._finish(request, "length")
        elif self._generated_long_enough(request):
            self._finish(request, "deadline")

    def _generated_long_enough(self, request: Request) -> bool:
        if request.generation_limit_s is None or request.first_token_at is None:
            return False
        return self._clock() - request.first_token_at >= request.generation_limit_s

    def _mark_all(self) -> None:
        for request in self._answers:
            request.ending = request.ending or "cancelled"

    def _end_marked(self) -> None:
        for request in [r for r in self._answers if r.ending is not None]:
            assert request.ending is not None
            self._finish(request, request.ending)

    def _finish(
        self, request: Request, reason: FinishReason, error: BaseException | None = None
    ) -> None:
        """The one way out: every request passes here exactly once."""
        self._scheduler.finish(request)
        answer = self._answers.pop(request)
        answer.sampler.close()
        if (rest := answer.output.finish()) is not None:
            request.emit(rest)
        request.ending = reason
        request.emit(self._finish_event(request, answer.output.stopping_word, reason, error))

    def _finish_event(
        self,
        request: Request,
        stopping_word: str | None,
        reason: FinishReason,
        error: BaseException | None,
    ) -> FinishEvent:
        return FinishEvent(
            reason=reason,
            stopping_word=stopping_word,
            n_prompt=len(request.prompt),
            n_cached=request.n_reused or 0,
            n_generated=request.n_generated,
            timings=Timings(
                request.queued_at, request.started_at, request.first_token_at, self._clock()
            ),
            error=error,
        )

    def _recover(self, error: DecodeError) -> None:
        """After a failed decode: keep what memory still holds; end the requests it concerns."""
        for request in self._scheduler.running:
            seq_id = self._scheduler.seq_id(request)
            kept = 0 if self._forgets else min(request.n_cached, self._runner.n_resident(seq_id))
            self._scheduler.forget(seq_id, self._runner.cut(seq_id, kept))
        if error.code != ABORTED:
            self._fail_running(error)

    def _fail_running(self, error: BaseException) -> None:
        for request in self._scheduler.running:
            seq_id = self._scheduler.seq_id(request)
            self._finish(request, "error", error)
            self._drop_memory(seq_id)

    def _drop_left_behind(self) -> None:
        for seq_id in self._scheduler.idle_sequences:
            self._drop_memory(seq_id)

    def _drop_memory(self, seq_id: int) -> None:
        self._scheduler.forget(seq_id, self._runner.cut(seq_id, 0))

    def _shut_down(self) -> None:
        with self._lock:
            self._closing = True
        self._take_commands(wait=False)
        closed = ClosedError("the model was closed while the request ran")
        for request in list(self._answers):
            self._finish(request, "error", closed)
        self._runner.close()
        self._on_close()


def _after_fork() -> None:
    """In a child process: the worker threads stayed behind, so nothing may wait for them."""
    for engine in list(_OPEN):
        engine._lock = threading.Lock()
        engine._closing = True
        engine._closed_because = (
            "the model was loaded before this process was forked: load it in the child"
        )


def _close_all() -> None:
    for engine in list(_OPEN):
        engine.close()


# A daemon thread inside native code would outlive the modules it uses: join it before teardown.
atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
