"""From drawn tokens to events: text, stop strings, log-probabilities of one request."""

from __future__ import annotations

from collections.abc import Sequence

from llamaherd.engine.request import TokenEvent, TokenLogprob
from llamaherd.engine.stop import StopMatcher
from llamaherd.model import IncrementalDetokenizer, Vocab


class Output:
    """The text side of a request. Engine's thread only."""

    def __init__(
        self, vocab: Vocab, stops: Sequence[str], shown: frozenset[int] = frozenset()
    ) -> None:
        self._detokenizer = IncrementalDetokenizer(vocab, shown=shown)
        self._stop = StopMatcher(stops)
        self._tokens: list[int] = []
        self._logprobs: list[TokenLogprob] = []

    @property
    def stopping_word(self) -> str | None:
        """The stop string that was found."""
        return self._stop.matched

    def feed(self, token: int, logprob: TokenLogprob | None) -> TokenEvent | None:
        """The event that ``token`` completes; None while its text is held back."""
        self._tokens.append(token)
        if logprob is not None:
            self._logprobs.append(logprob)
        text = self._stop.feed(self._detokenizer.feed(token))
        return self._event(text) if text else None

    def finish(self) -> TokenEvent | None:
        """What was held back, once no more tokens come."""
        text = ""
        if self._stop.matched is None:
            text = self._stop.feed(self._detokenizer.finish()) + self._stop.finish()
        return self._event(text) if text or (self._tokens and self._stop.matched is None) else None

    def _event(self, text: str) -> TokenEvent:
        event = TokenEvent(text, tuple(self._tokens), tuple(self._logprobs))
        self._tokens.clear()
        self._logprobs.clear()
        return event
