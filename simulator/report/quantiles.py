"""Quantiles by linear interpolation, without numpy: a report must not cost its import."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import floor, fsum

QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}


def quantile(ordered: Sequence[float], q: float) -> float:
    """The ``q``-quantile (0 to 1) of values in ascending order; at least one.

    Type 7 of Hyndman and Fan (1996), which is numpy's default: the value at the fractional
    position ``q * (n - 1)``, on the straight line between its two neighbours.
    """
    position = q * (len(ordered) - 1)
    below = floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def distribution(values: Iterable[float]) -> dict[str, float | None]:
    """``mean`` and every quantile of ``QUANTILES``; all None without values."""
    ordered = sorted(values)
    if not ordered:
        return dict.fromkeys(("mean", *QUANTILES))
    found: dict[str, float | None] = {"mean": fsum(ordered) / len(ordered)}
    found.update((name, quantile(ordered, q)) for name, q in QUANTILES.items())
    return found
