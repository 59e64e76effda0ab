"""The inputs of an objective: the user's goal, a profile's numbers and what was seen of the pods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Vector: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = NDArray[Any]
"""Of any width, whole or not."""


@dataclass(frozen=True, slots=True)
class Objective:
    """The user's goal. Seconds; ``attainment`` between 0 and 1. One of the two latencies may be None."""

    ttft_s: float | None
    tpot_s: float | None
    attainment: float
    max_replicas: int = 1000

    @property
    def budget(self) -> float:
        """The share of the avoidable requests that may miss."""
        return 1.0 - self.attainment


@dataclass(frozen=True, slots=True)
class Prior:
    """Figures of a model on its GPU before anything was seen, for one objective.

    ``prompt_s``: seconds of a replica for one prompt token; ``output_s``: for one output token in a batch of
    ``batch`` requests, which is what a replica holds within the objective. A prompt longer than
    ``longest_prompt`` tokens misses the TTFT on an idle replica as well. ``curves``: the share of misses
    at each load of ``curve.LOADS``, for each index of demand.
    """

    prompt_s: float
    output_s: float
    batch: float
    longest_prompt: float
    curves: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, slots=True)
class Edges:
    """Upper edges of the pods' histograms, each ending with ``inf``: seconds, seconds, tokens."""

    ttft: tuple[float, ...]
    tpot: tuple[float, ...]
    prompts: tuple[float, ...]

    @property
    def counters(self) -> int:
        """How many counters a scrape has."""
        return 3 + len(self.ttft) + len(self.tpot) + len(self.prompts)

    def split(self, counters: Vector) -> tuple[Vector, Vector, Vector, Vector]:
        """Prompt tokens, output tokens and finished requests; then the three histograms."""
        first, second = 3 + len(self.ttft), 3 + len(self.ttft) + len(self.tpot)
        return counters[:3], counters[3:first], counters[first:second], counters[second:]


@dataclass(frozen=True, slots=True, eq=False)
class PodCounters:
    """One pod's metrics at ``time_s``.

    ``counters``, cumulative in time: prompt tokens, generation tokens, finished requests, then the requests
    in each bucket (not of all buckets below it) of TTFT, TPOT and prompt lengths, as ``Edges.split`` has it.
    """

    time_s: float
    running: float
    waiting: float
    counters: Vector


@dataclass(frozen=True, slots=True, eq=False)
class ObservedPod:
    """A pod that serves: ready, or draining. ``scrape`` None: there is none."""

    name: str
    draining: bool = False
    scrape: PodCounters | None = None


@dataclass(frozen=True, slots=True, eq=False)
class FleetObservation:
    """The view of one sync. ``ordered``: the target's replicas; ``startups_s``: start-ups that have ended
    since the sync before, each from the order to ready.
    """

    ordered: int
    pods: tuple[ObservedPod, ...]
    edges: Edges
    startups_s: tuple[float, ...] = ()

    @property
    def ready(self) -> int:
        """Pods that take requests."""
        return sum(not pod.draining for pod in self.pods)
