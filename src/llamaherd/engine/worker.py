"""The engine's thread: schedule, run, sample, emit.

Everything here runs on that one thread, which alone touches the llama_context; ``engine.py`` is
what others call.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from llamaherd.engine.logprobs import token_logprob
from llamaherd.engine.output import Output
from llamaherd.engine.pace import PrefillPace, StepCosts
from llamaherd.engine.plan import Cut, Plan, Slice
from llamaherd.engine.prefix_cache import common_prefix
from llamaherd.engine.request import (
    Event,
    FinishEvent,
    FinishReason,
    Indexed,
    ProgressEvent,
    PromptEvent,
    Request,
    Standing,
    StateEvent,
    Timings,
    TokenLogprob,
)
from llamaherd.engine.runner import ABORTED, MEMORY_BROKEN, Runner
from llamaherd.engine.sampler import TokenSampler
from llamaherd.engine.scheduler import Scheduler
from llamaherd.engine.sequences import Sequences
from llamaherd.engine.snapshots import Snapshot, Snapshots
from llamaherd.engine.speculative import Proposer, Speculation
from llamaherd.engine.stats import PrefixCacheStats, Stats
from llamaherd.errors import DecodeError
from llamaherd.model import Vocab
from llamaherd.params import ContextParams
from llamaherd.places import n_in_memory

logger = logging.getLogger("llamaherd.engine")


@dataclass(frozen=True)
class Answer:
    """What the engine keeps beside a request: how to draw its tokens and write its text.

    Attributes:
        on_end: called once, before the last event.
    """

    sampler: TokenSampler
    output: Output
    on_end: Callable[[], None]


class Worker:
    """One context and the requests on it.

    Args:
        clock: monotonic, in seconds.
        proposer: guesses tokens ahead; closed with the worker.
    """

    def __init__(
        self,
        runner: Runner,
        vocab: Vocab,
        params: ContextParams,
        *,
        clock: Callable[[], float],
        proposer: Proposer | None = None,
    ) -> None:
        self._runner, self._vocab, self._clock = runner, vocab, clock
        self.snapshots = Snapshots(params.cache_ram_mib << 20)
        self._sequences = Sequences(
            runner.n_seq, runner.n_cells, can_cut=runner.can_cut, snapshots=self.snapshots
        )
        self._scheduler = Scheduler(params.n_parallel, runner.n_batch, self._sequences)
        self._pace = PrefillPace(runner.n_batch, params.prefill_limit)
        self._costs = StepCosts()
        alike = runner.n_rollback > 0
        self._speculation = Speculation(proposer, self._costs, alike) if proposer else None
        self._answers: dict[Request, Answer] = {}
        self._events: list[tuple[Callable[[Indexed], None], Indexed]] = []
        self._plan = Plan((), (), ())  # of the last step, or the running one
        self._finished: Counter[str] = Counter()
        self._n_steps = self._n_read = self._n_cached = self._n_drawn = 0
        self._decode_s = 0.0

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self._scheduler.idle

    @property
    def stats(self) -> Stats:
        """Where it stands. Any thread: numbers are read one by one and may be a step apart."""
        sequences, speculation = self._sequences, self._speculation
        return Stats(
            running=len(self._scheduler.running),
            waiting=len(self._scheduler.waiting),
            finished=dict(self._finished),
            steps=self._n_steps,
            prompt_tokens=self._n_read,
            cached_tokens=self._n_cached,
            generated_tokens=self._n_drawn,
            preempted=self._scheduler.n_preempted,
            proposed_tokens=speculation.n_proposed if speculation else 0,
            accepted_tokens=speculation.n_accepted if speculation else 0,
            decode_s=self._decode_s,
            cache=PrefixCacheStats(
                n_cells=sequences.n_cells,
                n_used=sequences.n_cells - sequences.n_free,
                hits=sequences.n_hits,
                misses=dict(sequences.misses),
                evicted=sequences.n_evicted,
                snapshots=len(self.snapshots),
                snapshot_bytes=self.snapshots.n_bytes,
            ),
        )

    # -- requests come and go -----------------------------------------------------------------

    def accept(self, request: Request, answer: Answer) -> None:
        """Queue a request."""
        self._answers[request] = answer
        self._scheduler.add(request)

    def mark_all(self) -> None:
        """Every request is to be cancelled at the next step."""
        for request in self._answers:
            request.ending = request.ending or "cancelled"

    def end_marked(self) -> None:
        """End the requests whose ``ending`` is set."""
        for request in [r for r in self._answers if r.ending is not None]:
            assert request.ending is not None
            self._finish(request, request.ending)
        self._send_events()

    def forget(self) -> None:
        """Drop what is kept in memory of finished requests."""
        for seq_id in self._sequences.idle:
            self._drop_memory(seq_id)
        self.snapshots.clear()

    def rest(self) -> None:
        """Nothing is to be done for a while."""
        self._runner.rest()

    def close(self, error: BaseException) -> None:
        """End every request with ``error`` and free the context."""
        for request in list(self._answers):
            self._finish(request, "error", error)
        self._send_events()
        if self._speculation is not None:
            self._speculation.close()
        self._runner.close()

    # -- one step -----------------------------------------------------------------------------

    def guarded_step(self) -> None:
        """A step whose failure ends the requests it concerns, and nothing else."""
        try:
            self.step()
        except DecodeError as error:
            self._recover(error)
        except Exception as error:
            logger.exception("a step failed; the requests that ran end with this error")
            self._fail(self._scheduler.running, error)
        self._send_events()

    def step(self) -> None:
        """Schedule, run, sample, emit: at least one token for each request that has caught up."""
        begin = self._clock()
        if self._speculation is not None:
            self._propose(self._speculation)
        self._plan = plan = self._scheduler.plan(self._pace.limit)
        for piece in plan.slices:
            if piece.request.started_at is None:
                self._start(piece)
        ends = self._runner.run(plan)
        self._learn(plan, self._clock() - begin)
        self._scheduler.decoded(plan)
        for piece, row in zip(plan.slices, ends, strict=True):
            self._take(piece, row)
        self._decode_s += self._clock() - begin
        self._send_events()

    def _tell(self, request: Request, event: Event) -> None:
        self._events.append((request.emit, (request.index, event)))

    def _send_events(self) -> None:
        """Wake the consumers, whose work then overlaps with the next decode.

        Earlier, each would take Python's lock as soon as a native call lets it go, and the step
        would wait for all of them.
        """
        events, self._events = self._events, []
        for emit, indexed in events:
            emit(indexed)

    def _propose(self, speculation: Speculation) -> None:
        running = self._scheduler.running
        if running and all(r.is_drawing for r in running):  # prompts need the room: first
            drawing = [r for r in running if r.n_pending == 1]
            speculation.propose(drawing, self._runner.n_ctx)

    def _learn(self, plan: Plan, seconds: float) -> None:
        """What the step cost."""
        self._n_steps += bool(plan.slices)
        n_drawing, n_drawn, n_read = plan.n_drawing, plan.n_drawn, plan.n_read
        self._n_read += n_read
        if self._speculation is not None and n_drawing and not n_read:
            self._costs.observe(n_drawn, seconds)
        if n_read or n_drawn == n_drawing:  # nothing was guessed or forced
            self._pace.observe(n_drawing, n_read, seconds, reading=plan.reading)

    def _start(self, piece: Slice) -> None:
        """The first tokens of a request are about to be read."""
        request = piece.request
        request.started_at = self._clock()
        self._n_cached += request.n_reused or 0
        self._answers[request].sampler.prime(request.tokens)
        logger.debug(
            "request of %d tokens starts in sequence %d, %d of them from memory",
            len(request.prompt), piece.seq_id, request.n_reused,
        )  # fmt: skip
        if request.ending is not None:
            self._runner.abort()  # its end() came before it could see that it had started

    def _take(self, piece: Slice, row: int) -> None:
        """What one slice of a step brought."""
        request = piece.request
        if piece.save:
            self._save(piece)
        if request.wants_progress and piece.start < len(request.prompt):
            self._tell_progress(request)
        if piece.outputs == "last":
            self._draw(request, row)
        elif piece.outputs == "all":
            self._take_rows(piece, row)

    def _take_rows(self, piece: Slice, row: int) -> None:
        if piece.request.prompt_logprobs:
            self._note_prompt_logprobs(piece, row)
        if piece.n_guessed:
            self._draw_guessed(piece, row)
        elif piece.catches_up:
            self._draw(piece.request, row)

    def _tell_progress(self, request: Request) -> None:
        started = request.queued_at if request.started_at is None else request.started_at
        n_read = min(request.n_cached, len(request.prompt))
        self._tell(
            request,
            ProgressEvent(
                len(request.prompt), request.n_reused or 0, n_read, self._clock() - started
            ),
        )

    def _save(self, piece: Slice) -> None:
        tokens, state = tuple(piece.request.tokens[: piece.stop]), self._runner.state(piece.seq_id)
        if piece.request.keep_state:
            self._tell(piece.request, StateEvent(tokens, state))
        else:
            self.snapshots.add(Snapshot(tokens, piece.request.adapters, state))

    def _note_prompt_logprobs(self, piece: Slice, row: int) -> None:
        request, first_row = piece.request, row - len(piece.tokens) + 1
        for position in range(piece.start, min(piece.stop, len(request.prompt) - 1)):
            if position < len(request.found_prompt_logprobs):
                continue  # read before, and lost from memory since
            logits = self._runner.logits(first_row + position - piece.start)
            found = token_logprob(logits, request.prompt[position + 1], request.n_probs or 0)
            request.found_prompt_logprobs.append(found)

    # -- drawing ------------------------------------------------------------------------------

    def _draw_guessed(self, piece: Slice, row: int) -> None:
        """Draw behind the last token, and behind each guess as long as they come true."""
        request, guesses = piece.request, piece.tokens[-piece.n_guessed :]
        n_known, first_row = len(request.tokens), row - len(guesses)
        drawn: list[int] = []
        while request.ending is None and drawn == guesses[: len(drawn)]:
            self._draw(request, first_row + len(drawn))
            drawn = request.tokens[n_known:]
        if not drawn:
            # Its caller left in this very step: keeping it would forget the token before the
            # guesses, too, to draw behind it again, and a state cannot go back so far.
            if request in self._answers and request.ending is not None:
                self._finish(request, request.ending)
            return
        n_true = common_prefix(drawn, guesses)
        if self._speculation is not None:
            self._speculation.observe(request, len(guesses), n_true)
        if request in self._answers:
            self._scheduler.keep(request, n_known + n_true)

    def _draw(self, request: Request, row: int) -> None:
        answer = self._answers[request]
        if request.first_token_at is None:
            self._begin_answer(request, answer)
            if request.ending is not None:
                return
        try:
            token, logprob = answer.sampler.draw(self._runner, row, request.tokens, request.n_probs)
            request.tokens.append(token)
            drawn = [token]
            if answer.sampler.is_constrained:
                drawn += answer.sampler.forced(request, self._runner.n_ctx)
        except BaseException as error:  # a caller's logits processor: only its request ends
            self._finish(request, "error", error)
            return
        request.n_forced = len(drawn) - 1
        if request.n_forced:
            request.tokens += drawn[1:]
        self._follow(request, answer, drawn, logprob)

    def _begin_answer(self, request: Request, answer: Answer) -> None:
        request.first_token_at = self._clock()
        if request.prompt_logprobs:
            self._tell(request, PromptEvent(tuple(request.found_prompt_logprobs)))
        if forced := request.tokens[len(request.prompt) :]:
            self._follow(request, answer, forced)
        elif request.n_left == 0:  # nothing was to be generated, only the prompt to be read
            self._finish(request, "length")

    def _follow(
        self,
        request: Request,
        answer: Answer,
        tokens: list[int],
        logprob: TokenLogprob | None = None,
    ) -> None:
        """What comes of ``tokens``, the request's last ones: text, and perhaps its end."""
        n_before = len(request.tokens) - len(tokens)
        for n, token in enumerate(tokens, 1):
            self._n_drawn += 1
            if self._ends(request, answer, token, logprob):
                del request.tokens[n_before + n :]
                self._finish(request, "stop")
                return
        if answer.sampler.is_constrained and answer.sampler.finished:
            self._finish(request, "stop")
        elif request.room(self._runner.n_ctx) <= 0:
            self._finish(request, "length")
        elif request.generation_limit_s is not None and self._is_late(request):
            self._finish(request, "deadline")

    def _ends(
        self, request: Request, answer: Answer, token: int, logprob: TokenLogprob | None
    ) -> bool:
        """Send the text that the token completes; whether the answer ends with it."""
        if token in self._vocab.end_tokens:
            return True
        event = answer.output.feed(token, logprob)
        if event is not None:
            if request.wants_standing:
                event = event._replace(standing=self._standing(request))
            self._tell(request, event)
        return answer.output.stopping_word is not None

    def _is_late(self, request: Request) -> bool:
        limit_s, begin = request.generation_limit_s, request.first_token_at
        return limit_s is not None and begin is not None and self._clock() - begin >= limit_s

    # -- ends and failures --------------------------------------------------------------------

    def _finish(
        self, request: Request, reason: FinishReason, error: BaseException | None = None
    ) -> None:
        """The one way out: every request passes here exactly once."""
        self._scheduler.finish(request)
        if self._speculation is not None:
            self._speculation.forget(request)
        answer = self._answers.pop(request)
        answer.sampler.close()
        if (rest := answer.output.finish()) is not None:
            self._tell(request, rest)
        request.ending = reason
        self._finished[reason] += 1
        answer.on_end()
        logger.debug("request ends after %d drawn tokens: %s", request.n_generated, reason)
        self._tell(request, self._finish_event(request, answer.output.stopping_word, reason, error))

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
            error=error,
            **vars(self._standing(request)),
        )

    def _standing(self, request: Request) -> Standing:
        times = request.queued_at, request.started_at, request.first_token_at
        return Standing(
            n_prompt=len(request.prompt),
            n_cached=request.n_reused or 0,
            n_generated=request.n_generated,
            timings=Timings(*times, self._clock()),
        )

    def _recover(self, error: DecodeError) -> None:
        """After a failed native call: keep what memory surely holds; end the requests concerned."""
        if error.code == MEMORY_BROKEN:
            self._fail(self._scheduler.running, error)
            self.forget()
            return
        if not self._runner.can_cut:
            # llama.cpp moves states, also of sequences that have no part in a step, before it
            # computes (llama_memory_recurrent::find_slot), and writes over what leaves a window.
            self._runner.clear()
            for seq_id in range(self._runner.n_seq):
                self._scheduler.forget(seq_id)
        for request in self._scheduler.running:
            seq_id = self._scheduler.seq_id(request)
            held = request.tokens[: request.n_cached]
            kept = n_in_memory(held, self._runner.n_resident(seq_id))
            end = request.position(kept)
            self._scheduler.forget(seq_id, kept if self._runner.cut(seq_id, end) == end else 0)
        if error.code != ABORTED:
            self._fail([piece.request for piece in self._plan.slices], error)

    def _fail(self, requests: list[Request], error: BaseException) -> None:
        for request in requests:
            if request in self._answers:
                seq_id = self._scheduler.seq_id(request)
                self._finish(request, "error", error)
                self._drop_memory(seq_id)

    def _drop_memory(self, seq_id: int) -> None:
        self._scheduler.forget(seq_id, self._runner.cut(seq_id, 0))

    def check_integrity(self) -> None:
        """Assert what always holds between steps, native memory included."""
        self._scheduler.check_integrity()
        to_be_cut = {c.seq_id for c in self._scheduler.overdue if isinstance(c, Cut)}
        for seq_id in range(self._runner.n_seq):
            held, resident = self._sequences.end(seq_id), self._runner.n_resident(seq_id)
            right = resident > held if seq_id in to_be_cut else resident == held
            assert right, f"sequence {seq_id} holds {resident} tokens and should hold {held}"
