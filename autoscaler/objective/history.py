"""The last 24 hours in minute slots: demand, its level, what was forecast, who missed.

Arrays are replaced and never changed, so that a state can be kept. A slot that was not seen is NaN: no
sample of anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from autoscaler.objective.constants import HISTORY_SLOTS
from autoscaler.objective.demand import INDICES
from autoscaler.objective.fleet_observation import Numbers, Vector

QUANTILES = 12
"""A forecast is so many equally likely values of each index."""
LEAST_DEMAND = 1e-6

Compact = NDArray[np.float32]
"""Half the size: 0.4 MB a policy for a day."""


@dataclass(frozen=True, slots=True, eq=False)
class Slot:
    """One minute: mean demand, its level and recent mean at the end; requests; the forecast of then."""

    demand: Vector
    level: Vector
    recent: Vector
    requests: float
    forecast: Vector


@dataclass(frozen=True, slots=True, eq=False)
class DemandHistory:
    """The slots, oldest first.

    ``ratio``: the logarithm of recent mean over level. ``seen``: slots since the beginning.
    """

    demand: Compact
    level: Compact
    ratio: Compact
    requests: Compact
    forecast: Compact
    seen: int = 0

    def __len__(self) -> int:
        return len(self.demand)

    def after(self, slot: Slot) -> DemandHistory:
        """With one more slot, and without the oldest where there are enough."""
        return DemandHistory(
            _append(self.demand, slot.demand),
            _append(self.level, slot.level),
            _append(self.ratio, np.log(positive(slot.recent) / positive(slot.level))),
            _append(self.requests, np.array(slot.requests)),
            _append(self.forecast, slot.forecast),
            self.seen + 1,
        )

    def after_gap(self, slots: int) -> DemandHistory:
        """With slots that were not seen."""
        count = min(slots, HISTORY_SLOTS)
        return DemandHistory(
            _append_gap(self.demand, count),
            _append_gap(self.level, count),
            _append_gap(self.ratio, count),
            _append_gap(self.requests, count),
            _append_gap(self.forecast, count),
            self.seen + slots,
        )

    def first_sample(self, skipped: int) -> int:
        """The first slot that is not of the first ``skipped`` ones ever seen."""
        return max(0, skipped - (self.seen - len(self)))

    def mean_demand(self) -> Vector | None:
        """The mean of each index over the slots that were seen."""
        known = self.demand[np.isfinite(self.demand[:, 0])]
        return known.mean(axis=0, dtype=float) if len(known) else None


def no_history() -> DemandHistory:
    """Before the first slot."""
    by_index = np.zeros((0, len(INDICES)), np.float32)
    nothing = np.zeros(0, np.float32)
    return DemandHistory(
        by_index, by_index, by_index, nothing, np.zeros((0, len(INDICES), QUANTILES), np.float32)
    )


def positive(values: Numbers) -> Numbers:
    """Fit for a logarithm."""
    return np.maximum(values, LEAST_DEMAND)


def _append(rows: Compact, row: Vector) -> Compact:
    return np.concatenate((rows[-(HISTORY_SLOTS - 1) :], row[None].astype(np.float32)))


def _append_gap(rows: Compact, count: int) -> Compact:
    gap = np.full((count, *rows.shape[1:]), np.nan, np.float32)
    return np.concatenate((rows, gap))[-HISTORY_SLOTS:]
