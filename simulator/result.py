"""What one simulated run produced; the report, the JSON and the CSV files are printed from it."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from enum import IntEnum
from math import nan

from autoscaler.decision.types import Decision, Observation


class Outcome(IntEnum):
    """How a request ended; each ends exactly once."""

    UNFINISHED = 0
    COMPLETED = 1
    REJECTED = 2


@dataclass(slots=True)
class RequestTable:
    """One row per replayed request, in arrival order, as columns.

    Times in seconds. ``queue_s``, ``ttft_s`` and ``e2e_s`` are counted from the arrival and NaN
    where they never happened; ``replica`` is -1 until the request was routed.
    """

    arrival_s: array[float] = field(default_factory=lambda: array("d"))
    prompt_tokens: array[int] = field(default_factory=lambda: array("i"))
    output_tokens: array[int] = field(default_factory=lambda: array("i"))
    queue_s: array[float] = field(default_factory=lambda: array("d"))
    ttft_s: array[float] = field(default_factory=lambda: array("d"))
    e2e_s: array[float] = field(default_factory=lambda: array("d"))
    preemptions: array[int] = field(default_factory=lambda: array("i"))
    replica: array[int] = field(default_factory=lambda: array("i"))
    outcome: array[int] = field(default_factory=lambda: array("b"))

    def add(self, arrival_s: float, prompt_tokens: int, output_tokens: int) -> int:
        """Appends a request that has not ended yet; returns its row."""
        self.arrival_s.append(arrival_s)
        self.prompt_tokens.append(prompt_tokens)
        self.output_tokens.append(output_tokens)
        self.queue_s.append(nan)
        self.ttft_s.append(nan)
        self.e2e_s.append(nan)
        self.preemptions.append(0)
        self.replica.append(-1)
        self.outcome.append(Outcome.UNFINISHED)
        return len(self.arrival_s) - 1

    def __len__(self) -> int:
        return len(self.arrival_s)

    def tpot_s(self, row: int) -> float | None:
        """Mean seconds per output token after the first; None for one token or no end."""
        if self.outcome[row] != Outcome.COMPLETED or self.output_tokens[row] < 2:
            return None
        return (self.e2e_s[row] - self.ttft_s[row]) / (self.output_tokens[row] - 1)


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """The cluster's truth at one moment.

    ``demand_rps``: arrivals per second since the point before; ``desired``: the scale target's
    replicas; ``ordered``: billed replicas (pending, starting, ready, draining); ``running`` and
    ``waiting``: sums over replicas; ``gateway_queue``: requests that no replica has taken;
    ``kv_usage``: 0 to 1, mean over ready replicas.
    """

    time_s: float
    demand_rps: float
    desired: int
    ordered: int
    ready: int
    running: int
    waiting: int
    kv_usage: float
    gateway_queue: int


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One sync: what was observed at ``now`` and what the engine made of it."""

    now: float
    observation: Observation
    decision: Decision


@dataclass(frozen=True, slots=True)
class ReplicaLife:
    """One replica from order to end of drain, in seconds; ``ready_s`` None if it never was."""

    name: str
    ordered_s: float
    ready_s: float | None
    drain_s: float | None
    ended_s: float


@dataclass(frozen=True, slots=True)
class Slo:
    """The service level objective of one request. Rejected and unfinished requests miss it."""

    ttft_s: float
    tpot_s: float


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a run produced.

    ``inputs`` is JSON-ready and complete: with it the run can be repeated. ``label`` names the run
    in comparisons (the policy's name, or ``"4 replicas"``). ``decisions`` is empty for a fixed
    number of replicas. ``end_s`` is when the last request ended and billing stopped.
    """

    label: str
    inputs: dict[str, object]
    slo: Slo
    gpus_per_replica: int
    requests: RequestTable
    timeline: tuple[TimelinePoint, ...]
    decisions: tuple[DecisionRecord, ...]
    replicas: tuple[ReplicaLife, ...]
    end_s: float
