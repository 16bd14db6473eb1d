"""Text to tokens and back, on the bundled model and on real vocabularies where they are present."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import tiny_llama

from llamaherd import Llama, ModelParams, OptionError, UnsupportedError
from llamaherd.model import IncrementalDetokenizer, Model, Vocab

DATA = Path(__file__).parents[3] / "shared" / "data" / "vocab"
REAL = sorted(DATA.glob("ggml-vocab-*.gguf"))


@pytest.fixture(scope="module")
def vocab() -> Iterator[Vocab]:
    with Model("demo", ModelParams(vocab_only=True)) as model:
        yield model.vocab


@settings(deadline=None)
@given(text=st.text())
def test_text_survives_the_way_to_tokens_and_back(vocab: Vocab, text: str) -> None:
    tokens = vocab.tokenize(text, add_special=False, parse_special=False)
    assert vocab.detokenize(tokens).decode() == text


@settings(deadline=None)
@given(text=st.text())
def test_the_pieces_of_a_text_are_its_bytes(vocab: Vocab, text: str) -> None:
    tokens = vocab.tokenize(text, add_special=False, parse_special=False)
    assert b"".join(map(vocab.token_bytes, tokens)) == text.encode()


@settings(deadline=None)
@given(text=st.text(max_size=30))
def test_the_incremental_detokenizer_never_shows_half_a_character(vocab: Vocab, text: str) -> None:
    detokenizer, shown = IncrementalDetokenizer(vocab), ""
    for token in vocab.tokenize(text, add_special=False, parse_special=False):
        shown += detokenizer.feed(token)
        assert text.startswith(shown)
    assert shown + detokenizer.finish() == text


def test_a_character_that_never_ends_is_replaced_at_the_end(vocab: Vocab) -> None:
    tokens = vocab.tokenize("🦙", add_special=False, parse_special=False)
    assert len(tokens) > 1, "this test needs a character of several tokens"
    detokenizer = IncrementalDetokenizer(vocab)
    assert "".join(map(detokenizer.feed, tokens[:-1])) == ""
    assert detokenizer.finish() == "\ufffd"


def test_special_tokens_are_read_only_on_request(vocab: Vocab) -> None:
    name = vocab.token_text(_end_of_turn(vocab))
    read = vocab.tokenize(name, add_special=False, parse_special=True)
    as_text = vocab.tokenize(name, add_special=False, parse_special=False)
    assert read == [_end_of_turn(vocab)]
    assert len(as_text) > 1
    assert vocab.detokenize(as_text).decode() == name


def _end_of_turn(vocab: Vocab) -> int:
    token = vocab.special.eot if vocab.special.eot is not None else vocab.special.eos
    assert token is not None
    return token


def test_control_tokens_are_spelled_out_only_on_request(vocab: Vocab) -> None:
    token = _end_of_turn(vocab)
    assert vocab.is_control(token)
    assert vocab.is_end(token)
    assert vocab.token_bytes(token) == b""
    assert vocab.token_bytes(token, special=True).decode() == vocab.token_text(token)


def test_the_demo_model_has_fill_in_the_middle_tokens(vocab: Vocab) -> None:
    special = vocab.special
    marks = {special.fim_prefix, special.fim_suffix, special.fim_middle}
    assert None not in marks
    assert len(marks) == 3


@pytest.mark.parametrize("token", [-1, 10**6, 2**40, True, 1.0, "1"])
def test_a_token_that_is_not_there_never_reaches_native_code(vocab: Vocab, token: int) -> None:
    for use in (vocab.token_bytes, vocab.token_text, vocab.is_control):
        with pytest.raises(OptionError, match="token"):
            use(token)
    with pytest.raises(OptionError, match="token"):
        vocab.detokenize([0, token])


def test_incremental_detokenizing_is_linear_in_the_text(
    vocab: Vocab, monkeypatch: pytest.MonkeyPatch
) -> None:
    text, decode, sizes = "Where is the station? " * 200, codecs.utf_8_decode, []

    def counted(data: bytes, errors: str) -> tuple[str, int]:
        sizes.append(len(data))
        return decode(data, errors)

    monkeypatch.setattr(codecs, "utf_8_decode", counted)
    detokenizer = IncrementalDetokenizer(vocab)
    for token in vocab.tokenize(text, add_special=False, parse_special=False):
        detokenizer.feed(token)
    assert sum(sizes) == len(text.encode())


@pytest.mark.skipif(not REAL, reason="the real vocabularies lie beside the project, not in it")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.stem)
def test_real_vocabularies_tokenize_as_llama_cpp_recorded(path: Path) -> None:
    cases = path.with_suffix(".gguf.inp").read_text("utf-8").split("\n__ggml_vocab_test__\n")
    expected = path.with_suffix(".gguf.out").read_text("utf-8").splitlines()
    with Model(path, ModelParams(vocab_only=True)) as model:
        for case, line in zip(cases, expected, strict=False):
            tokens = model.vocab.tokenize(case, add_special=False, parse_special=False)
            assert tokens == [int(t) for t in line.split()], case


def test_a_model_without_tokenizer_says_so(tmp_path: Path) -> None:
    changes: dict[str, object] = {
        "tokenizer.ggml.model": "none",
        "tokenizer.ggml.tokens": None,
        "tokenizer.ggml.token_type": None,
        "tokenizer.ggml.merges": None,
    }
    path = tmp_path / "mute.gguf"
    path.write_bytes(tiny_llama(changes=changes).data)
    with Llama(path) as llm:
        for use in (lambda: llm("hi"), lambda: llm.detokenize([1]), lambda: llm([1], max_tokens=2)):
            with pytest.raises(UnsupportedError, match="no tokenizer"):
                use()
