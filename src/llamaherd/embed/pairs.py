"""A query and a document as one text, as the model was trained to score them.

The format is llama-server's (``format_prompt_rerank``): the model file's own ``rerank`` template
where it has one, else BERT's ``BOS query EOS SEP document EOS``, of which each model adds what its
vocabulary says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from llamaherd.errors import InputLengthError
from llamaherd.model import Model, Vocab

_PLACE = re.compile(r"\{(query|document)\}")
_Pair = Callable[[str], list[int]]


def pair_tokens(
    model: Model, query: str, documents: Sequence[str], limit: int, *, truncate: bool
) -> list[list[int]]:
    """Token ids of the query with each document.

    Args:
        limit: most tokens of a pair.
        truncate: cut documents that make it longer.

    Raises:
        InputLengthError: a longer pair; with ``truncate``, one whose query alone is too long.
    """
    template = model.chat_templates.get("rerank")
    vocab = model.vocab
    pair = _by_template(vocab, template, query) if template else _by_marks(vocab, query)
    found = []
    for index, document in enumerate(documents):
        tokens = pair(document)
        if len(tokens) > limit and truncate:
            tokens = _shortened(vocab, pair, document, limit)
        if len(tokens) > limit:
            raise InputLengthError(index, len(tokens), limit)
        found.append(tokens)
    return found


def _by_marks(vocab: Vocab, query: str) -> _Pair:
    special = vocab.special
    eos = special.sep if special.eos is None else special.eos
    begin = _marks((vocab.adds_bos, special.bos))
    between = _marks((vocab.adds_eos, eos), (vocab.adds_sep, special.sep))
    end = _marks((vocab.adds_eos, eos))
    head = [*begin, *_plain(vocab, query), *between]
    return lambda document: [*head, *_plain(vocab, document), *end]


def _marks(*marks: tuple[bool, int | None]) -> list[int]:
    return [token for wanted, token in marks if wanted and token is not None]


def _plain(vocab: Vocab, text: str) -> list[int]:
    return vocab.tokenize(text, add_special=False, parse_special=False)


def _by_template(vocab: Vocab, template: str, query: str) -> _Pair:
    """Filled in and read as one text, special tokens included: so it was in training."""

    def pair(document: str) -> list[int]:
        texts = {"query": query, "document": document}
        filled = _PLACE.sub(lambda place: texts[place[1]], template)
        return vocab.tokenize(filled, add_special=False, parse_special=True)

    return pair


def _shortened(vocab: Vocab, pair: _Pair, document: str, limit: int) -> list[int]:
    """The pair with less of the document; with one token of it the pair may still be too long."""
    words = _plain(vocab, document)
    tokens = pair(document)
    while len(tokens) > limit and len(words) > 1:
        words = words[: max(1, len(words) - (len(tokens) - limit))]
        text = vocab.detokenize(words).decode("utf-8", "ignore")
        tokens = pair(text)
    return tokens
