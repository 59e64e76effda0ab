"""The inputs of a run besides its requests: the servers, the scaling and the clock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simulator.startup.nodes import NodeLimits
from simulator.startup.plan import StartupModel
from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import Profile
from simulator.vllm.replica import Replica
from simulator.vllm.request_table import HASH_BLOCK_TOKENS, Slo
from simulator.world.cluster import Routing

if TYPE_CHECKING:
    from autoscaler.api.models import ScalingPolicy
    from autoscaler.ports.metrics import Answer
    from simulator.startup.prices import Price
    from simulator.traces.series import Series


FIXED_TIMELINE_S = 1.0


@dataclass(frozen=True, slots=True)
class FixedScaling:
    """A fixed number of replicas instead of a policy."""

    replicas: int


@dataclass(frozen=True, slots=True)
class PlannedScaling:
    """Replicas by the clock instead of a policy: ``orders`` are (seconds, replicas), ascending.

    The first order is at 0 and its replicas are ready; every later one waits for its start-ups.
    """

    orders: tuple[tuple[float, int], ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a run but its requests and its policy. Times in seconds.

    ``clock_start``: the epoch second of the trace's zero, for schedules. ``timeline_interval_s``:
    None takes a point at every sync, every second for a fixed number of replicas. ``keep_requests``,
    ``keep_decisions``, ``keep_timeline``: whether the result has a row for each, or only what the
    summary needs. ``nodes`` None: there is always one more node. ``server``: the engine inside a replica,
    ``simulator.vllm.stepped.SteppedReplica`` to check the fast one. ``hash_block_tokens``: how many prompt
    tokens one of the trace's ``hash_ids`` stands for. ``on_answers``: called with the time of each sync and
    what the metric source answered in it, by the name of the metric.
    """

    profile: Profile
    startup: StartupModel
    slo: Slo
    routing: Routing = "least-loaded"
    scrape_interval_s: float = 15.0
    metrics_lag_s: float = 5.0
    seed: int = 0
    clock_start: float = 0.0
    timeline_interval_s: float | None = None
    initial_replicas: int | None = None
    series: Mapping[str, Series] = field(default_factory=dict)
    keep_requests: bool = True
    keep_decisions: bool = True
    keep_timeline: bool = True
    nodes: NodeLimits | None = None
    price: Price | None = None
    server: type[Replica] = FastReplica
    hash_block_tokens: int = HASH_BLOCK_TOKENS
    on_answers: Callable[[float, Mapping[str, Answer]], None] | None = None

    def timeline_s(self, scaling: ScalingPolicy | FixedScaling | PlannedScaling) -> float:
        """Seconds between two points of the timeline."""
        if self.timeline_interval_s is not None:
            return self.timeline_interval_s
        if isinstance(scaling, FixedScaling | PlannedScaling):
            return FIXED_TIMELINE_S
        return float(scaling.spec.sync_period_seconds)
