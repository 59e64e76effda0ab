"""A start-up that was chosen: medians, spreads, and the times drawn for one replica."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import exp, log
from random import Random

from simulator.vllm.profile import Profile

GIB = 2**30
_LAYERS_EXPONENT = 0.29
"""Fitted to 16 published dense models in bf16, 0.5B to 405B: from 34 % too few to 39 % too many layers."""
_Z95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The sizes of a model that its start depends on. ``layers``: the layers that one GPU runs."""

    weights_bytes: float
    layers: float


REFERENCE = ModelSize(weights_bytes=17.2 * GIB, layers=42)
"""The model that ``engine_model_s`` is for: Gemma 2 9B in bf16."""


def sized(weights_bytes: float, layers: float | None = None) -> ModelSize:
    """A model of this size; ``layers`` None: the usual number for the size."""
    usual = REFERENCE.layers * (weights_bytes / REFERENCE.weights_bytes) ** _LAYERS_EXPONENT
    return ModelSize(weights_bytes, usual if layers is None else layers)


def profile_model(profile: Profile) -> ModelSize:
    """The size of this profile's model."""
    return sized(profile.memory.weights_gib * GIB, profile.layers)


@dataclass(frozen=True, slots=True)
class Spread:
    """p95 over p50 of each phase; 1 is always the median."""

    node: float = 1.0
    image: float = 1.0
    weights: float = 1.0
    engine: float = 1.0


@dataclass(frozen=True, slots=True)
class StartDraw:
    """One replica's start if it starts alone: seconds, bytes of weights and bytes a second."""

    node_s: float
    image_s: float
    weights_bytes: float
    bytes_per_s: float
    engine_s: float

    @property
    def weights_s(self) -> float:
        """Seconds to load the weights with the storage to itself."""
        return self.weights_bytes / self.bytes_per_s

    @property
    def total_s(self) -> float:
        """Seconds from the order to the first answer."""
        return self.node_s + self.image_s + self.weights_s + self.engine_s


@dataclass(frozen=True, slots=True, kw_only=True)
class StartupModel:
    """How long a replica takes to start. The pod is Pending for node and image, then loads.

    ``weights_gb_per_s``: the rate of one pod, in 10^9 bytes a second; None: the engine's time includes
    the weights. ``shared_gb_per_s``: the rate of all loading pods together; None: no shared limit.
    ``engine_s``: the same for every model. ``engine_model_s``: for the reference model; it grows with
    the number of layers, because each layer is compiled or loaded, and captured.
    """

    name: str
    node_s: float = 0.0
    image_s: float = 0.0
    weights_gb_per_s: float | None = None
    shared_gb_per_s: float | None = None
    engine_s: float = 0.0
    engine_model_s: float = 0.0
    spread: Spread = Spread()
    components: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict)

    def median(self, model: ModelSize) -> StartDraw:
        """The median of every phase."""
        engine_s = self.engine_s + self.engine_model_s * model.layers / REFERENCE.layers
        if self.weights_gb_per_s is None:
            return StartDraw(self.node_s, self.image_s, 0.0, 1.0, engine_s)
        return StartDraw(
            self.node_s, self.image_s, model.weights_bytes, self.weights_gb_per_s * 1e9, engine_s
        )

    def draw(self, model: ModelSize, seed: int, replica: int) -> StartDraw:
        """One replica's times; the same for the same seed and index, whatever else happens.

        Every phase is lognormal around its median; a slow loader has less bandwidth.
        """
        median = self.median(model)
        if self.spread == Spread():
            return median
        chance = Random(f"start {seed} {replica}")
        node, image, weights, engine = (
            exp(log(ratio) / _Z95 * chance.gauss(0.0, 1.0))
            for ratio in (self.spread.node, self.spread.image, self.spread.weights, self.spread.engine)
        )
        return StartDraw(
            median.node_s * node,
            median.image_s * image,
            median.weights_bytes,
            median.bytes_per_s / weights,
            median.engine_s * engine,
        )

    def total_s(self, profile: Profile) -> float:
        """Median seconds of one start of this profile, from the order to the first answer."""
        return self.median(profile_model(profile)).total_s

    def without_spread(self) -> StartupModel:
        """The start-up without chance: every start takes the medians."""
        return replace(self, spread=Spread())
