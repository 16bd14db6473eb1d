"""The worker thread that reads texts: pack, read, hand out.

Texts of many callers share its batches. It owns one context for each kind of pooling in use, made
when the first text asks for it and made anew, larger, when a longer text comes.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError

from llamaherd.embed.packing import Call, Packer, Slice
from llamaherd.embed.pooling import Vector, combine
from llamaherd.embed.runner import Adapters, EmbeddingRunner, most_tokens
from llamaherd.errors import ClosedError
from llamaherd.model import Model
from llamaherd.params import ContextParams
from llamaherd.workers import Inbox, track

logger = logging.getLogger("llamaherd.embed")

CLOSED_MEANWHILE = "the model was closed while texts waited to be read"
Vectors = Future[list[Vector]]


class _Reading(Call):
    """A call whose vectors arrive one by one. Only its future is seen by other threads."""

    def __init__(self, texts: Sequence[Sequence[int]]) -> None:
        super().__init__(texts)
        self.future: Vectors = Future()
        self._vectors: list[Vector | None] = [None] * len(texts)
        self._n_left = len(texts)
        self._pieces: list[tuple[Vector, int]] = []

    def take(self, piece: Slice[_Reading], vector: Vector, pooling: str) -> None:
        """Note what one slice brought; the last one of the call ends it."""
        self._pieces.append((vector, piece.stop - piece.start))
        if not piece.is_last:
            return
        vectors, lengths = zip(*self._pieces, strict=True)
        self._pieces.clear()
        self._vectors[piece.index] = combine(pooling, vectors, lengths)
        self._n_left -= 1
        if not self._n_left:
            _settle(self.future, self._vectors)

    def fail(self, error: BaseException) -> None:
        """End the call."""
        _settle(self.future, error)


class _Lane:
    """What belongs to one kind of pooling."""

    def __init__(self, pooling: str) -> None:
        self.pooling = pooling
        self.packer: Packer[_Reading] = Packer()
        self.runner: EmbeddingRunner | None = None

    def drop_cancelled(self) -> None:
        for call in self.packer.calls:
            if call.future.cancelled():
                self.packer.drop(call)

    def fail(self, calls: Sequence[_Reading], error: BaseException) -> None:
        for call in calls:
            self.packer.drop(call)
            call.fail(error)

    def close(self) -> None:
        runner, self.runner = self.runner, None
        if runner is not None:
            runner.close()


class Embedder:
    """Reads texts with one model. All public methods may be called from any thread.

    Args:
        model: must be open; the contexts keep its weights alive beyond that.
        params: threads, ``n_ubatch`` (tokens read at a time) and the like.
        adapters: LoRA adapters, which stay the caller's.
    """

    def __init__(self, model: Model, params: ContextParams, *, adapters: Adapters = ()) -> None:
        self._model, self._params, self._adapters = model, params, adapters
        self._lanes: dict[str, _Lane] = {}
        self._inbox = Inbox()
        self._lock = threading.Lock()
        self._closing = False
        self._closed_because = "the model is closed: load it again to go on"
        self._running: EmbeddingRunner | None = None
        self.n_batches = 0
        self._thread: threading.Thread | None = None  # started by the first text
        track(self)

    @functools.cached_property
    def n_longest(self) -> int:
        """Most tokens of a text.

        Raises:
            UnsupportedError: the model gives no embeddings.
        """
        return most_tokens(self._model, self._params)

    def submit(self, texts: Sequence[Sequence[int]], pooling: str) -> Vectors:
        """Have texts read; their vectors come in order, as llama.cpp computes them.

        Cancelling the future leaves the rest of its texts unread.

        Args:
            texts: token ids of the vocabulary, none empty or longer than ``n_longest``.
            pooling: one of :data:`~llamaherd.params.POOLINGS`.

        Raises:
            ClosedError: the embedder is closed. The future may raise it too, and further
            ContextCreateError: too little memory for texts of this length.
            DecodeError: llama.cpp failed on a batch that held a text of this call.
        """
        call = _Reading(texts)
        with self._lock:
            if self._closing:
                raise ClosedError(self._closed_because)
            self._inbox.put(lambda: self._accept(call, pooling))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="llamaherd-embed", daemon=True
                )
                self._thread.start()
        return call.future

    def close(self) -> None:
        """Fail what waits, join the thread and free the contexts. May be called twice.

        On the embedder's own thread, where a garbage collection may end up, it only asks.
        """
        with self._lock:
            first, self._closing = not self._closing, True
        if first:
            self._inbox.put(lambda: None)
            if (running := self._running) is not None:
                running.abort()
        if self._thread not in (None, threading.current_thread()):
            self._thread.join()

    def abandon(self, why: str) -> None:
        """In a forked child: be closed, without a thread to wait for."""
        self._lock = threading.Lock()
        self._closing, self._closed_because = True, why

    # -- the worker's side --------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while not self._closing:
                lanes = [lane for lane in self._lanes.values() if lane.packer.calls]
                if lanes:
                    self._inbox.carry_out()
                else:
                    self._inbox.wait(self._rest)
                for lane in lanes:
                    self._guarded_step(lane)
        finally:
            self._shut_down()

    def _rest(self) -> None:
        if self._running is not None:
            self._running.rest()

    def _accept(self, call: _Reading, pooling: str) -> None:
        self._lanes.setdefault(pooling, _Lane(pooling)).packer.add(call)

    def _guarded_step(self, lane: _Lane) -> None:
        """A batch of one lane; its failure ends the calls it concerns, and nothing else."""
        lane.drop_cancelled()
        if self._closing or not lane.packer.calls:
            return
        try:
            runner = self._runner_for(lane)
        except Exception as error:
            lane.fail(lane.packer.calls, error)
            return
        batch = lane.packer.next_batch(runner.n_batch, runner.n_piece, runner.n_seq)
        try:
            self._step(runner, batch)
        except Exception as error:
            logger.debug("a batch of %d texts failed", len(batch), exc_info=True)
            reason = ClosedError(CLOSED_MEANWHILE) if self._closing else error
            lane.fail([piece.call for piece in batch], reason)

    def _step(self, runner: EmbeddingRunner, batch: Sequence[Slice[_Reading]]) -> None:
        self.n_batches += 1
        for piece, vector in zip(batch, runner.read(batch), strict=True):
            piece.call.take(piece, vector, runner.pooling)

    def _runner_for(self, lane: _Lane) -> EmbeddingRunner:
        """The lane's context, large enough for what waits there."""
        longest = lane.packer.longest
        fits = lane.runner is not None and lane.runner.n_longest >= longest
        if not fits and not lane.packer.is_inside_text:
            lane.close()
            lane.runner = EmbeddingRunner(
                self._model,
                self._params,
                lane.pooling,
                n_longest=longest,
                adapters=self._adapters,
            )
        assert lane.runner is not None, "who is inside a text has begun it with a context"
        self._running = lane.runner
        return lane.runner

    def _shut_down(self) -> None:
        with self._lock:
            self._closing = True
        self._inbox.carry_out()
        error = ClosedError(CLOSED_MEANWHILE)
        for lane in self._lanes.values():
            lane.fail(lane.packer.calls, error)
            lane.close()


def _settle(future: Future[list[Vector]], outcome: list[Vector | None] | BaseException) -> None:
    """Give a future its outcome, unless its caller has cancelled it."""
    try:
        if isinstance(outcome, BaseException):
            future.set_exception(outcome)
        else:
            future.set_result([vector for vector in outcome if vector is not None])
    except InvalidStateError:
        pass
