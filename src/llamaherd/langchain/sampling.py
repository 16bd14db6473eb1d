"""The fields about drawing an answer, which the chat model and the completion model share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from llamaherd.declared import Params, split_options
from llamaherd.errors import OptionError
from llamaherd.langchain.source import ModelSource
from llamaherd.params import (
    SamplingParams,
)


class Sampling(ModelSource):
    """Fields that are None leave the choice to the model's file, then to llamaherd's defaults."""

    max_tokens: int | None = None
    """None: until the model ends or the context is full."""
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    repeat_penalty: float | None = None
    last_n_tokens_size: int | None = None
    """Tokens that the penalty looks back at."""
    seed: int | None = None
    """None or -1: a fresh one for each answer."""
    stop: list[str] | None = None
    grammar: str | None = None
    """GBNF or Lark text that answers must match."""
    grammar_path: str | None = None
    """The same from a file."""
    streaming: bool = True
    """As all of LangChain's models have it: if set to True, ``invoke`` streams to callbacks; if set
    to False, ``stream`` gives one chunk."""

    further: ClassVar[tuple[type[Params], ...]] = (SamplingParams,)

    def _check(self) -> None:
        super()._check()
        if self.grammar is not None and self.grammar_path is not None:
            raise OptionError("grammar_path", self.grammar_path, "None beside grammar")
        options = self._call_options(None, {})
        for kind, given in zip(self.further, split_options(options, *self.further), strict=True):
            kind(**given)

    def _call_options(self, stop: list[str] | None, given: Mapping[str, Any]) -> dict[str, Any]:
        """What Llama is told with a call: the call's own options before those of the object."""
        fields = {name: getattr(self, name) for name in _DRAWN}
        found = {name: value for name, value in fields.items() if value is not None}
        known = set().union(*(kind.names() for kind in self.further))
        found |= {name: v for name, v in self.model_kwargs.items() if name in known}
        if self.timeout is not None:
            found["deadline_s"] = self.timeout
        if self.grammar_path is not None:
            found["grammar"] = _text(self.grammar_path)
        found |= {_RENAMED.get(n, n): v for n, v in given.items() if n not in ("model", "stream")}
        if name := given.get("model") or self.model_path or self.model:
            found["model"] = name  # others who share the model may have named it otherwise
        wanted = self.stop if stop is None else stop
        if wanted:
            found["stop"] = wanted
        return found


_DRAWN = (
    "max_tokens", "temperature", "top_p", "top_k", "repeat_penalty", "last_n_tokens_size", "seed",
    "grammar",
)  # fmt: skip
_RENAMED = {"timeout": "deadline_s"}


def _text(path: str) -> str:
    try:
        return Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OptionError("grammar_path", path, f"a text file: {error}") from error
