"""How many avoidable misses a window of the trace has, by the replicas that serve it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from simulator.bound.workload import Workload, avoidable_misses
from simulator.cluster import Cluster
from simulator.result import RequestTable
from simulator.scenario import Scenario
from simulator.trace_rows import HashedRequest, Request
from simulator.verdict.unavoidable import Shape

WINDOW_S = 120.0
"""60, 120 and 300 s give the same bound within 2 % on a day with swings (docs/bound.md)."""

WARM_UP_S = 60.0
"""The replicas have served this long when their window begins."""

MOST_REPLICAS = 512
_FIRST_GUESS = 4
_TOO_MANY = 0.5
"""Fewer replicas than with which this share of a window misses are not looked at."""
_PATIENCE = 3
"""Replicas more that save nothing any more, before the rest of the misses is taken for lasting."""

Misses: TypeAlias = dict[int, int]
"""Avoidable misses of one window by the number of replicas."""


@dataclass(frozen=True, slots=True)
class Window:
    """The requests of one window with those of its warm-up before them.

    ``warm_up``: how many of them those are. ``begin_s``: when the warm-up begins.
    """

    requests: Sequence[Request | HashedRequest]
    warm_up: int
    begin_s: float

    @property
    def own(self) -> Sequence[Request | HashedRequest]:
        """The requests that arrive in the window itself."""
        return self.requests[self.warm_up :]


def windows(workload: Workload) -> list[Window]:
    """The whole trace in windows of ``WINDOW_S``; at least one."""
    rows = workload.requests
    times = [row[0] for row in rows]
    found = []
    for index in range(int(times[-1] // WINDOW_S) + 1):
        begin_s = max(0.0, index * WINDOW_S - WARM_UP_S)
        warm = bisect_left(times, begin_s)
        first = bisect_left(times, index * WINDOW_S)
        end = bisect_left(times, (index + 1) * WINDOW_S)
        found.append(Window(rows[warm:end], first - warm, begin_s))
    return found


def window_misses(window: Window, scenario: Scenario, hopeless: frozenset[Shape]) -> Misses:
    """Misses for every number of replicas that may be worth its cost."""
    own = len(window.own)
    if not own:
        return {0: 0}
    known: Misses = {}

    def at(replicas: int) -> int:
        if replicas not in known:
            known[replicas] = _simulate(window, scenario, hopeless, replicas)
        return known[replicas]

    replicas = _FIRST_GUESS
    most = min(MOST_REPLICAS, max(_FIRST_GUESS, len(window.requests)))
    while at(replicas) and replicas < most and not _is_flat(known, replicas, own):
        replicas += 1
    replicas = min(known)
    while replicas > 1 and at(replicas) < _TOO_MANY * own:
        replicas -= 1
    at(replicas)
    return known


def _is_flat(known: Misses, replicas: int, own: int) -> bool:
    """Whether more replicas save nothing; where most requests miss, there are far too few to tell."""
    before = known.get(replicas - _PATIENCE)
    missed = known[replicas]
    return before is not None and before <= missed < _TOO_MANY * own


def _simulate(window: Window, scenario: Scenario, hopeless: frozenset[Shape], replicas: int) -> int:
    table = RequestTable(keep_rows=False, hash_block_tokens=scenario.hash_block_tokens, slo=scenario.slo)
    cluster = Cluster(
        scenario.profile,
        scenario.startup,
        table,
        scenario.routing,
        scenario.seed,
        server=scenario.server,
    )
    cluster.start_ready(replicas)
    for time_s, *rest in window.requests:
        now = time_s - window.begin_s
        cluster.arrive(table.add(now, *rest), now)
    cluster.finish()
    first_s = window.own[0][0] - window.begin_s
    return sum(1 for arrival_s in avoidable_misses(table, hopeless) if arrival_s >= first_s)
