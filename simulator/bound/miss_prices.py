"""The price of a miss to try next, from the attainment at earlier ones."""

from __future__ import annotations

from collections.abc import Mapping
from math import log

CHEAPEST, DEAREST = 0.01, 1e6
"""Prices of a miss in replica-seconds beyond which no plan changes."""

_SPREAD = 1.04
"""Between a price and its neighbours in a pair."""

_FALL = 0.8
"""Misses fall about as the price's power of so much, where nothing is known yet."""

_LEAST = 1.2
"""A price is changed by so much at least while the goal is on one side of all."""

_EDGE = 0.2
"""Of a bracket, on a logarithmic scale: a price nearer to its ends gives nothing new."""


def usual_price(goal: float) -> float:
    """A first guess at the price that reaches a goal."""
    return 0.25 / max(1.0 - goal, 1e-5)


def bracket(attained: Mapping[float, float], goal: float) -> tuple[float | None, float | None]:
    """The dearest price that failed and the cheapest dearer one that reached the goal."""
    high = min((price for price, share in attained.items() if share >= goal), default=None)
    failed = [p for p, share in attained.items() if share < goal and (high is None or p < high)]
    return max(failed, default=None), high


def next_price(attained: Mapping[float, float], goal: float) -> float:
    """The price that should just reach the goal, inside of the bracket."""
    low, high = bracket(attained, goal)
    if low is None and high is None:
        return usual_price(goal)
    if high is None:
        assert low is not None
        return _within(low * max(_times(attained[low], goal), _LEAST))
    if low is None:
        return _within(high * min(_times(attained[high], goal), 1.0 / _LEAST))
    fallen = log(misses_at(attained[low]) / misses_at(attained[high]))
    part = log(misses_at(attained[low]) / misses_at(goal)) / fallen if fallen > 0.0 else 0.5
    price: float = low * (high / low) ** min(max(part, _EDGE), 1.0 - _EDGE)
    return price


def pair(price_s: float) -> list[float]:
    """Two prices about one: two processes replay their plans at once."""
    return [_within(price_s / _SPREAD), _within(price_s * _SPREAD)]


def misses_at(attainment: float) -> float:
    """The share of requests that miss, never 0: its logarithm is taken."""
    return max(1.0 - attainment, 1e-7)


def _times(attainment: float, goal: float) -> float:
    """The factor on a price that should take the attainment to the goal."""
    factor: float = (misses_at(attainment) / misses_at(goal)) ** (1.0 / _FALL)
    return factor


def _within(price_s: float) -> float:
    return min(max(price_s, CHEAPEST), DEAREST)
