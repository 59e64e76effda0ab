"""How many avoidable misses a window of the trace has, by the replicas that serve it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from simulator.bound.workload import BoundWorkload, avoidable_misses
from simulator.run.scenario import Scenario
from simulator.traces.rows import HashedRequest, Request
from simulator.verdict.unavoidable import Shape
from simulator.vllm.request_table import RequestTable
from simulator.world.cluster import Cluster

WINDOW_S = 120.0
"""60, 120 and 300 s give the same bound within 2 % on a day with swings (docs/bound.md)."""

WARM_UP_S = 60.0
"""The replicas have served this long when their window begins."""

MOST_REPLICAS = 512
_FIRST_GUESS = 4
_TOO_MANY = 0.5
"""Fewer replicas than with which this share of a window misses are not looked at."""
_PATIENCE, _LASTING = 3, 2
"""Replicas more that save nothing any more, before so few misses are taken for lasting ones. More of them
come from bursts, which some number of replicas takes up."""
_LOOK_EVERY = 64
"""Arrivals between two looks whether a replay is hopeless already."""

Misses: TypeAlias = dict[int, int]
"""Avoidable misses of one window by the number of replicas."""


@dataclass(frozen=True, slots=True)
class TraceWindow:
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


def windows(workload: BoundWorkload) -> list[TraceWindow]:
    """The whole trace in windows of ``WINDOW_S``; at least one."""
    rows = workload.requests
    times = [row[0] for row in rows]
    found = []
    for index in range(int(times[-1] // WINDOW_S) + 1):
        begin_s = max(0.0, index * WINDOW_S - WARM_UP_S)
        warm = bisect_left(times, begin_s)
        first = bisect_left(times, index * WINDOW_S)
        end = bisect_left(times, (index + 1) * WINDOW_S)
        found.append(TraceWindow(rows[warm:end], first - warm, begin_s))
    return found


def window_misses(
    parts: Sequence[TraceWindow], scenario: Scenario, hopeless: frozenset[Shape]
) -> list[Misses]:
    """For neighbouring windows, the misses with every number of replicas that may be worth its cost.

    The search in each begins where the one before it ended.
    """
    found: list[Misses] = []
    guess = _FIRST_GUESS
    for window in parts:
        known = _search(window, scenario, hopeless, guess)
        found.append(known)
        guess = min((n for n, missed in known.items() if n and missed <= _LASTING), default=guess)
    return found


def _search(window: TraceWindow, scenario: Scenario, hopeless: frozenset[Shape], guess: int) -> Misses:
    own = len(window.own)
    if not own:
        return {0: 0}
    known: Misses = {}

    def at(replicas: int) -> int:
        if replicas not in known:
            known[replicas] = _simulate(window, scenario, hopeless, replicas)
        return known[replicas]

    replicas = guess
    most = min(MOST_REPLICAS, max(guess, len(window.requests)))
    while at(replicas) and replicas < most and not _is_flat(known, replicas):
        replicas += 1
    replicas = min(known)
    while replicas > 1 and at(replicas) < _TOO_MANY * own:
        replicas -= 1
    at(replicas)
    return known


def _is_flat(known: Misses, replicas: int) -> bool:
    """Whether the few misses that are left last."""
    before, missed = known.get(replicas - _PATIENCE), known[replicas]
    return before is not None and before <= missed <= _LASTING


def _simulate(window: TraceWindow, scenario: Scenario, hopeless: frozenset[Shape], replicas: int) -> int:
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
    own = window.own
    first_s = own[0][0] - window.begin_s

    def missed() -> int:
        return sum(1 for arrival_s in avoidable_misses(table, hopeless) if arrival_s >= first_s)

    for index, (time_s, *rest) in enumerate(window.requests):
        if index % _LOOK_EVERY == 0 and missed() >= _TOO_MANY * len(own):
            return len(own)
        now = time_s - window.begin_s
        cluster.arrive(table.add(now, *rest), now)
    if missed() >= _TOO_MANY * len(own):
        return len(own)
    cluster.finish()
    return missed()
