"""Histogram buckets -> the share of requests that missed, and the share that no replica would have saved."""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, inf, log

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.fleet_observation import Edges, Objective, Vector
from autoscaler.objective.increases import Increase

FEWEST_PROMPTS = 200.0
"""Below that many prompts their lengths say nothing about rare ones."""


def share_above(edges: tuple[float, ...], counts: Vector, limit: float) -> float:
    """The share of what was counted that lies above ``limit``: 0 where nothing was.

    Within a bucket the share above falls by the same factor for each equal step of the logarithm; down to
    nothing it falls evenly.
    """
    total = float(counts.sum())
    bucket = int(np.searchsorted(edges, limit))
    if total <= 0.0 or bucket >= len(edges):
        return 0.0
    above = float(counts[bucket + 1 :].sum())
    if edges[bucket] == limit:
        return above / total
    low, high = (edges[bucket - 1] if bucket else 0.0), edges[bucket]
    below = above + float(counts[bucket])
    if high == inf:
        return below / total
    if low > 0.0 and above > 0.0:
        way = log(limit / low) / log(high / low)
        return float(below ** (1.0 - way) * above**way) / total
    return (below - (limit - low) / (high - low) * (below - above)) / total


@dataclass(frozen=True, slots=True)
class Missed:
    """The share of the ``requests`` of a sample that missed."""

    share: float
    requests: float


def missed(sample: Increase, edges: Edges, objective: Objective) -> Missed:
    """One request often misses both latencies: the larger share is near the joint one."""
    ttft = 0.0 if objective.ttft_s is None else share_above(edges.ttft, sample.ttft, objective.ttft_s)
    tpot = 0.0 if objective.tpot_s is None else share_above(edges.tpot, sample.tpot, objective.tpot_s)
    return Missed(max(ttft, tpot), max(sample.finished, float(sample.ttft.sum())))


@dataclass(frozen=True, slots=True, eq=False)
class PromptLengths:
    """The prompt lengths of a day, older ones for less."""

    counts: Vector | None = None

    def after(self, sample: Increase, times: Times) -> PromptLengths:
        """With the sample's requests; other buckets than before begin from nothing."""
        if self.counts is None or len(self.counts) != len(sample.prompts):
            return PromptLengths(sample.prompts)
        return PromptLengths(self.counts * exp(-sample.seconds / times.ledger_s) + sample.prompts)

    def too_long(self, edges: Edges, longest: float) -> float:
        """The share of prompts that miss the TTFT on an idle replica: not in the budget."""
        if self.counts is None or self.counts.sum() < FEWEST_PROMPTS:
            return 0.0
        return min(0.9, share_above(edges.prompts, self.counts, longest))
