"""Several runs on one time axis, for the comparison plots."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

POINTS = 600


def grid(end_s: float) -> list[float]:
    """Equally spaced times from 0 to the end of the longest run, in seconds."""
    return [end_s * index / POINTS for index in range(POINTS + 1)]


def held_at(times: Sequence[float], values: Sequence[float], moments: Sequence[float]) -> list[float | None]:
    """A step series at each moment: its last value until then, None outside its own times."""
    if not times:
        return [None] * len(moments)
    return [
        values[bisect_right(times, moment) - 1] if times[0] <= moment <= times[-1] else None
        for moment in moments
    ]


def straight_at(
    times: Sequence[float], values: Sequence[float], moments: Sequence[float]
) -> list[float | None]:
    """A series of straight lines at each moment, None outside its own times."""
    return [_between(times, values, moment) for moment in moments]


def _between(times: Sequence[float], values: Sequence[float], moment: float) -> float | None:
    if not times or not times[0] <= moment <= times[-1]:
        return None
    above = bisect_right(times, moment)
    if above == len(times):
        return values[-1]
    start, end = times[above - 1], times[above]
    weight = (moment - start) / (end - start)
    return values[above - 1] + (values[above] - values[above - 1]) * weight
