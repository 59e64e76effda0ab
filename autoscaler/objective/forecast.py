"""The demand when a replica that is ordered now is ready: what followed similar moments of the own day.

Similar is a like ratio of the recent demand to its level; what followed is relative to the level then. Some
made-up moments stand where there is no past.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.demand import INDICES
from autoscaler.objective.fleet_observation import Numbers, Vector
from autoscaler.objective.history import QUANTILES, DemandHistory, positive

SIMILAR = 0.25
"""Moments whose ratios' logarithms differ by this are still similar."""
MADE_UP = 40.0
"""Made-up moments, in slots: they go half of the way back to the level, with a spread."""
PERSISTENCE = 0.6
SPREAD = 0.25
LOG_STEP, STEPS = 0.05, 240
"""Later demand is counted in bins of its logarithm."""

_RATIOS: Vector = np.exp((np.arange(STEPS) + 0.5 - STEPS // 2) * LOG_STEP)
_NORMAL: Vector = np.linspace(-2.0, 2.0, 17)
_NORMAL_WEIGHTS: Vector = MADE_UP * np.exp(-(_NORMAL**2) / 2.0) / np.exp(-(_NORMAL**2) / 2.0).sum()
_SHARES: Vector = (np.arange(QUANTILES) + 0.5) / QUANTILES - 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Analogues:
    """Past moments (slot, index): their ratios, the bins of what followed, and how much each counts."""

    ratio: Vector
    followed: Numbers
    weight: Vector


def no_analogues() -> Analogues:
    """Without a past."""
    return Analogues(np.zeros((0, len(INDICES))), np.zeros((0, len(INDICES)), int), np.zeros(0))


def analogues(history: DemandHistory, ahead: int, times: Times) -> Analogues:
    """The moments of the history whose demand so many slots ahead is known: asked for once a slot."""
    span = times.slots(times.future_s)
    first = history.first_sample(times.slots(times.warm_up_s))
    moments = max(0, len(history) - first - ahead - span + 1)
    if not moments:
        return no_analogues()
    windows = [history.demand[first + ahead + part :][:moments] for part in range(span)]
    followed = np.log(positive(np.mean(windows, axis=0)) / positive(history.level[first:][:moments]))
    age_s = (len(history) - first - np.arange(moments)) * times.slot_s
    known = np.isfinite(followed).all(axis=1) & np.isfinite(history.ratio[first:][:moments]).all(axis=1)
    return Analogues(
        history.ratio[first:][:moments][known].astype(float),
        _bins(followed[known]),
        np.exp(-log(2.0) * age_s[known] / times.recency_s),
    )


def forecast(recent: Vector, level: Vector, past: Analogues) -> Vector:
    """``QUANTILES`` equally likely values of each index, ascending; the last one is the mean of its tail."""
    ratio = np.log(positive(recent) / positive(level))
    similar = past.weight[:, None] * np.exp(-0.5 * ((past.ratio - ratio) / SIMILAR) ** 2)
    values = np.empty((len(level), QUANTILES))
    for index in range(len(level)):
        made_up = _bins(PERSISTENCE * ratio[index] + SPREAD * _NORMAL)
        weights = np.bincount(made_up, _NORMAL_WEIGHTS, STEPS)
        weights += np.bincount(past.followed[:, index], similar[:, index], STEPS)
        values[index] = _quantiles(weights / weights.sum())
    return np.asarray(positive(level)[:, None] * values)


def _bins(logs: Vector) -> Numbers:
    return np.asarray(np.clip(np.floor(logs / LOG_STEP).astype(int) + STEPS // 2, 0, STEPS - 1))


def _quantiles(weights: Vector) -> Vector:
    below = np.cumsum(weights)
    values = _RATIOS[np.minimum(np.searchsorted(below, _SHARES), STEPS - 1)]
    tail = below >= 1.0 - 1.0 / QUANTILES
    values[-1] = max(values[-1], float((_RATIOS[tail] * weights[tail]).sum() / weights[tail].sum()))
    return values
