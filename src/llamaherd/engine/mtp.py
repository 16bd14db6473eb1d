"""Guesses by a model's own multi-token-prediction layers. Engine's thread only.

Such a layer reads a token together with the hidden state that the model had at the token before,
and says what follows the token. Its own hidden state then takes the place of the model's, so that
it can go on. It has a memory beside the model's, with the same sequences, so prefixes are shared
there as they are here; it reads what the model has read only when it is to guess, or when much has
piled up.

Where a hidden state is not known (before a restored prefix, after a failure) it reads zeros, or
begins in the middle of a text. Guesses are worse then; answers cannot be.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from llamaherd.engine.pace import StepCosts
from llamaherd.engine.plan import HiddenStates, Share, Slice
from llamaherd.engine.request import Request
from llamaherd.engine.runner import meaning
from llamaherd.engine.speculative import MOST_PROPOSED, up_to_end
from llamaherd.errors import DecodeError
from llamaherd.model import Model
from llamaherd.native import bindings as c
from llamaherd.native import logs, nextn
from llamaherd.params import ContextParams

MOST_GUESSED = 3
"""Where memory cannot be cut back: for each, llama.cpp keeps a copy of every sequence's state."""

Row = npt.NDArray[np.float32]


@dataclass
class _Unread:
    """What the model has read of a sequence and the layers have not.

    Attributes:
        start: the position of the first of them.
        tokens: the tokens.
        hidden: the hidden states of the token before the first and of all of them: one more.
    """

    start: int
    hidden: list[Row]
    tokens: list[int] = field(default_factory=list)

    @property
    def stop(self) -> int:
        """The position behind the last one."""
        return self.start + len(self.tokens)


@dataclass
class _Draft:
    """Guesses for one request: ``token`` and ``hidden`` are what is read next, at ``position``."""

    seq_id: int
    most: int
    position: int
    token: int
    hidden: Row
    guessed: list[int] = field(default_factory=list)


class MtpLayers:
    """Proposes what the model's own extra layers find likeliest, for all requests together.

    Args:
        model: for which ``check_has_mtp`` passes.
        params: of its context.
        clock: monotonic, in seconds.
    """

    likely = 1.0
    steady = True

    def __init__(
        self, model: Model, params: ContextParams, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._model, self._params, self._clock = model, params, clock
        self.most = self.most_guessed = MOST_GUESSED if model.forgets else MOST_PROPOSED
        self.follower = self
        self._costs = StepCosts()  # of guessing, by the number of guesses
        self._costs.observe(0, 0.0)
        self._nothing: Row = np.zeros(model.n_embd_out, np.float32)
        self._unread: dict[int, _Unread] = {}  # by sequence
        self._seq_ids: dict[Request, int] = {}

    # -- what the model does ------------------------------------------------------------------

    def begin(self, n_seq: int, n_cells: int) -> None:
        """Make the layers' context: as many cells as the model has, and some for guesses.

        Raises:
            ContextCreateError: too little memory.
        """
        n_guessed = self._params.n_parallel * (self.most + 1)
        self._context = self._model.new_mtp_context(
            self._params, n_ctx=n_cells + n_guessed, n_seq=n_seq
        )
        pointer = self._context.pointer
        nextn.give_hidden_states(pointer, outputs_only=True)
        self._memory = c.llama_get_memory(pointer)
        self._n_vocab = len(self._model.vocab)
        self._batch = nextn.PairBatch(int(c.llama_n_batch(pointer)), len(self._nothing))

    def share(self, change: Share) -> None:
        """What the layers have read of one sequence is another's, too."""
        self._try(lambda: self._catch_up([change.source]))
        self.cut(change.target, 0)
        if (source := self._unread.get(change.source)) is not None:
            end = min(source.start, change.n_kept)
            c.llama_memory_seq_cp(self._memory, change.source, change.target, 0, end)
            known = source.hidden[0] if end == source.start else self._nothing
            self._unread[change.target] = _Unread(end, [known])

    def cut(self, seq_id: int, n_kept: int) -> None:
        """Forget what a sequence has from a position on."""
        if (unread := self._unread.get(seq_id)) is None:
            return
        if n_kept and n_kept >= unread.start:
            n = n_kept - unread.start
            del unread.tokens[n:], unread.hidden[n + 1 :]
            return
        c.llama_memory_seq_rm(self._memory, seq_id, n_kept, -1)
        if n_kept:
            self._unread[seq_id] = _Unread(n_kept, [self._nothing])
        else:
            del self._unread[seq_id]

    def read(self, slices: Sequence[Slice], ends: Sequence[int], hidden: HiddenStates) -> None:
        """Note what the layers will have to read."""
        self._try(lambda: self._note_all(slices, ends, hidden))

    def _note_all(self, slices: Sequence[Slice], ends: Sequence[int], hidden: HiddenStates) -> None:
        # What piled up before is read now, not what came in this step: it may hold guesses that
        # the model is about to refuse.
        n_unread = sum(len(unread.tokens) for unread in self._unread.values())
        if n_unread + sum(len(piece.tokens) for piece in slices) > self._batch.capacity:
            self._catch_up(list(self._unread))
        for piece, end in zip(slices, ends, strict=True):
            if piece.span is None:  # else there are no tokens
                self._note(piece, list(hidden(end - len(piece.tokens) + 1, len(piece.tokens))))

    def _note(self, piece: Slice, hidden: list[Row]) -> None:
        unread = self._unread.get(piece.seq_id)
        if unread is None or unread.stop != piece.position:  # it read something else in between
            self.cut(piece.seq_id, 0)
            unread = self._unread[piece.seq_id] = _Unread(piece.position, [self._nothing])
        unread.tokens += piece.tokens
        unread.hidden += hidden
        self._seq_ids[piece.request] = piece.seq_id

    # -- guessing -----------------------------------------------------------------------------

    def seconds(self, n_guesses: int) -> float:
        """As many steps of the layers, after one that reads what the model has read."""
        return self._costs.seconds(n_guesses) or 0.0

    def propose(self, asked: Sequence[tuple[Request, int]]) -> list[list[int]]:
        """Read what is new, then guess greedily; nothing where the layers fail."""
        drafts = [self._draft(request, most) for request, most in asked]
        begun = [draft for draft in drafts if draft is not None]
        self._try(lambda: self._guess(begun))
        vocab = self._model.vocab
        return [[] if draft is None else up_to_end(vocab, draft.guessed) for draft in drafts]

    def forget(self, request: Request) -> None:
        """The request has ended; what was read stays for others."""
        self._seq_ids.pop(request, None)

    def close(self) -> None:
        """Free the layers' context."""
        if hasattr(self, "_context"):
            self._context.close()

    def _draft(self, request: Request, most: int) -> _Draft | None:
        """Where guessing begins: at the token drawn last, which the model has not read."""
        position, seq_id = len(request.tokens) - 1, self._seq_ids.get(request)
        if seq_id is None:
            return None
        self.cut(seq_id, position)  # guesses of the last step that did not come true
        unread = self._unread.get(seq_id)
        if unread is None or unread.stop != position:
            return None
        return _Draft(seq_id, most, position, request.tokens[-1], unread.hidden[-1])

    def _guess(self, drafts: Sequence[_Draft]) -> None:
        seq_ids = [draft.seq_id for draft in drafts]
        n_unread = max((len(self._unread[seq_id].tokens) for seq_id in seq_ids), default=0)
        begun = [(draft.seq_id, draft.position) for draft in drafts]
        most = max((draft.most for draft in drafts), default=0)
        begin = self._clock()
        self._catch_up(seq_ids)
        for _ in range(most):
            self._advance([draft for draft in drafts if len(draft.guessed) < draft.most])
        if n_unread <= MOST_PROPOSED + 1:  # as after a step with guesses, not as after a prompt
            self._costs.observe(most, self._clock() - begin)
        for seq_id, position in begun:  # they are read again, with the model's hidden states
            c.llama_memory_seq_rm(self._memory, seq_id, position, -1)

    def _advance(self, drafts: Sequence[_Draft]) -> None:
        """One more guess for each."""
        self._batch.clear()
        for draft in drafts:
            at, token, hidden = draft.position, draft.token, draft.hidden
            self._batch.add(draft.seq_id, at, [token], [hidden], outputs=True)
        self._decode()
        context = self._context.pointer
        for row, draft in enumerate(drafts):
            logits = c.llama_get_logits_ith(context, row)
            draft.token = int(np.ctypeslib.as_array(logits, shape=(self._n_vocab,)).argmax())
            draft.hidden = nextn.hidden_states(context, row, 1, len(self._nothing))[0]
            draft.position += 1
            draft.guessed.append(draft.token)

    # -- reading ------------------------------------------------------------------------------

    def _catch_up(self, seq_ids: Sequence[int]) -> None:
        """Read what has piled up of these sequences.

        Never together with guesses: of a batch in which some tokens have logits and others have
        none, llama.cpp tells the hidden states of the wrong ones (v0.5, most ``graph_mtp``).
        """
        self._batch.clear()
        for seq_id in seq_ids:
            unread = self._unread.get(seq_id)
            while unread is not None and unread.tokens:
                n = min(len(unread.tokens), self._batch.capacity - self._batch.n_tokens)
                self._batch.add(seq_id, unread.start, unread.tokens[:n], unread.hidden[:n])
                unread.start += n
                del unread.tokens[:n], unread.hidden[:n]
                if self._batch.n_tokens == self._batch.capacity:
                    self._decode()
                    self._batch.clear()
        if self._batch.n_tokens:
            self._decode()

    def _decode(self) -> None:
        logs.forget_recent()
        code = c.llama_decode(self._context.pointer, self._batch.native)
        if code:
            raise DecodeError(code, meaning(code))

    def _try(self, work: Callable[[], None]) -> None:
        """Nobody's answer depends on the layers: where they fail, they start over."""
        try:
            work()
        except DecodeError:
            c.llama_memory_clear(self._memory, False)
            self._unread.clear()
