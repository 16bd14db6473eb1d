"""What a step costs, learned from steps that ran. Pure; the caller has the clock.

From it follow how many prompt tokens a step may read while others are drawing, and how many
proposed tokens are worth checking: both depend on the machine, so neither is a constant.
"""

from __future__ import annotations

from collections import deque

TILE_TOKENS = 64
"""llama.cpp computes attention on a CPU in blocks of so many tokens (GGML_FA_TILE_Q in
ggml-cpu/common.h): fewer are three times slower a token, and a block begun costs a whole one."""
PAUSE_S = 0.6
"""How much longer a step with prompt tokens may be, if a block of them is read in that time."""
KEPT_RATE = 0.56
"""Share of their undisturbed rate that answers keep while a prompt is read: half, and a little for
what is measured too late."""
READING_SHARE = 0.2
"""Least share of the time for reading, where longer texts alone have slowed the answers down."""
MEMORY = 0.8  # of the last estimate; the rest is the new observation
NOTED_STEPS = 64  # enough to forget what they replace
FIRST_TRY_TOKENS, MOST_TIMED_TOKENS = 4, 64


class PrefillPace:
    """How many prompt tokens a step may read beside answers that are being drawn.

    A step that reads a prompt takes longer, and every answer waits for it. Such a step is followed
    by so many without that the answers keep their share of the rate they had before.

    Args:
        n_batch: the most that a step can take.
        fixed: a limit that the user chose.
    """

    def __init__(self, n_batch: int, fixed: int | None = None) -> None:
        self._n_batch, self._fixed = n_batch, fixed
        self._draw_s: dict[int, float] = {}  # by the number of requests that draw
        self._read_s: float | None = None
        self._owed_s = 0.0  # to drawing, by steps that read
        self._noted: deque[tuple[int, int, float, bool]] = deque(maxlen=NOTED_STEPS)

    def limit(self, n_drawing: int) -> int:
        """Prompt tokens for a step in which so many draw; 0: it is their turn."""
        if self._fixed is not None:
            return self._fixed
        while self._noted:
            self._learn(*self._noted.popleft())
        if self._owed_s > 0:
            return 0
        blocks = max(int(PAUSE_S / (self._read_s * TILE_TOKENS)) if self._read_s else 1, 1)
        n_tokens = min((blocks + n_drawing // TILE_TOKENS) * TILE_TOKENS, self._n_batch)
        return max(1, n_tokens - n_drawing)

    def observe(self, n_drawing: int, n_read: int, seconds: float, *, reading: bool) -> None:
        """A step took so long.

        Args:
            n_drawing: requests that drew in it.
            n_read: prompt tokens.
            reading: whether a prompt waits to be read on: what is drawn meanwhile is slower,
                since attention goes over the prompt, too.
        """
        if n_drawing:  # what follows is worked out once a prompt is to be read
            self._noted.append((n_drawing, n_read, seconds, reading))

    def _learn(self, n_drawing: int, n_read: int, seconds: float, reading: bool) -> None:
        if not n_read:
            known = self._draw_s.get(n_drawing)
            if known is None or not reading or seconds < known:
                self._draw_s[n_drawing] = _mixed(known, seconds)
            if not self._owed_s:
                return
        draw_s = self._draw_s.get(n_drawing)
        if draw_s is None:
            self._owed_s = seconds  # the next step tells what drawing costs
            return
        allowed_s = draw_s / KEPT_RATE
        if n_read:
            self._read_s = _mixed(self._read_s, max(0.0, seconds - draw_s) / n_read)
            self._owed_s = max(0.0, self._owed_s + seconds - allowed_s)
        else:
            paid_s = max(allowed_s - seconds, READING_SHARE * seconds)
            self._owed_s = max(0.0, self._owed_s - paid_s)


class StepCosts:
    """Seconds of a step by its number of tokens, for the few tokens that drawing takes."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}

    def observe(self, n_tokens: int, seconds: float) -> None:
        """A step of so many tokens took so long.

        One in which the machine did something else must not count for long: it may be the only
        one of its size, and decide that there is no other.
        """
        if n_tokens <= MOST_TIMED_TOKENS:
            known = self._seconds.get(n_tokens)
            if known is not None and seconds < known / 2:
                known = None
            bounded = seconds if known is None else min(seconds, 2 * known)
            self._seconds[n_tokens] = _mixed(known, bounded)

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
