"""A loaded GGUF: weights, metadata, vocabulary, incremental detokenizer."""

from llamaherd.model.detokenizer import IncrementalDetokenizer
from llamaherd.model.model import Model
from llamaherd.model.vocab import SpecialTokens, Vocab

__all__ = ["IncrementalDetokenizer", "Model", "SpecialTokens", "Vocab"]
