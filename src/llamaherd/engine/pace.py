"""How many prompt tokens a step may read while others are drawing. Pure; the caller has the clock.

A step that reads a prompt beside drawing answers takes longer, and every answer waits for it. The
limit is chosen from measured steps so that such a step takes about twice as long as one without
the prompt: running answers keep half of their undisturbed rate, and the prompt gets the rest.
"""

from __future__ import annotations

LEAST_TOKENS = 8
FIRST_GUESS_TOKENS = 64
MEMORY = 0.8  # of the last estimate; the rest is the new observation


class PrefillPace:
    """Learns from each step. One thread.

    Args:
        n_batch: the most that a step can take.
    """

    def __init__(self, n_batch: int) -> None:
        self._n_batch = n_batch
        self._draw_s: float | None = None
        self._read_s: float | None = None

    @property
    def limit(self) -> int:
        """Prompt tokens for the next step, if others are drawing in it."""
        if self._draw_s is None or not self._read_s:
            return min(FIRST_GUESS_TOKENS, self._n_batch)
        return int(max(LEAST_TOKENS, min(self._draw_s / self._read_s, self._n_batch)))

    def observe(self, n_drawing: int, n_read: int, seconds: float) -> None:
        """A step with so many drawing requests and prompt tokens took so long."""
        if n_drawing and not n_read:
            self._draw_s = _mixed(self._draw_s, seconds)
        elif n_drawing and n_read and self._draw_s is not None:
            self._read_s = _mixed(self._read_s, max(0.0, seconds - self._draw_s) / n_read)


def _mixed(old: float | None, new: float) -> float:
    return new if old is None else MEMORY * old + (1 - MEMORY) * new
