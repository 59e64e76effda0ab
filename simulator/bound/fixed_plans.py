"""The fixed number of replicas to try next, from the attainment of earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log

from simulator.bound.miss_prices import misses_at

ROUGHLY = 1 / 16
"""A share of the number that is near enough for a further goal of a frontier."""


def next_number(
    attained: Mapping[int, float], goal: float, *, guess: int, most: int, near: float = 0.0
) -> int | None:
    """A number between the failing ones and those that reach the goal; None when the fewest is found.

    ``guess``: where to begin. ``most``: more are of no use. ``near``: how far from the fewest, as a share
    of the number, is near enough.
    """
    low = max((number for number, share in attained.items() if share < goal), default=0)
    reaching = [number for number, share in attained.items() if share >= goal and low < number <= most]
    high = min(reaching, default=most + 1)
    if high - low <= max(1.0, near * high):
        return None
    if not reaching:
        return min(_beyond(attained, low, goal) if low else guess, most)
    return (low + high) // 2 if low else high - max(1, high // 8)


def _beyond(attained: Mapping[int, float], low: int, goal: float) -> int:
    """More replicas than the most that fail: an eighth more at least, at most twice as many."""
    other = min((number for number in attained if number < low), key=lambda n: abs(n - low / 2), default=None)
    least = low + max(1, low // 8)
    if other is None:
        return least
    fall = log(misses_at(attained[other]) / misses_at(attained[low])) / log(low / other)
    if fall <= 0.0:
        return least
    enough: float = low * (misses_at(attained[low]) / misses_at(goal)) ** min(1.0 / fall, 10.0)
    return max(least, min(ceil(enough), 2 * low))
