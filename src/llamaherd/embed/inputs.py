"""What a caller gives, as token ids that the model can read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llamaherd.errors import InputLengthError, OptionError
from llamaherd.model import Vocab

Text = str | Sequence[int]
"""A text, or its token ids."""


def texts_of(given: Text | Iterable[Text], name: str = "input") -> tuple[list[Text], bool]:
    """The texts one by one, and whether only one was given, not in a list.

    Raises:
        OptionError: there is none, or it is neither text nor token ids.
    """
    if isinstance(given, str):
        return [given], True
    if isinstance(given, (bytes, bytearray, Mapping)) or not isinstance(given, Iterable):
        raise OptionError(name, given, "a text, token ids, or a list of these")
    texts: list[Any] = list(given)
    if not texts:
        raise OptionError(name, texts, "at least one text")
    if all(hasattr(text, "__index__") for text in texts):
        return [texts], True
    return texts, False


def text_tokens(
    vocab: Vocab, texts: Sequence[Text], limit: int, *, truncate: bool, name: str = "input"
) -> list[list[int]]:
    """Token ids of each text, with the tokens around it that the model expects.

    What is given as token ids is taken as it is. Names of special tokens in a text are text.

    Args:
        limit: most tokens of a text.
        truncate: cut longer ones; a token that the model expects at the end stays there.

    Raises:
        OptionError: an empty text, or ids that the vocabulary does not have.
        InputLengthError: a longer text, unless ``truncate``.
    """
    found = []
    for index, text in enumerate(texts):
        tokens, n_end = _tokens(vocab, text, f"{name}[{index}]")
        if len(tokens) > limit:
            if not truncate:
                raise InputLengthError(index, len(tokens), limit)
            n_end = min(n_end, limit)
            tokens = tokens[: limit - n_end] + tokens[len(tokens) - n_end :]
        found.append(tokens)
    return found


def _tokens(vocab: Vocab, text: Text, name: str) -> tuple[list[int], int]:
    """Its tokens, and how many at their end the tokenizer added."""
    if not isinstance(text, str):
        tokens, n_end = vocab.all_checked(text, name=name), 0
    else:
        check_text(text, name)
        tokens = vocab.tokenize(text, add_special=True, parse_special=False)
        n_end = int(tokens[-1:] in ([vocab.special.eos], [vocab.special.sep]))
    if not tokens:
        raise OptionError(name, text, "a text of at least one token")
    return tokens, n_end


def check_text(text: object, name: str) -> str:
    """``text``, unless it is no text or has nothing in it."""
    if not isinstance(text, str) or not text:
        raise OptionError(name, text, "a text that is not empty")
    return text
