"""From drawn tokens to events: text, stop strings, log-probabilities of one request."""

from __future__ import annotations

from collections.abc import Sequence

from llamaherd.engine.request import TokenEvent, TokenLogprob
from llamaherd.engine.stop import StopMatcher
from llamaherd.model import IncrementalDetokenizer, Vocab


class Output:
    """The text side of a request. Engine's thread only.

    Attributes:
        stopping_word: the stop string that was found; no property, since every token asks.
    """

    def __init__(
        self, vocab: Vocab, stops: Sequence[str], shown: frozenset[int] = frozenset()
    ) -> None:
        self._detokenizer = IncrementalDetokenizer(vocab, shown=shown)
        self._stop = StopMatcher(stops) if stops else None
        self._tokens: tuple[int, ...] = ()  # since the last event
        self._logprobs: tuple[TokenLogprob, ...] = ()
        self.stopping_word: str | None = None

    def feed(self, token: int, logprob: TokenLogprob | None) -> TokenEvent | None:
        """The event that ``token`` completes; None while its text is held back."""
        self._tokens += (token,)
        if logprob is not None:
            self._logprobs += (logprob,)
        text = self._detokenizer.feed(token)
        if self._stop is not None:
            text = self._stop.feed(text)
            self.stopping_word = self._stop.matched
        return self._event(text) if text else None

    def finish(self) -> TokenEvent | None:
        """What was held back, once no more tokens come."""
        if self.stopping_word is not None:
            return None
        text = self._detokenizer.finish()
        if self._stop is not None:
            text = self._stop.feed(text) + self._stop.finish()
            self.stopping_word = self._stop.matched
        lacking = self._tokens and self.stopping_word is None
        return self._event(text) if text or lacking else None

    def _event(self, text: str) -> TokenEvent:
        event = TokenEvent(text, self._tokens, self._logprobs)
        self._tokens = self._logprobs = ()
        return event
