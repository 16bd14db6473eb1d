"""What an answer must look like -> masks over the vocabulary, and tokens that must come."""

from llamaherd.constrain.constrainer import Constrainer, TokenConstraint
from llamaherd.constrain.thought_budget import ThoughtBudget

__all__ = ["Constrainer", "ThoughtBudget", "TokenConstraint"]
