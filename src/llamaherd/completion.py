"""One response: its choices' events as OpenAI-shaped chunks, or as a whole.

:class:`Completion` turns events into chunks and knows nothing of waiting; :class:`CompletionStream`
and :class:`AsyncCompletionStream` fetch the events, each in its own way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from llamaherd.engine import (
    AsyncTokenStream,
    FinishEvent,
    PromptEvent,
    TokenEvent,
    TokenLogprob,
    TokenStream,
)
from llamaherd.errors import LlamaHerdError
from llamaherd.model import Vocab
from llamaherd.responses import (
    JSON,
    ChatShape,
    Envelope,
    TextPosition,
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


Stream = TypeVar("Stream", TokenStream, AsyncTokenStream)


@dataclass
class Choice(Generic[Stream]):
    """One answer on its way."""

    index: int
    stream: Stream
    pieces: list[Piece] = field(default_factory=list)
    position: TextPosition = field(default_factory=TextPosition)

    @property
    def text(self) -> str:
        """All text so far, an echoed prompt included."""
        return "".join(piece.text for piece in self.pieces)

    @property
    def finish(self) -> FinishEvent:
        """How it ended; there once its stream is exhausted."""
        assert self.stream.finish is not None
        return self.stream.finish


@dataclass
class Completion(Generic[Stream]):
    """Choices, and how they are written down.

    Attributes:
        echo: the prompt, if it is part of every choice.
        wants_logprobs: whether choices carry ``logprobs``.
        include_usage: end a stream with a chunk of token counts and no choices.
    """

    envelope: Envelope
    shape: TextShape | ChatShape
    choices: list[Choice[Stream]]
    vocab: Vocab
    echo: Echo | None = None
    wants_logprobs: bool = False
    include_usage: bool = False

    def begin(self, choice: Choice[Stream]) -> Iterator[JSON]:
        """Chunks before a choice's first event."""
        if (opening := self.shape.opening(choice.index)) is not None:
            yield self._chunk([opening])
        if self.echo is not None and not self.wants_logprobs:
            yield self._add(choice, Piece(self.echo.text))

    def feed(self, choice: Choice[Stream], event: PromptEvent | TokenEvent) -> JSON:
        """The chunk of an event."""
        if isinstance(event, TokenEvent):
            return self._add(choice, Piece(event.text, event.tokens, event.logprobs))
        assert self.echo is not None, "a prompt's log-probabilities are only asked for with echo"
        logprobs = (None, *event.logprobs)  # nothing predicts the first token
        return self._add(choice, Piece(self.echo.text, tuple(self.echo.tokens), logprobs))

    def end(self, choice: Choice[Stream]) -> JSON:
        """The chunk that says how a choice ended."""
        last = self.shape.delta(choice.index, "", None, choice.finish.reason)
        return self._chunk([last], timings=timings(choice.finish))

    def counts(self) -> Iterator[JSON]:
        """The chunk of token counts that may end a stream."""
        if self.include_usage:
            yield self._chunk([], usage=usage([choice.finish for choice in self.choices]))

    def whole(self) -> JSON:
        """The response, once every choice has ended."""
        finishes = [choice.finish for choice in self.choices]
        done = [
            self.shape.message(
                choice.index,
                choice.text,
                self._logprobs(choice.pieces, TextPosition()),
                choice.finish.reason,
            )
            for choice in self.choices
        ]
        return self.envelope.wrap(
            self.shape.whole, done, usage=usage(finishes), timings=timings(finishes[0])
        )

    def cancel(self) -> None:
        """End all choices; what they produced still arrives, with reason ``cancelled``."""
        for choice in self.choices:
            choice.stream.cancel()

    def _add(self, choice: Choice[Stream], piece: Piece) -> JSON:
        logprobs = self._logprobs([piece], choice.position)
        choice.pieces.append(piece)
        return self._chunk([self.shape.delta(choice.index, piece.text, logprobs, None)])

    def _chunk(self, choices: list[JSON], **more: JSON) -> JSON:
        without_counts = {"usage": None} if self.include_usage else {}  # as OpenAI writes it
        return self.envelope.wrap(self.shape.chunk, choices, **{**without_counts, **more})

    def _logprobs(self, pieces: Sequence[Piece], position: TextPosition) -> JSON | None:
        if not self.wants_logprobs:
            return None
        found = [entry for piece in pieces for entry in piece.logprobs]
        if isinstance(self.shape, ChatShape):
            return chat_logprobs([f for f in found if f is not None], self._token_bytes)
        tokens = [token for piece in pieces for token in piece.tokens]
        return legacy_logprobs(found, tokens, self._token_bytes, position)

    def _token_bytes(self, token: int) -> bytes:
        return self.vocab.token_bytes(token, special=True)


def _chunks(completion: Completion[TokenStream]) -> Iterator[JSON]:
    for choice in completion.choices:
        yield from completion.begin(choice)
        try:
            for event in choice.stream:
                yield completion.feed(choice, event)
        except LlamaHerdError as error:
            error.partial_text = choice.text
            raise
        yield completion.end(choice)
    yield from completion.counts()


async def _achunks(completion: Completion[AsyncTokenStream]) -> AsyncGenerator[JSON, None]:
    for choice in completion.choices:
        for chunk in completion.begin(choice):
            yield chunk
        try:
            async for event in choice.stream:
                yield completion.feed(choice, event)
        except LlamaHerdError as error:
            error.partial_text = choice.text
            raise
        yield completion.end(choice)
    for chunk in completion.counts():
        yield chunk


class CompletionStream:
    """Iterates over a response's chunks.

    Leaving it early (``break`` and dropping it, ``close``, the end of a ``with``) cancels the
    request within a step. One thread iterates; any thread may cancel.

    Iterating raises LlamaHerdError if the request fails, with ``partial_text``.
    """

    def __init__(self, completion: Completion[TokenStream], owner: object) -> None:
        self._completion, self._owner = completion, owner  # a dropped Llama would close the engine
        self._chunks = _chunks(completion)  # must not refer to self: a cycle would delay __del__

    def whole(self) -> JSON:
        """Wait for every choice; the response as one dictionary."""
        with self:
            for _ in self:
                pass
            return self._completion.whole()

    def __iter__(self) -> Iterator[JSON]:
        return self

    def __next__(self) -> JSON:
        return next(self._chunks)

    def cancel(self) -> None:
        """End the answer now; the last chunk still comes, with finish reason ``cancelled``."""
        self._completion.cancel()

    def close(self) -> None:
        """Cancel and wait for nothing more."""
        self.cancel()
        self._chunks = iter(())

    def __enter__(self) -> CompletionStream:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class AsyncCompletionStream:
    """The same for ``async for``: events reach the event loop without an executor.

    Leaving it early (``break`` and dropping it, ``aclose``, the end of an ``async with``, a
    cancelled task) cancels the request within a step.
    """

    def __init__(self, completion: Completion[AsyncTokenStream], owner: object) -> None:
        self._completion, self._owner = completion, owner
        self._chunks = _achunks(completion)

    async def whole(self) -> JSON:
        """Wait for every choice; the response as one dictionary."""
        async with self:
            async for _ in self:
                pass
            return self._completion.whole()

    def __aiter__(self) -> AsyncIterator[JSON]:
        return self

    async def __anext__(self) -> JSON:
        return await anext(self._chunks)

    def cancel(self) -> None:
        """End the answer now; the last chunk still comes, with finish reason ``cancelled``."""
        self._completion.cancel()

    async def aclose(self) -> None:
        """Cancel and wait for nothing more."""
        self.cancel()
        await self._chunks.aclose()

    async def __aenter__(self) -> AsyncCompletionStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_completion"):
            self.cancel()
