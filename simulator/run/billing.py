"""The cost of a run: a replica is billed from its order to the end of its drain.

The time in which it waits for a node of a pool is not billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import fsum

from simulator.number_formats import count, counted, latency
from simulator.run.result import RunResult
from simulator.startup.replica_life import ReplicaLife

SECONDS_PER_HOUR = 3600.0
HOURS_PER_MONTH = 730.0


def cost_usd(result: RunResult, replica_s: float) -> float | None:
    """Dollars for ``replica_s`` replica-seconds at the run's price; None without a price."""
    if result.price is None:
        return None
    return replica_s / SECONDS_PER_HOUR * result.gpus_per_replica * result.price.usd_per_gpu_hour


def replica_seconds(lives: Sequence[ReplicaLife]) -> float:
    """The billed seconds of all replicas together."""
    return fsum(life.ended_s - life.billed_from_s for life in lives)


def most_billed(lives: Sequence[ReplicaLife]) -> int:
    """The most replicas that were billed at one time.

    A replica that ends at the moment of another's order is not counted with it: lives are half open.
    """
    changes = [(life.billed_from_s, 1) for life in lives] + [(life.ended_s, -1) for life in lives]
    billed = most = 0
    for _, change in sorted(changes):
        billed += change
        most = max(most, billed)
    return most


def pending_remark(lives: Sequence[ReplicaLife]) -> str:
    """The number of pods that waited for a node of the pool, and the longest wait; empty if none waited."""
    waited = [life for life in lives if life.start is not None and life.start.waiting_s > 0.0]
    if not waited:
        return ""
    longest = max(life.start.waiting_s for life in waited if life.start is not None)
    never = sum(life.billed_from_s >= life.ended_s for life in waited)
    pods = counted(len(waited), "pod")
    return f"{pods} waited for a node, up to {latency(longest)}; {count(never)} never got one"
