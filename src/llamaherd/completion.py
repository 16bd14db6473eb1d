"""One response: its choices' event streams as OpenAI-shaped chunks, or as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from llamaherd.engine import FinishEvent, PromptEvent, TokenEvent, TokenLogprob, TokenStream
from llamaherd.errors import LlamaHerdError
from llamaherd.model import Vocab
from llamaherd.responses import (
    JSON,
    ChatShape,
    Envelope,
    TextShape,
    chat_logprobs,
    legacy_logprobs,
    timings,
    usage,
)


@dataclass
class Echo:
    """A prompt that comes before the answer's text.

    Attributes:
        text: as the caller wrote it.
        tokens: what it became.
    """

    text: str
    tokens: Sequence[int]


@dataclass
class Piece:
    """Text of one choice with the tokens that made it."""

    text: str
    tokens: tuple[int, ...] = ()
    logprobs: tuple[TokenLogprob | None, ...] = ()


@dataclass
class Choice:
    """One answer on its way: turns engine events into pieces and remembers where it stands."""

    index: int
    stream: TokenStream
    echo: Echo | None = None
    pieces: list[Piece] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text so far, the echoed prompt included."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def finish(self) -> FinishEvent:
        """How it ended; there once :meth:`run` is exhausted."""
        assert self.stream.finish is not None
        return self.stream.finish

    def run(self, *, wants_prompt_logprobs: bool) -> Iterator[Piece]:
        """The pieces as they arrive.

        Raises:
            LlamaHerdError: the request failed; ``partial_text`` has what came before.
        """
        if self.echo is not None and not wants_prompt_logprobs:
            yield self._keep(Piece(self.echo.text))
        try:
            for event in self.stream:
                yield self._keep(self._piece(event))
        except LlamaHerdError as error:
            error.partial_text = self.text
            raise

    def _keep(self, piece: Piece) -> Piece:
        self.pieces.append(piece)
        return piece

    def _piece(self, event: PromptEvent | TokenEvent) -> Piece:
        if isinstance(event, TokenEvent):
            return Piece(event.text, event.tokens, event.logprobs)
        assert self.echo is not None
        return Piece(self.echo.text, tuple(self.echo.tokens), (None, *event.logprobs))


@dataclass
class Completion:
    """Choices, and how they are written down.

    Attributes:
        wants_logprobs: whether choices carry ``logprobs``.
        include_usage: end a stream with a chunk of token counts and no choices.
    """

    envelope: Envelope
    shape: TextShape | ChatShape
    choices: list[Choice]
    vocab: Vocab
    wants_logprobs: bool = False
    include_usage: bool = False

    def whole(self) -> JSON:
        """Wait for every choice.

        Raises:
            LlamaHerdError: a choice failed; the others are cancelled.
        """
        try:
            done = [self._finished(choice) for choice in self.choices]
        finally:
            self.close()
        finishes = [choice.finish for choice in self.choices]
        return self.envelope.wrap(
            self.shape.whole, done, usage=usage(finishes), timings=timings(finishes[0])
        )

    def _finished(self, choice: Choice) -> JSON:
        for _ in self._run(choice):
            pass
        text, logprobs = choice.text, self._logprobs(choice.pieces, 0)
        return self.shape.message(choice.index, text, logprobs, choice.finish.reason)

    def chunks(self) -> Iterator[JSON]:
        """The pieces as they arrive, then each choice's finish reason, then usage if wanted."""
        for choice in self.choices:
            yield from self._choice_chunks(choice)
        if self.include_usage:
            counts = usage([choice.finish for choice in self.choices])
            yield self.envelope.wrap(self.shape.chunk, [], usage=counts)

    def _choice_chunks(self, choice: Choice) -> Iterator[JSON]:
        if (opening := self.shape.opening(choice.index)) is not None:
            yield self.envelope.wrap(self.shape.chunk, [opening])
        offset = 0
        for piece in self._run(choice):
            logprobs = self._logprobs([piece], offset)
            delta = self.shape.delta(choice.index, piece.text, logprobs, None)
            yield self.envelope.wrap(self.shape.chunk, [delta])
            offset += len(piece.text)
        last = self.shape.delta(choice.index, "", None, choice.finish.reason)
        yield self.envelope.wrap(self.shape.chunk, [last], timings=timings(choice.finish))

    def _run(self, choice: Choice) -> Iterator[Piece]:
        wants_prompt = self.wants_logprobs and choice.echo is not None
        return choice.run(wants_prompt_logprobs=wants_prompt)

    def _logprobs(self, pieces: Sequence[Piece], offset: int) -> JSON | None:
        if not self.wants_logprobs:
            return None
        found = [entry for piece in pieces for entry in piece.logprobs]
        if isinstance(self.shape, ChatShape):
            return chat_logprobs([f for f in found if f is not None], self.vocab.token_bytes)
        tokens = [token for piece in pieces for token in piece.tokens]
        return legacy_logprobs(found, tokens, self.vocab.token_bytes, offset)

    def cancel(self) -> None:
        """End all choices; what they produced still arrives, with reason ``cancelled``."""
        for choice in self.choices:
            choice.stream.cancel()

    close = cancel


class CompletionStream:
    """Iterates over a response's chunks.

    Leaving it early (``close``, the end of a ``with``, garbage collection) cancels the request
    within a step. One thread iterates; any thread may cancel.
    """

    def __init__(self, completion: Completion) -> None:
        self._completion = completion
        self._chunks = completion.chunks()

    def __iter__(self) -> Iterator[JSON]:
        return self

    def __next__(self) -> JSON:
        return next(self._chunks)

    def cancel(self) -> None:
        """End the answer now; the last chunk still comes, with finish reason ``cancelled``."""
        self._completion.cancel()

    def close(self) -> None:
        """Cancel and wait for nothing more."""
        self._completion.close()
        self._chunks = iter(())

    def __enter__(self) -> CompletionStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()
