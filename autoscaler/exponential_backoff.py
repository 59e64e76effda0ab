"""Exponential back-off: the one formula for how long to wait before another try."""

from __future__ import annotations

_ENOUGH = 60
"""Doublings after which every wait is at its longest; a float could not be doubled for ever."""


def doubled(first: float, longest: float, times: int) -> float:
    """``first``, doubled so many ``times``, up to ``longest``. Randomness is the caller's."""
    return min(first * 2.0 ** min(times, _ENOUGH), longest)
