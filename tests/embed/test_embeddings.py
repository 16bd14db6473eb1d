"""What embed() returns and refuses."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert import Bert, random_bert
from bert_reference import hidden_states, token_ids
from gguf import PoolingType
from t5 import tiny_t5
from tiny_gguf import tiny_llama

from llamaherd import (
    InputLengthError,
    Llama,
    OptionError,
    RequestError,
    UnknownOptionError,
    UnsupportedError,
)
from llamaherd.native import bindings as c

SENTENCES = [
    "the cat is sleeping on the sofa.",
    "a dog is barking at 3 cats, is it?",
    "the",
    "numbers 1 2 3 and words, words, words!",
]


@pytest.fixture(scope="module")
def bert() -> Bert:
    return random_bert()


@pytest.fixture(scope="module")
def encoder(bert: Bert, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    path = bert.write(tmp_path_factory.mktemp("models") / "bert.gguf")
    with Llama(path, n_threads=1) as loaded:
        yield loaded


def _cosine(left: Any, right: Any) -> float:
    return float(left @ right / np.linalg.norm(left) / np.linalg.norm(right))


POOL = {
    "mean": lambda hidden: hidden.mean(axis=0),
    "cls": lambda hidden: hidden[0],
    "last": lambda hidden: hidden[-1],
}


# -- right vectors ------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOL)
def test_vectors_are_those_of_an_implementation_in_numpy(
    encoder: Llama, bert: Bert, pooling: str
) -> None:
    vectors = encoder.embed(SENTENCES, pooling=pooling)
    for sentence, vector in zip(SENTENCES, vectors, strict=True):
        expected = POOL[pooling](hidden_states(bert, token_ids(bert, sentence)))
        assert _cosine(vector, expected) > 0.9999


def test_vectors_of_tokens_are_those_of_an_implementation_in_numpy(
    encoder: Llama, bert: Bert
) -> None:
    found = encoder.embed(SENTENCES, pooling="none", normalize=False)
    for sentence, rows in zip(SENTENCES, found, strict=True):
        expected = hidden_states(bert, token_ids(bert, sentence))
        np.testing.assert_allclose(rows, expected, atol=0.02)


def test_a_long_text_is_read_whole_by_an_encoder(encoder: Llama, bert: Bert) -> None:
    text = "the cat " * 400
    expected = POOL["mean"](hidden_states(bert, token_ids(bert, text)))
    assert _cosine(encoder.embed(text), expected) > 0.9999
    assert _cosine(encoder.embed([SENTENCES[0], text])[1], expected) > 0.9999


@pytest.mark.parametrize("pooling", [*POOL, "none"])
def test_a_long_text_in_pieces_gives_what_it_gives_whole(llm: Llama, pooling: str) -> None:
    text = [int(token) for token in np.random.default_rng(0).integers(5, 500, 700)]
    whole = llm.embed(text, pooling=pooling)
    with Llama("demo", n_ctx=1024, n_threads=1, n_ubatch=128) as other:
        pieces = other.embed(text, pooling=pooling)
    assert pieces.shape == whole.shape
    assert np.sum(pieces * whole, axis=-1).mean() > 0.999


# -- shapes -------------------------------------------------------------------------------------


def test_one_text_gives_one_vector_and_a_list_an_array(llm: Llama) -> None:
    one, many = llm.embed("hello"), llm.embed(["hello", "world"])
    assert isinstance(one, np.ndarray)
    assert one.shape == (llm.n_embd(),)
    assert isinstance(many, np.ndarray)
    assert many.shape == (2, llm.n_embd())
    assert one.dtype == many.dtype == np.float32
    np.testing.assert_allclose(many[0], one, atol=2e-3)


def test_token_ids_are_taken_as_they_are(llm: Llama) -> None:
    tokens = llm.tokenize("hello world")
    text = llm.embed("hello world")
    np.testing.assert_array_equal(llm.embed(tokens), text)
    np.testing.assert_array_equal(llm.embed(np.array(tokens)), text)
    np.testing.assert_array_equal(llm.embed([tokens])[0], text)
    mixed: list[Any] = [tokens, "x"]
    np.testing.assert_allclose(llm.embed(mixed)[0], text, atol=2e-3)


def test_vectors_have_length_one_unless_asked_otherwise(llm: Llama) -> None:
    np.testing.assert_allclose(np.linalg.norm(llm.embed(SENTENCES), axis=1), 1, rtol=1e-5)
    raw = llm.embed(SENTENCES, normalize=False)
    assert (np.linalg.norm(raw, axis=1) > 1.5).all()
    tokens = llm.embed("hello world", pooling="none")
    np.testing.assert_allclose(np.linalg.norm(tokens, axis=1), 1, rtol=1e-5)


def test_fewer_dimensions_are_normalized_again(llm: Llama) -> None:
    cut = llm.embed("hello", dimensions=16)
    assert cut.shape == (16,)
    assert np.linalg.norm(cut) == pytest.approx(1, rel=1e-5)
    with pytest.raises(OptionError, match="at most"):
        llm.embed("hello", dimensions=10_000)


def test_coroutines_get_the_same(llm: Llama) -> None:
    async def both() -> tuple[Any, Any]:
        return await asyncio.gather(llm.aembed("hello"), llm.acreate_embedding("hello"))

    vector, response = asyncio.run(both())
    np.testing.assert_allclose(vector, llm.embed("hello"), atol=2e-3)
    np.testing.assert_allclose(response["data"][0]["embedding"], vector, atol=2e-3)


def test_the_response_is_openais(llm: Llama) -> None:
    response = llm.create_embedding(["hello", "world"], model="mine")
    assert response["object"] == "list"
    assert response["model"] == "mine"
    assert [entry["index"] for entry in response["data"]] == [0, 1]
    assert [entry["object"] for entry in response["data"]] == ["embedding"] * 2
    assert isinstance(response["data"][0]["embedding"][0], float)
    n_tokens = len(llm.tokenize("hello")) + len(llm.tokenize("world"))
    assert response["usage"] == {"prompt_tokens": n_tokens, "total_tokens": n_tokens}


def test_base64_holds_the_same_numbers(llm: Llama) -> None:
    (entry,) = llm.create_embedding("hello", encoding_format="base64")["data"]
    found = np.frombuffer(base64.b64decode(entry["embedding"]), dtype="<f4")
    np.testing.assert_array_equal(found, llm.embed("hello"))


# -- what the file says -------------------------------------------------------------------------


def test_pooling_is_the_models_own(tmp_path: Path, bert: Bert) -> None:
    with Llama(bert.write(tmp_path / "cls.gguf", PoolingType.CLS), n_threads=1) as llm:
        np.testing.assert_array_equal(llm.embed("the cat"), llm.embed("the cat", pooling="cls"))
    with Llama(bert.write(tmp_path / "none.gguf", PoolingType.NONE), n_threads=1) as llm:
        assert llm.embed("the cat").shape == (len(llm.tokenize("the cat")), llm.n_embd())


def test_a_model_that_does_not_say_is_averaged(llm: Llama) -> None:
    np.testing.assert_array_equal(llm.embed("the cat"), llm.embed("the cat", pooling="mean"))


def test_an_encoder_has_no_cache_and_does_not_generate(encoder: Llama) -> None:
    encoder.embed("the cat")
    runner = encoder._embeddings.embedder._lanes["mean"].runner
    assert runner is not None
    assert not c.llama_get_memory(runner._context.pointer)
    assert not c.llama_get_memory(encoder._engine._runner.context)
    with pytest.raises(UnsupportedError, match="generates text"):
        encoder("the cat")


def test_an_encoder_with_a_decoder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t5.gguf"
    path.write_bytes(tiny_t5())
    with Llama(path, n_threads=1) as llm:
        with pytest.raises(UnsupportedError, match="encoder with a decoder"):
            llm.embed([3, 4, 5])
        with pytest.raises(UnsupportedError):
            llm([3, 4, 5])


def test_an_encoder_of_t5_alone_gives_embeddings(tmp_path: Path) -> None:
    path = tmp_path / "t5.gguf"
    path.write_bytes(tiny_t5(decoder=False))
    with Llama(path, n_threads=1) as llm:
        alone, together = llm.embed([3, 4, 5]), llm.embed([[9, 8, 7, 6], [3, 4, 5]])[1]
        np.testing.assert_allclose(alone, together, atol=2e-3)


# -- nothing fails open -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ([], "input"),
        ("", r"input\[0\]"),
        (["fine", ""], r"input\[1\]"),
        (["fine", []], r"input\[1\]"),
        ([1, 2, 10**9], r"input\[0\]"),
        ([[1], [-1]], r"input\[1\]"),
        ([[1.5]], r"input\[0\]"),
        ([["nested"]], r"input\[0\]"),
        (b"bytes", "input"),
        ({"a": 1}, "input"),
        (None, "input"),
        (["fine", None], r"input\[1\]"),
    ],
)
def test_what_is_no_text_is_refused_by_name(llm: Llama, given: Any, name: str) -> None:
    with pytest.raises(OptionError, match=f"^{name}="):
        llm.embed(given)


def test_an_over_long_text_names_its_index_and_both_lengths(encoder: Llama) -> None:
    long = "a " * 1200
    with pytest.raises(InputLengthError, match=r"text 1 has 1202 tokens .* at most 1024") as caught:
        encoder.embed(["short", long])
    assert (caught.value.index, caught.value.n_tokens, caught.value.limit) == (1, 1202, 1024)


def test_cut_texts_keep_the_token_at_their_end(encoder: Llama) -> None:
    long = "a " * 1200
    tokens = encoder.tokenize(long)
    kept = [*tokens[:1023], tokens[-1]]
    np.testing.assert_array_equal(encoder.embed(long, truncate=True), encoder.embed(kept))
    np.testing.assert_array_equal(
        encoder.embed(tokens, truncate=True), encoder.embed(tokens[:1024])
    )


def test_the_context_bounds_a_text(tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_llama().data)
    with Llama(path, n_ctx=100, n_threads=1) as llm:
        assert llm.embed([5] * 100).shape == (llm.n_embd(),)
        with pytest.raises(InputLengthError):
            llm.embed([5] * 101)


def test_bad_options_are_refused(llm: Llama) -> None:
    with pytest.raises(UnknownOptionError, match="normalize"):
        llm.embed("x", normalise=True)  # type: ignore[call-arg]
    with pytest.raises(OptionError, match="pooling"):
        llm.embed("x", pooling="max")
    with pytest.raises(RequestError, match="no classifier"):
        llm.embed("x", pooling="rank")
    with pytest.raises(OptionError, match="encoding_format"):
        llm.create_embedding("x", encoding_format="int8")
