"""Quantiles of classic histograms, as Prometheus' ``histogram_quantile`` computes them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from math import inf

_SMALL_DELTA = 1e-12  # promql's smallDeltaTolerance: rates of equal counts differ in the last digits

Histogram = tuple[Sequence[float], Sequence[float]]
"""Upper bounds, ascending, +Inf last; and the cumulative count at or below each."""


def histogram_quantile(quantile: float, bounds: Sequence[float], cumulative: Sequence[float]) -> float | None:
    """The quantile, linear within a bucket; beyond the last finite bound that bound itself.

    None where Prometheus says NaN: nothing was counted, there are fewer than two buckets, or the
    last is not +Inf. Counts that fall are lifted to the one before. Source: ``bucketQuantile`` in
    Prometheus' promql/quantile.go.
    """
    if len(bounds) < 2 or bounds[-1] != inf:
        return None
    counts = _monotonic(cumulative)
    if counts[-1] == 0:
        return None
    rank = quantile * counts[-1]
    bucket = bisect_left(counts, rank, 0, len(counts) - 1)
    if bucket == len(counts) - 1:
        return bounds[-2]
    if bucket == 0 and bounds[0] <= 0:
        return bounds[0]
    start, below = (bounds[bucket - 1], counts[bucket - 1]) if bucket else (0.0, 0.0)
    return start + (bounds[bucket] - start) * (rank - below) / (counts[bucket] - below)


def _monotonic(cumulative: Sequence[float]) -> list[float]:
    counts: list[float] = []
    for count in cumulative:
        before = counts[-1] if counts else count
        close = abs(count - before) <= _SMALL_DELTA * max(abs(count), abs(before))
        counts.append(before if close else max(count, before))
    return counts


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """The sum of histograms over the union of their bounds.

    Within a bucket that a histogram does not divide, all its counts are taken for the upper
    end: versions with different buckets never make a latency look better than it was.
    """
    bounds = sorted({bound for edges, _ in histograms for bound in edges})
    totals = [
        sum(counts[at - 1] for edges, counts in histograms if (at := bisect_right(edges, bound)))
        for bound in bounds
    ]
    return bounds, totals
