"""How much each index counts: by what it would have said of the misses one start-up ago.

They are blended. Choosing the best one would jump.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np

from autoscaler.objective.constants import Times
from autoscaler.objective.curve import Curves, agreement
from autoscaler.objective.demand import INDICES, capacity
from autoscaler.objective.fleet_observation import Vector
from autoscaler.objective.history import positive

SHARPNESS = 0.04
"""An index whose loss is larger by this share counts 1/e."""
FIRST_LOSS, FIRST_REQUESTS = 20.0, 1000.0
"""The same for all indices at the beginning."""


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """The log-loss of each index, older ones for less, and the requests that it is of."""

    loss: Vector
    requests: float = 0.0

    def after(
        self, forecast: Vector, serving: int, share: float, requests: float, curves: Curves, times: Times
    ) -> Blend:
        """With one slot: its misses, and what was forecast for it a start-up before."""
        logs = np.log(positive(forecast) / capacity(max(1, serving)))
        expected = np.array([curves.at(logs[index], index).mean() for index in range(len(logs))])
        keep = exp(-times.slot_s / times.loss_s)
        return Blend(
            self.loss * keep - requests * agreement(expected, share), self.requests * keep + requests
        )

    @property
    def weights(self) -> Vector:
        """One for each index, their sum being 1."""
        loss = (self.loss + FIRST_LOSS) / (self.requests + FIRST_REQUESTS)
        raw = np.exp(-(loss / loss.min() - 1.0) / SHARPNESS)
        return np.asarray(raw / raw.sum())


def even_blend() -> Blend:
    """Before anything was seen."""
    return Blend(np.zeros(len(INDICES)))
