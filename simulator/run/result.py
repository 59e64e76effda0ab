"""The result of a run: requests, replicas, the timeline and the decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from autoscaler.history.records import DecisionRecord
    from simulator.run.decision_counts import DecisionCounts
    from simulator.startup.prices import Price
from simulator.startup.replica_life import ReplicaLife
from simulator.vllm.request_table import RequestTable, Slo
from simulator.world.timeline import TimelinePoint


@dataclass(frozen=True, slots=True)
class RunResult:
    """The result of one run.

    ``inputs`` is JSON-ready and complete: with it the run can be repeated. ``label`` names the run
    in comparisons (the policy's name, or ``"4 replicas"``). ``counts`` is None for a fixed number of
    replicas. ``decisions`` is empty then, and also when decisions were not kept. ``end_s``: the time
    when the last request ended and billing stopped. ``idle_node_s``: idle seconds of a pool's nodes,
    summed. ``price``: the price of a GPU-hour, None if unknown.
    """

    label: str
    inputs: dict[str, object]
    slo: Slo
    gpus_per_replica: int
    requests: RequestTable
    timeline: tuple[TimelinePoint, ...]
    counts: DecisionCounts | None
    decisions: tuple[DecisionRecord, ...]
    replicas: tuple[ReplicaLife, ...]
    end_s: float
    idle_node_s: float = 0.0
    price: Price | None = None
