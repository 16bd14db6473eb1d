"""What a step costs, learned from steps that ran. Pure; the caller has the clock.

From it follow how many prompt tokens a step may read while others are drawing, and how many
proposed tokens are worth checking: both depend on the machine, so neither is a constant.
"""

from __future__ import annotations

LEAST_TOKENS = 8
FIRST_GUESS_TOKENS = 64
PAUSE_S = 0.6
"""How much longer a step with prompt tokens may be. Large pieces are read at a better rate: on a
CPU products and attention are tiled only from about 64 tokens on."""
DRAWING_SHARE = 0.6
"""Of the time, while a prompt is read: half of the rate, and room for longer texts being slower."""
MEMORY = 0.8  # of the last estimate; the rest is the new observation
FIRST_TRY_TOKENS, MOST_TIMED_TOKENS = 4, 64


class PrefillPace:
    """How many prompt tokens a step may read beside answers that are being drawn.

    A step that reads a prompt takes longer, and every answer waits for it. Such a step is followed
    by so many without that drawing keeps its share of the time, and running answers about half of
    their undisturbed rate.

    Args:
        n_batch: the most that a step can take.
        fixed: a limit that the user chose.
    """

    def __init__(self, n_batch: int, fixed: int | None = None) -> None:
        self._n_batch, self._fixed = n_batch, fixed
        self._draw_s: float | None = None
        self._read_s: float | None = None
        self._owed_s = 0.0  # to drawing, by steps that read

    @property
    def limit(self) -> int:
        """Prompt tokens for the next step, if others are drawing in it; 0: it is their turn."""
        if self._fixed is not None:
            return self._fixed
        if self._owed_s > 0:
            return 0
        if self._draw_s is None or not self._read_s:
            return min(FIRST_GUESS_TOKENS, self._n_batch)
        pause_s = max(self._draw_s, PAUSE_S)
        return int(max(LEAST_TOKENS, min(pause_s / self._read_s, self._n_batch)))

    def observe(self, n_drawing: int, n_read: int, seconds: float) -> None:
        """A step with so many drawing requests and prompt tokens took so long."""
        if n_drawing and not n_read:
            self._draw_s = _mixed(self._draw_s, seconds)
        elif n_drawing and n_read and self._draw_s is not None:
            extra_s = max(0.0, seconds - self._draw_s)
            self._read_s = _mixed(self._read_s, extra_s / n_read)
            self._owed_s += extra_s * DRAWING_SHARE / (1 - DRAWING_SHARE)
        if n_drawing and self._draw_s is not None:
            self._owed_s = max(0.0, self._owed_s - self._draw_s)


class StepCosts:
    """Seconds of a step by its number of tokens, for the few tokens that drawing takes."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def observe(self, n_tokens: int, seconds: float) -> None:
        """A step of so many tokens took so long."""
        if n_tokens <= MOST_TIMED_TOKENS:
            self._seconds[n_tokens] = _mixed(self._seconds.get(n_tokens), seconds)

    @property
    def most_to_try(self) -> int:
        """The largest step worth trying: at most twice the largest that ran."""
        return max(FIRST_TRY_TOKENS, 2 * max(self._seconds, default=0))

    def seconds(self, n_tokens: int) -> float | None:
        """What such a step takes; None: none like it has run.

        Between sizes that ran it is interpolated, beyond them taken as the nearest one's.
        """
        below = max((n for n in self._seconds if n <= n_tokens), default=None)
        above = min((n for n in self._seconds if n >= n_tokens), default=None)
        if below is None or above is None:
            nearest = below if above is None else above
            return None if nearest is None else self._seconds[nearest]
        share = (n_tokens - below) / (above - below) if above > below else 0.0
        return self._seconds[below] * (1 - share) + self._seconds[above] * share


def _mixed(old: float | None, new: float) -> float:
    return new if old is None else MEMORY * old + (1 - MEMORY) * new
