"""The fewest replicas at the price of a miss: replicas plus the misses to expect, in replicas."""

from __future__ import annotations

from math import ceil

import numpy as np

from autoscaler.objective.curve import Curves
from autoscaler.objective.demand import capacity
from autoscaler.objective.fleet_observation import Vector
from autoscaler.objective.history import positive

WORTHWHILE = 0.25
"""A change has to save so much of a replica: the cost is flat around its least."""
LEAST_WEIGHT = 0.02
"""An index that explains so little of the misses is left out."""


def expected_misses(forecast: Vector, curves: Curves, weights: Vector, most: int) -> Vector:
    """For 1, 2, ... ``most`` replicas, in full replicas' worth of requests, averaged over the indices."""
    log_capacity = np.log(capacity(np.arange(1, most + 1)))
    misses = np.zeros(most)
    for index in np.flatnonzero(weights >= LEAST_WEIGHT):
        demand = positive(forecast[index])
        shares = curves.at(np.log(demand)[:, None] - log_capacity, int(index))
        misses += weights[index] / curves.full[index] * (demand @ shares) / len(demand)
    return misses


def candidates(forecast: Vector, curves: Curves, most: int) -> int:
    """Beyond so many replicas none of the forecast's values fills them."""
    return int(min(most, max(3, ceil(1.5 * float((forecast / curves.full[:, None]).max())) + 2)))


def cheapest(misses: Vector, price: float, ordered: int) -> int:
    """The replicas that cost least together with the misses; those ordered if they cost hardly more."""
    cost = np.arange(1, len(misses) + 1) + price * misses
    best = int(cost.argmin())
    if ordered <= len(cost) and cost[ordered - 1] - cost[best] < WORTHWHILE:
        return ordered
    return best + 1
