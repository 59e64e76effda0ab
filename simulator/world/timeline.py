"""The cluster at one moment of a run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TimelinePoint:
    """The actual state of the cluster at one moment, not the state that metrics show.

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
