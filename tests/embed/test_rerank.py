"""Documents in the order of their scores; pairs written as llama-server writes them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bert import Bert, random_bert
from bert_reference import score, token_ids
from tiny_gguf import F32, Tensor, bpe_vocabulary, llama_metadata, llama_tensors, write

from llamaherd import InputLengthError, Llama, OptionError, UnsupportedError
from llamaherd.embed.pairs import pair_tokens

QUERY = "what is the cat doing?"
DOCUMENTS = ["the cat is sleeping.", "3 dogs, barking!", "the", "is it sleeping, the cat?"]
TEMPLATE = "<s>Query: {query}\nDocument: {document}</s>\nRelevant:"


@pytest.fixture(scope="module")
def bert() -> Bert:
    return random_bert(classifier=True)


@pytest.fixture(scope="module")
def ranker(bert: Bert, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    path = bert.write(tmp_path_factory.mktemp("models") / "ranker.gguf", None)
    with Llama(path, n_threads=1) as loaded:
        yield loaded


def _expected(bert: Bert, query: str, document: str) -> float:
    return score(bert, token_ids(bert, query) + token_ids(bert, document)[1:])


def test_scores_are_those_of_an_implementation_in_numpy(ranker: Llama, bert: Bert) -> None:
    results = ranker.rerank(QUERY, DOCUMENTS)["results"]
    assert sorted(result["index"] for result in results) == [0, 1, 2, 3]
    for result in results:
        expected = _expected(bert, QUERY, DOCUMENTS[result["index"]])
        assert result["relevance_score"] == pytest.approx(expected, abs=0.01)


def test_results_come_best_first(ranker: Llama) -> None:
    response = ranker.rerank(QUERY, DOCUMENTS, model="mine", return_documents=True)
    assert response["object"] == "list"
    assert response["model"] == "mine"
    scores = [result["relevance_score"] for result in response["results"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == 4
    for result in response["results"]:
        assert result["document"] == {"text": DOCUMENTS[result["index"]]}
    pairs = [len(ranker.tokenize(QUERY)) + len(ranker.tokenize(d)) - 1 for d in DOCUMENTS]
    assert response["usage"] == {"prompt_tokens": sum(pairs), "total_tokens": sum(pairs)}


def test_only_the_best_are_given_on_request(ranker: Llama) -> None:
    everything = ranker.rerank(QUERY, DOCUMENTS)["results"]
    assert ranker.rerank(QUERY, DOCUMENTS, top_n=2)["results"] == everything[:2]
    assert ranker.rerank(QUERY, DOCUMENTS, top_n=9)["results"] == everything


def test_coroutines_get_the_same(ranker: Llama) -> None:
    assert asyncio.run(ranker.arerank(QUERY, DOCUMENTS)) == ranker.rerank(QUERY, DOCUMENTS)


def test_a_model_that_does_not_rank_tells_the_remedy(llm: Llama) -> None:
    with pytest.raises(UnsupportedError, match="method='cosine'"):
        llm.rerank(QUERY, DOCUMENTS)


def test_any_embedding_model_ranks_by_angle_when_asked(llm: Llama) -> None:
    response = llm.rerank(QUERY, DOCUMENTS, method="cosine")
    query, documents = llm.embed(QUERY), llm.embed(DOCUMENTS)
    for result in response["results"]:
        expected = float(documents[result["index"]] @ query)
        assert result["relevance_score"] == pytest.approx(expected, abs=5e-3)
    with pytest.raises(OptionError, match="cosine"):
        llm.rerank(QUERY, DOCUMENTS, pooling="cls")


def test_a_ranker_does_not_embed_unless_told_how(ranker: Llama) -> None:
    with pytest.raises(UnsupportedError, match=r"use rerank\(\)"):
        ranker.embed("the cat")
    assert ranker.embed("the cat", pooling="cls").shape == (ranker.n_embd(),)
    assert ranker.embed("the cat", pooling="rank").shape == (1,)


@pytest.mark.parametrize(
    ("query", "documents", "name"),
    [
        ("", ["a"], "query"),
        ("a", [], "documents"),
        ("a", "b", "documents"),
        ("a", ["b", ""], r"documents\[1\]"),
        ("a", ["b", 3], r"documents\[1\]"),
        ("a", ["b", {"text": "c"}], r"documents\[1\]"),
        (["a"], ["b"], "query"),
    ],
)
@pytest.mark.parametrize("method", ["rank", "cosine"])
def test_what_is_no_text_is_refused_by_name(
    ranker: Llama, query: Any, documents: Any, name: str, method: str
) -> None:
    options: dict[str, Any] = {"method": method}
    if method == "cosine":
        options["pooling"] = "mean"
    with pytest.raises(OptionError, match=f"^{name}="):
        ranker.rerank(query, documents, **options)


def test_an_over_long_pair_names_its_index_and_both_lengths(ranker: Llama) -> None:
    with pytest.raises(InputLengthError, match=r"text 1 has 1206 tokens .* at most 1024") as caught:
        ranker.rerank("a a a", ["a", "a " * 1200])
    assert caught.value.index == 1


def test_cut_documents_leave_the_query_and_the_end(ranker: Llama) -> None:
    cut = ranker.rerank("the cat", ["a " * 1200], truncate=True)
    fits = ranker.rerank("the cat", ["a " * (1024 - 5)])
    assert cut == fits
    with pytest.raises(InputLengthError):
        ranker.rerank("a " * 1200, ["a"], truncate=True)


# -- models with a template of their own ------------------------------------------------------


def _tiny_qwen3(*, template: str | None = TEMPLATE) -> bytes:
    """A decoder that scores a pair by its last token, as Qwen3-Reranker does."""
    vocabulary = bpe_vocabulary()
    n_vocab = len(vocabulary["tokenizer.ggml.tokens"])  # type: ignore[arg-type]
    metadata = {
        key.replace("llama.", "qwen3."): "qwen3" if key == "general.architecture" else value
        for key, value in llama_metadata(n_vocab).items()
    }
    metadata |= {**vocabulary, "qwen3.classifier.output_labels": ["yes", "no"]}
    metadata["qwen3.pooling_type"] = 4
    if template is not None:
        metadata["tokenizer.chat_template.rerank"] = template
    random = np.random.default_rng(1)

    def tensor(name: str, *shape: int) -> Tensor:
        values = random.normal(1 if len(shape) == 1 else 0, 0.5, int(np.prod(shape)))
        return Tensor(name, shape, F32, values.astype("<f4").tobytes())

    norms = [tensor(f"blk.{at}.attn_{part}_norm.weight", 16) for at in (0, 1) for part in "qk"]
    head = tensor("cls.output.weight", 64, 2)
    return bytes(write(metadata, [*llama_tensors(n_vocab), *norms, head]).data)


@pytest.fixture(scope="module")
def templated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    path = tmp_path_factory.mktemp("models") / "qwen3.gguf"
    path.write_bytes(_tiny_qwen3())
    with Llama(path, n_threads=1) as loaded:
        yield loaded


def test_the_models_own_template_is_filled_in(templated: Llama) -> None:
    filled = TEMPLATE.replace("{query}", "one").replace("{document}", "two {query}")
    expected = templated.tokenize(filled, add_bos=False, special=True)
    (tokens,) = pair_tokens(templated.model, "one", ["two {query}"], 1000, truncate=False)
    assert tokens == expected


def test_a_decoder_scores_pairs_by_probability(templated: Llama) -> None:
    results = templated.rerank("one", ["two", "three four", "at the inn"])["results"]
    scores = [result["relevance_score"] for result in results]
    assert all(0 < score < 1 for score in scores)
    assert len(set(scores)) == 3
    both = templated.embed("one", pooling="rank")
    assert both.shape == (2,)
    assert both.sum() == pytest.approx(1, abs=1e-5)


def test_documents_are_cut_inside_a_template(templated: Llama) -> None:
    (tokens,) = pair_tokens(templated.model, "one", ["word " * 200], 90, truncate=True)
    begin, end = TEMPLATE.split("{document}")
    assert 80 <= len(tokens) <= 90
    text = templated.detokenize(tokens, special=True).decode()
    assert text.startswith(begin.replace("{query}", "one") + "word word")
    assert text.endswith(end)


def test_without_a_template_the_vocabularys_marks_are_used(tmp_path: Path) -> None:
    path = tmp_path / "plain.gguf"
    path.write_bytes(_tiny_qwen3(template=None))
    with Llama(path, n_threads=1) as llm:
        (tokens,) = pair_tokens(llm.model, "one", ["two"], 100, truncate=False)
        one, two = (llm.tokenize(text, add_bos=False) for text in ("one", "two"))
        assert tokens == [llm.token_bos(), *one, *two]
