"""The share of misses at each load of a replica, for each index of demand: from a profile, then from counts.

Requests count at the load of now, misses at the highest load of the last two minutes, since they show late.
A family of curves, the profile's shifted along the load and on floors, stands where counts are few; the
result never falls with the load.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from math import exp, log

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.fleet_observation import Numbers, Prior, Vector

EDGES: Vector = np.exp(np.arange(log(0.01), log(8.0), 0.12))
LOADS: Vector = np.concatenate(([EDGES[0] / 1.06], np.sqrt(EDGES[1:] * EDGES[:-1]), [EDGES[-1] * 1.06]))
"""The middles of the bins."""
LOG_LOADS: Vector = np.log(LOADS)

SHIFTS: Vector = np.arange(-15, 16) / 10.0
"""By how much the logarithm of a profile's load axis may be off."""
SHIFT_SPREAD = 0.7
FLOORS: Vector = np.array([3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 0.9])
"""Misses at any load, however low: no replica avoids them."""
FLOOR_SPREAD = 1.5
TEMPER = 0.1
"""Misses come in clumps: so much of a request's evidence counts for the family."""
PRIOR_REQUESTS = 50.0
"""The family's curve weighs as much as so many requests in each bin."""
FULL_SHARE = 0.1
"""The load with this share of misses is what a replica is said to hold."""
LEAST_SHARE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """The curves that a prior allows: ``shifted`` (index, shift, bin) without floors.

    ``log_prior``: how likely each is (index, shift, floor).
    """

    shifted: Vector
    log_prior: Vector

    def at(self, bins: Numbers) -> Vector:
        """The shares (index, shift, floor) in one bin of each index."""
        part = np.take_along_axis(self.shifted, bins[:, None, None], axis=2)
        return np.asarray(FLOORS + (1.0 - FLOORS) * part)

    def mean(self, weights: Vector) -> Vector:
        """The mean curve (index, bin) under weights (index, shift, floor), each index's sum being 1."""
        floor = weights @ FLOORS
        part = ((weights @ (1.0 - FLOORS))[:, None, :] @ self.shifted)[:, 0]
        return np.asarray(floor.sum(axis=1)[:, None] + part)


@lru_cache(maxsize=64)
def family(prior: Prior) -> Family:
    """The family of a profile's curves; policies with the same prior share it."""
    curves = np.array(prior.curves)
    above_floor = (curves - curves[:, :1]) / np.maximum(1.0 - curves[:, :1], 1e-9)
    shifted = np.array(
        [[np.interp(LOG_LOADS - shift, LOG_LOADS, curve) for shift in SHIFTS] for curve in above_floor]
    )
    off = -0.5 * (SHIFTS / SHIFT_SPREAD) ** 2
    own_floors = np.clip(curves[:, :1], FLOORS[0], FLOORS[-1])
    floor = -0.5 * (np.log(FLOORS / own_floors) / FLOOR_SPREAD) ** 2
    return Family(shifted, off[:, None] + floor[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class Curves:
    """Counts (index, bin), and the curves that follow.

    ``share`` of misses (index, bin); ``full``: the load that a replica holds, by index.
    """

    requests: Vector
    misses: Vector
    likelihood: Vector
    share: Vector
    full: Vector

    def at(self, log_loads: Vector, index: int) -> Vector:
        """The shares of misses of an index at the logarithms of loads."""
        return np.asarray(np.interp(log_loads, LOG_LOADS, self.share[index]))

    def counted(
        self, load: Vector, late_load: Vector, share: float, requests: float, seconds: float, kin: Family,
        times: Times,
    ) -> Curves:  # fmt: skip
        """With the requests of one sample; the curves follow when they are fitted."""
        keep = exp(-seconds / times.forget_s)
        indices: Numbers = np.arange(len(load))
        late: Numbers = np.searchsorted(EDGES, late_load)
        counts, misses = self.requests * keep, self.misses * keep
        counts[indices, np.searchsorted(EDGES, load)] += requests
        misses[indices, late] += share * requests
        return replace(
            self,
            requests=counts,
            misses=misses,
            likelihood=self.likelihood * keep + TEMPER * requests * agreement(kin.at(late), share),
        )

    def fitted(self, kin: Family) -> Curves:
        """The curves that the counts so far make likely."""
        logs = self.likelihood + kin.log_prior
        weights = np.exp(logs - logs.max(axis=(1, 2), keepdims=True))
        base = kin.mean(weights / weights.sum(axis=(1, 2), keepdims=True))
        counts = self.requests + PRIOR_REQUESTS
        raw = np.minimum(1.0, (self.misses + PRIOR_REQUESTS * base) / counts)
        shares = np.array([isotonic(*pair) for pair in zip(raw, counts, strict=True)])
        return replace(self, share=shares, full=full_loads(shares))


def first_curves(kin: Family) -> Curves:
    """The family's mean, before anything was counted."""
    indices, shifts, bins = kin.shifted.shape
    nothing = np.zeros((indices, bins))
    likelihood = np.zeros((indices, shifts, len(FLOORS)))
    return Curves(nothing, nothing, likelihood, nothing, np.ones(indices)).fitted(kin)


def full_loads(shares: Vector) -> Vector:
    """The load at which each curve reaches ``FULL_SHARE``."""
    return np.array([max(1e-3, float(np.interp(FULL_SHARE, curve, LOADS))) for curve in shares])


def agreement(expected: Vector, share: float) -> Vector:
    """The log-likelihood of a request whose kind missed with ``share`` where ``expected`` was said."""
    sure = np.clip(expected, LEAST_SHARE, 1.0 - LEAST_SHARE)
    return np.asarray(share * np.log(sure) + (1.0 - share) * np.log(1.0 - sure))


def isotonic(values: Vector, weights: Vector) -> Vector:
    """The nearest sequence that never falls (pool adjacent violators)."""
    pools: list[tuple[float, float, int]] = []  # mean, weight, length
    for mean, weight in zip(values.tolist(), weights.tolist(), strict=True):
        length = 1
        while pools and pools[-1][0] > mean:
            other, more, longer = pools.pop()
            mean = (mean * weight + other * more) / (weight + more)
            weight, length = weight + more, length + longer
        pools.append((mean, weight, length))
    return np.repeat([mean for mean, _, _ in pools], [length for _, _, length in pools])
