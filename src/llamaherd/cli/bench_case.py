"""What a benchmark measures, and what came out."""

from __future__ import annotations

import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class BenchCase:
    """What one figure measures: a prompt that is read, or tokens generated side by side."""

    name: str
    n_prompt: int
    n_generated: int
    n_seq: int

    @property
    def n_tokens(self) -> int:
        """Tokens computed in one run."""
        return (self.n_prompt + self.n_generated) * self.n_seq


@dataclass(frozen=True)
class BenchResult:
    """A case with the rate of each run, in tokens a second."""

    case: BenchCase
    rates: list[float]

    @property
    def mean(self) -> float:
        """Average rate."""
        return statistics.fmean(self.rates)

    @property
    def spread(self) -> float:
        """Standard deviation; 0 for a single run."""
        return statistics.stdev(self.rates) if len(self.rates) > 1 else 0.0
