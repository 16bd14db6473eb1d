"""What callers write, as the token ids that the model reads."""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from llamaherd.ambient import Ambient
from llamaherd.chat import ChatFormat
from llamaherd.chat import Prompt as ChatPrompt
from llamaherd.errors import OptionError, UnsupportedError
from llamaherd.model import Model

FIRST_PLACEHOLDER = 0xF0000

Prompt = str | Sequence[int] | Sequence[int | str]
Messages = Sequence[Mapping[str, Any]]


class Prompts:
    """Prompts for one model. Any thread.

    Args:
        template_source: Jinja source that replaces the model's own.
    """

    def __init__(
        self,
        model: Model,
        template: str | os.PathLike[str] | None,
        ambient: Ambient,
        variables: Mapping[str, Any] | None = None,
    ) -> None:
        self._model, self._vocab = model, model.vocab
        self._template_source, self._ambient = _source(template), ambient
        self._variables = dict(variables or {})

    def text(self, prompt: Prompt) -> list[int]:
        """A text, special tokens in it read as such, or token ids, or both in a list.

        Raises:
            OptionError: ids outside the vocabulary, or nothing to read.
        """
        vocab = self._vocab
        if isinstance(prompt, str):
            tokens = vocab.tokenize(prompt, add_special=True, parse_special=True)
        else:
            tokens = vocab.all_checked(self._mixed(prompt), name="prompt")
        if not tokens and vocab.special.bos is not None:
            tokens = [vocab.special.bos]
        if not tokens:
            raise OptionError("prompt", prompt, "at least one token: this model has no BOS token")
        return tokens

    def _mixed(self, prompt: Any) -> Any:
        """Token ids where texts stand among them."""
        if not isinstance(prompt, (list, tuple)) or not any(isinstance(p, str) for p in prompt):
            return prompt
        tokens: list[Any] = []
        for at, part in enumerate(prompt):
            is_text = isinstance(part, str)
            tokens += (
                self._vocab.tokenize(part, add_special=at == 0, parse_special=True)
                if is_text
                else [part]
            )
        return tokens

    def infill(
        self,
        prompt: Prompt,
        suffix: str,
        files: Sequence[Mapping[str, Any]] = (),
        room: int | None = None,
    ) -> list[int]:
        """Prefix, suffix, middle: the order that llama.cpp's own infill uses; files before it.

        Args:
            files: others of the same repository, each with ``text`` and maybe ``filename``.
            room: most tokens; the first of ``files`` are left out for it.

        Raises:
            UnsupportedError: the model has no fill-in-the-middle tokens.
            OptionError: a malformed file.
        """
        vocab, special = self._vocab, self._vocab.special
        marks = special.fim_prefix, special.fim_suffix, special.fim_middle
        if None in marks:
            raise UnsupportedError(
                f"{self._model.path} has no fill-in-the-middle tokens, so it cannot take a suffix"
            )
        before = self._plain("prompt", prompt)
        after = self._plain("suffix", suffix)
        begin = [vocab.special.bos] if vocab.adds_bos else []
        parts = [*begin, marks[0], *before, marks[1], *after, marks[2]]
        gap = [token for token in parts if token is not None]
        if not files:
            return gap
        return self._repository(files, None if room is None else room - len(gap)) + gap

    def _repository(self, files: Sequence[Any], room: int | None) -> list[int]:
        """Files as a repository, as many of the last ones as there is room for.

        With the tokens that Qwen2.5-Coder (arXiv 2409.12186) brought, where the model has them.
        """
        special = self._vocab.special
        begin = [] if special.fim_repo is None else [special.fim_repo, *self._words("repository\n")]
        end = self._file("untitled", "") if special.fim_separator is not None else []
        kept: list[list[int]] = []
        n_tokens = len(begin) + len(end)
        for at, file in reversed(list(enumerate(files))):
            tokens = self._file(*_file_parts(file, at))
            n_tokens += len(tokens)
            if room is not None and n_tokens > room:
                break
            kept.insert(0, tokens)
        return [*begin, *itertools.chain(*kept), *end] if kept else []

    def _file(self, name: str, text: str) -> list[int]:
        separator = self._vocab.special.fim_separator
        if separator is None:
            return self._words(f"\n\n# {name}\n\n{text}")
        return [separator, *self._words(f"{name}\n{text}")]

    def _words(self, text: str) -> list[int]:
        return self._vocab.tokenize(text, add_special=False, parse_special=False)

    def chat(
        self,
        rendered: str,
        quoted: Mapping[str, str] | None = None,
        media: Mapping[str, Sequence[int]] | None = None,
    ) -> list[int]:
        """A rendered conversation; the template may have written the BOS token itself.

        Args:
            quoted: what :meth:`quote` put placeholders for.
            media: the ids of what other single characters stand for.
        """
        vocab, quoted, media = self._vocab, quoted or {}, media or {}
        stand_ins = "".join((*quoted, *media))
        tokens: list[int] = []
        for part in re.split(f"([{stand_ins}])", rendered) if stand_ins else [rendered]:
            if part in media:
                tokens += media[part]
                continue
            text, is_quoted = quoted.get(part, part), part in quoted
            tokens += vocab.tokenize(text, add_special=not tokens, parse_special=not is_quoted)
        bos = vocab.special.bos
        return tokens[1:] if bos is not None and tokens[:2] == [bos, bos] else tokens

    def quote(self, messages: Any) -> tuple[Any, dict[str, str]]:
        """Messages in which no user and no tool can spell a control token.

        Whoever writes ``<|im_end|>`` into a question would end it and could speak as the system.
        Each such text is replaced by a placeholder, a character of a private plane of Unicode.

        Returns:
            The messages, and the text that each placeholder stands for.
        """
        quoted: dict[str, str] = {}

        def safe(value: Any) -> Any:
            if isinstance(value, str):
                for text in self._controls(value):
                    placeholder = chr(FIRST_PLACEHOLDER + len(quoted))
                    quoted[placeholder] = text
                    value = value.replace(text, placeholder)
            elif isinstance(value, Mapping):
                return {key: safe(each) for key, each in value.items()}
            elif isinstance(value, (list, tuple)):
                return [safe(each) for each in value]
            return value

        if isinstance(messages, (str, bytes)) or not isinstance(messages, Sequence):
            return messages, quoted
        strangers = ("user", "tool", "function")
        found = [
            {**message, "content": safe(message.get("content"))}
            if isinstance(message, Mapping) and message.get("role") in strangers
            else message
            for message in messages
        ]
        return found, quoted

    def as_text(self, prompt: Prompt) -> str:
        """A prompt as its caller would read it."""
        if isinstance(prompt, str):
            return prompt
        tokens = self._vocab.all_checked(self._mixed(prompt), name="prompt")
        pieces = (self._vocab.token_bytes(token, special=True) for token in tokens)
        return b"".join(pieces).decode("utf-8", "replace")

    @property
    def can_chat(self) -> bool:
        """Whether the model has a chat template."""
        return "default" in self._templates

    @property
    def _templates(self) -> dict[str, str]:
        given = self._template_source
        return self._model.chat_templates if given is None else {"default": given}

    @functools.cached_property
    def chat_format(self) -> ChatFormat:
        """How the model writes conversations.

        Raises:
            UnsupportedError: it has no chat template.
        """
        templates = self._templates
        if "default" not in templates:
            raise UnsupportedError(
                f"{self._model.path} has no chat template: pass chat_template=, or use "
                "create_completion with a prompt of your own"
            )
        special = self._vocab.special
        controls = self._controls("".join(templates.values()))
        return ChatFormat(
            templates,
            bos=self._special_text(special.bos),
            eos=self._special_text(special.eos),
            now=self._ambient.now,
            variables=self._variables,
            specials=controls,
            ends=[text for text, token in controls.items() if self._vocab.is_end(token)],
        )

    def shown(self, prompt: ChatPrompt) -> frozenset[int]:
        """Control tokens by which a model marks the parts of its answer."""
        markers = "".join(self.chat_format.markers(prompt))
        return frozenset(self._controls(markers).values())

    def _controls(self, text: str) -> dict[str, int]:
        """The control tokens that a text names."""
        vocab = self._vocab
        tokens = set(vocab.tokenize(text, add_special=False, parse_special=True))
        found = {t: vocab.token_bytes(t, special=True) for t in tokens if vocab.is_control(t)}
        return {name.decode("utf-8", "replace"): token for token, name in found.items()}

    def _plain(self, name: str, text: Prompt) -> list[int]:
        if isinstance(text, str):
            return self._words(text)
        return self._vocab.all_checked(self._mixed(text), name=name)

    def _special_text(self, token: int | None) -> str:
        return "" if token is None else self._vocab.token_text(token)


def _file_parts(file: Any, at: int) -> tuple[str, str]:
    """Name and text of one of ``input_extra``."""
    name: Any = None
    if isinstance(file, Mapping):
        name, text = file.get("filename") or "untitled", file.get("text")
    if not isinstance(name, str) or not isinstance(text, str):
        expected = 'an object {"filename": ..., "text": ...}'
        raise OptionError(f"input_extra[{at}]", file, expected)
    return name, text


def _source(template: str | os.PathLike[str] | None) -> str | None:
    """The Jinja source of a template, which a path names and a string is."""
    if template is None or isinstance(template, str):
        return template
    try:
        return Path(template).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or error
        raise OptionError("chat_template", str(template), f"a readable file ({why})") from error


def as_list(prompt: Prompt | Sequence[Prompt]) -> list[Prompt]:
    """One prompt or several, as a list.

    Raises:
        OptionError: lists of tokens mixed with single tokens.
    """
    if isinstance(prompt, (str, bytes, Mapping)) or not isinstance(prompt, Iterable):
        return [prompt]
    parts: list[Any] = list(prompt)
    if any(isinstance(part, Mapping) for part in parts):
        raise OptionError(
            "prompt", prompt, "text or token ids; create_chat_completion takes messages"
        )
    if parts and all(isinstance(part, (str, list, tuple)) for part in parts):
        return parts
    if any(isinstance(part, (list, tuple)) for part in parts):
        raise OptionError("prompt", prompt, "a text, token ids, or a list of these, not a mixture")
    return [prompt]  # type: ignore[list-item]
