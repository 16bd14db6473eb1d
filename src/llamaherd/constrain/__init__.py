"""Grammars and JSON schemas -> masks over the vocabulary, by llguidance."""

from llamaherd.constrain.constrainer import Constrainer, TokenConstraint

__all__ = ["Constrainer", "TokenConstraint"]
