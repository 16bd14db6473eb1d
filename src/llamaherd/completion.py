"""One response: its choices' events as OpenAI-shaped chunks, or as a whole.

:class:`Completion` turns events into chunks and knows nothing of waiting; :class:`CompletionStream`
and :class:`AsyncCompletionStream` fetch the events, each in its own way.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field

from llamaherd.chat_answer import ChatAnswer
from llamaherd.engine import (
    AsyncTokenStream,
    Event,
    FinishEvent,
    ProgressEvent,
    PromptEvent,
    Standing,
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
    TextAnswer,
    TextPosition,
    TextShape,
    chat_logprobs,
    legacy_logprobs,
    prompt_progress,
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
    """One answer on its way.

    Attributes:
        answer: makes deltas of its text, and the whole of them.
        echo: the prompt, if it is part of the answer.
        unsent: pieces whose text is held back, so that no chunk told of them yet.
    """

    index: int
    answer: TextAnswer | ChatAnswer
    echo: Echo | None = None
    pieces: list[Piece] = field(default_factory=list)
    unsent: list[Piece] = field(default_factory=list)
    position: TextPosition = field(default_factory=TextPosition)

    @property
    def text(self) -> str:
        """All text so far, as the model wrote it, an echoed prompt included."""
        return "".join(piece.text for piece in self.pieces)

    def finish_reason(self, reason: str) -> str:
        """Why it ended, in OpenAI's words."""
        return "tool_calls" if self.answer.called and reason == "stop" else reason

    def remarks(self, end: FinishEvent) -> JSON:
        """What OpenAI's shape has no field for: the stop string found, calls that are none."""
        found: JSON = {} if end.stopping_word is None else {"stopping_word": end.stopping_word}
        return {**found, "notes": list(self.answer.notes)} if self.answer.notes else found


@dataclass
class Completion:
    """Choices, and how they are written down.

    Attributes:
        n: choices for each prompt.
        wants_logprobs: whether choices carry ``logprobs``.
        include_usage: end a stream with a chunk of token counts and no choices.
        return_tokens: whether choices carry the ids of their ``tokens``.
        finishes: how each choice ended.
    """

    envelope: Envelope
    shape: TextShape | ChatShape
    choices: list[Choice]
    vocab: Vocab
    n: int = 1
    wants_logprobs: bool = False
    include_usage: bool = False
    return_tokens: bool = False
    finishes: dict[int, FinishEvent] = field(default_factory=dict)

    def opening(self) -> Iterator[JSON]:
        """Chunks before the first event."""
        for choice in self.choices:
            if (first := self.shape.opening(choice.index)) is not None:
                yield self._chunk([first])
            if choice.echo is not None and not self.wants_logprobs:
                yield from self._add(choice, Piece(choice.echo.text))

    def feed(self, index: int, event: Event) -> Iterator[JSON]:
        """The chunks of an event of a choice."""
        choice = self.choices[index]
        if isinstance(event, TokenEvent):
            piece = Piece(event.text, event.tokens, event.logprobs)
            yield from self._add(choice, piece, event.standing)
        elif isinstance(event, ProgressEvent):
            yield self._chunk(
                [self.shape.delta(index, {}, None, None)], prompt_progress=prompt_progress(event)
            )
        elif isinstance(event, FinishEvent):
            self.finishes[index] = event
            yield from self._end(choice, event)
        else:
            assert isinstance(event, PromptEvent), event
            assert choice.echo is not None, "prompt log-probabilities are only asked for with echo"
            logprobs = (None, *event.logprobs)  # nothing predicts the first token
            echoed = Piece(choice.echo.text, tuple(choice.echo.tokens), logprobs)
            yield from self._add(choice, echoed)

    def counts(self) -> Iterator[JSON]:
        """The chunk of token counts that may end a stream."""
        if self.include_usage:
            yield self._chunk([], usage=self._usage)

    def whole(self) -> JSON:
        """The response, once every choice has ended."""
        done = [self._whole_choice(choice) for choice in self.choices]
        return self.envelope.wrap(
            self.shape.whole, done, usage=self._usage, timings=timings(self._ends[0])
        )

    def _whole_choice(self, choice: Choice) -> JSON:
        end = self.finishes[choice.index]
        whole = self.shape.message(
            choice.index,
            choice.answer.message,
            self._logprobs(choice.pieces, TextPosition()),
            choice.finish_reason(end.reason),
        )
        return {**whole, **self._ids(choice.pieces), **choice.remarks(end)}

    @property
    def _usage(self) -> JSON:
        n_reasoning = sum(choice.answer.n_reasoning for choice in self.choices)
        return usage(self._ends, self.n, n_reasoning)

    @property
    def _ends(self) -> list[FinishEvent]:
        return [self.finishes[choice.index] for choice in self.choices]

    def _add(
        self, choice: Choice, piece: Piece, standing: Standing | None = None
    ) -> Iterator[JSON]:
        choice.pieces.append(piece)
        choice.unsent.append(piece)
        delta = choice.answer.feed(piece.text, len(piece.tokens))
        if delta is not None:
            more = {} if standing is None else {"timings": timings(standing)}
            yield self._chunk([self._delta(choice, delta)], **more)

    def _end(self, choice: Choice, event: FinishEvent) -> Iterator[JSON]:
        delta = choice.answer.finish()
        if delta is not None or (choice.unsent and (self.wants_logprobs or self.return_tokens)):
            yield self._chunk([self._delta(choice, delta or {})])
        last = self.shape.delta(choice.index, {}, None, choice.finish_reason(event.reason))
        yield self._chunk([{**last, **choice.remarks(event)}], timings=timings(event))

    def _delta(self, choice: Choice, delta: JSON) -> JSON:
        pieces, choice.unsent = choice.unsent, []
        found = self.shape.delta(choice.index, delta, self._logprobs(pieces, choice.position), None)
        return {**found, **self._ids(pieces)}

    def _ids(self, pieces: Sequence[Piece]) -> JSON:
        if not self.return_tokens:
            return {}
        return {"tokens": [token for piece in pieces for token in piece.tokens]}

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
        legacy = legacy_logprobs(found, tokens, self._token_bytes, position)
        if not self.return_tokens:
            return legacy
        with_ids = chat_logprobs([f for f in found if f is not None], self._token_bytes)
        return {**legacy, "content": with_ids["content"]}  # llama-server's shape beside OpenAI's

    def _token_bytes(self, token: int) -> bytes:
        return self.vocab.token_bytes(token, special=True)


def _chunks(completion: Completion, events: TokenStream) -> Iterator[JSON]:
    yield from completion.opening()
    try:
        for index, event in events:
            yield from completion.feed(index, event)
    except LlamaHerdError as error:
        error.partial_text = completion.choices[events.failed].text
        raise
    yield from completion.counts()


async def _achunks(completion: Completion, events: AsyncTokenStream) -> AsyncGenerator[JSON, None]:
    for chunk in completion.opening():
        yield chunk
    try:
        async for index, event in events:
            for chunk in completion.feed(index, event):
                yield chunk
    except LlamaHerdError as error:
        error.partial_text = completion.choices[events.failed].text
        raise
    for chunk in completion.counts():
        yield chunk


class CompletionStream:
    """Iterates over a response's chunks.

    Leaving it early (``break`` and dropping it, ``close``, the end of a ``with``) cancels the
    request within a step. One thread iterates; any thread may cancel.

    Iterating raises LlamaHerdError if the request fails, with ``partial_text``.
    """

    def __init__(self, completion: Completion, events: TokenStream, owner: object) -> None:
        self._completion, self._events = completion, events
        self._owner = owner  # a dropped Llama would close the engine
        # must not refer to self: a cycle would delay __del__
        self._chunks = _chunks(completion, events)

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
        self._events.cancel()

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

    def __init__(self, completion: Completion, events: AsyncTokenStream, owner: object) -> None:
        self._completion, self._events, self._owner = completion, events, owner
        self._chunks = _achunks(completion, events)

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
        self._events.cancel()

    async def aclose(self) -> None:
        """Cancel and wait for nothing more."""
        self.cancel()
        await self._chunks.aclose()

    async def __aenter__(self) -> AsyncCompletionStream:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self.aclose()

    def __del__(self) -> None:
        if hasattr(self, "_events"):
            self.cancel()
