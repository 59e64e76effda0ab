"""The memory of an objective between syncs. Values that are replaced, never changed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from autoscaler.objective.curve import Curves, family, first_curves
from autoscaler.objective.demand import INDICES, Lengths
from autoscaler.objective.fleet_observation import Objective, Prior, Vector
from autoscaler.objective.forecast import Analogues, no_analogues
from autoscaler.objective.history import DemandHistory, no_history
from autoscaler.objective.increases import Baseline
from autoscaler.objective.misses import PromptLengths
from autoscaler.objective.price import Ledger, MissPrice, first_price
from autoscaler.objective.weights import Blend, even_blend


@dataclass(frozen=True, slots=True, eq=False)
class Averages:
    """By index: the demand of now, its level, and the load of a replica with those of the last minutes."""

    recent: Vector
    level: Vector
    load: Vector
    late: tuple[tuple[float, Vector], ...]


@dataclass(frozen=True, slots=True, eq=False)
class OpenSlot:
    """The slot that is being filled: demand times seconds, requests and misses."""

    seconds: float = 0.0
    demand: Vector = field(default_factory=lambda: np.zeros(len(INDICES)))
    requests: float = 0.0
    misses: float = 0.0

    def after(self, seconds: float, demand: Vector, requests: float, misses: float) -> OpenSlot:
        """With one sample."""
        return OpenSlot(
            self.seconds + seconds,
            self.demand + demand * seconds,
            self.requests + requests,
            self.misses + misses,
        )


@dataclass(frozen=True, slots=True)
class Startups:
    """How long a replica takes from its order to ready. ``seen``: how many were."""

    seconds: float
    seen: int = 0

    def after(self, seconds: float) -> Startups:
        """With one more start-up; the first ones outweigh the guess."""
        share = max(0.2, 1.0 / (self.seen + 1))
        return Startups(self.seconds + share * (seconds - self.seconds), self.seen + 1)


@dataclass(frozen=True, slots=True)
class Holding:
    """The replicas wanted lately, as (time, replicas): only those that nothing as high has followed."""

    wanted: tuple[tuple[float, int], ...] = ()

    def after(self, now: float, replicas: int, hold_s: float) -> Holding:
        """With what is wanted now."""
        kept = ((time, other) for time, other in self.wanted if time > now - hold_s and other > replicas)
        return Holding((*kept, (now, replicas)))

    @property
    def highest(self) -> int:
        """The most that was wanted within the holding time."""
        return self.wanted[0][1]


@dataclass(frozen=True, slots=True, eq=False)
class ObjectiveState:
    """Everything that was learned, and since when."""

    since: float
    startups: Startups
    curves: Curves
    price: MissPrice
    baseline: Baseline = field(default_factory=Baseline)
    lengths: Lengths = field(default_factory=Lengths)
    prompts: PromptLengths = field(default_factory=PromptLengths)
    averages: Averages | None = None
    slot: OpenSlot = field(default_factory=OpenSlot)
    history: DemandHistory = field(default_factory=no_history)
    past: Analogues = field(default_factory=no_analogues)
    mean_demand: Vector | None = None
    blend: Blend = field(default_factory=even_blend)
    ledger: Ledger = field(default_factory=Ledger)
    holding: Holding = field(default_factory=Holding)
    last_sample: float | None = None

    def with_start(self, seconds: tuple[float, ...]) -> ObjectiveState:
        """With start-ups that were seen."""
        startups = self.startups
        for one in seconds:
            startups = startups.after(one)
        return replace(self, startups=startups)


def first_state(objective: Objective, prior: Prior, startup_s: float, now: float) -> ObjectiveState:
    """Nothing seen yet; ``startup_s`` is a guess that the first start-up replaces."""
    return ObjectiveState(now, Startups(startup_s), first_curves(family(prior)), first_price(objective, now))
