"""The avoidable misses of a window of the trace, by the replicas that serve it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple, TypeAlias

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
"""Replicas with which this share of a window misses are the fewest that are tried."""
_PATIENCE, _LASTING = 3, 2
"""Replicas more that save nothing any more, before so few misses are taken for lasting ones. More of them
come from bursts, which some number of replicas takes up."""
_LOOK_EVERY = 64
"""Arrivals between two checks for a replay that is hopeless already."""

Misses: TypeAlias = dict[int, int]
"""Avoidable misses of one window by the number of replicas."""


class Band(NamedTuple):
    """Prices of a miss, in replica-seconds, for which a table is made."""

    low_s: float
    high_s: float

    @property
    def middle_s(self) -> float:
        """Between the two on a logarithmic scale."""
        return sqrt(self.low_s * self.high_s)


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


def window_count(workload: BoundWorkload) -> int:
    """How many windows the trace has; at least one."""
    return int(workload.requests[-1][0] // WINDOW_S) + 1


def windows(workload: BoundWorkload) -> list[TraceWindow]:
    """The whole trace in windows of ``WINDOW_S``; at least one."""
    rows = workload.requests
    times = [row[0] for row in rows]
    found = []
    for index in range(window_count(workload)):
        begin_s = max(0.0, index * WINDOW_S - WARM_UP_S)
        warm = bisect_left(times, begin_s)
        first = bisect_left(times, index * WINDOW_S)
        end = bisect_left(times, (index + 1) * WINDOW_S)
        found.append(TraceWindow(rows[warm:end], first - warm, begin_s))
    return found


def window_misses(
    parts: Sequence[tuple[TraceWindow, Misses]], scenario: Scenario, hopeless: frozenset[Shape], band: Band
) -> list[Misses]:
    """For neighbouring windows, the known misses of each and those that a price in the band may need.

    The search in a new window begins where that in the one before it was cheapest.
    """
    step_s = WINDOW_S + scenario.startup.total_s(scenario.profile)
    found: list[Misses] = []
    guess = _FIRST_GUESS
    for window, before in parts:
        known = dict(before)
        _extend(_Row(window, scenario, hopeless, known), guess, band, step_s)
        found.append(known)
        guess = max(1, min(known, key=lambda n: n * WINDOW_S + band.middle_s * known[n]))
    return found


class _Row:
    """The misses of one window, simulated when they are asked for."""

    def __init__(
        self, window: TraceWindow, scenario: Scenario, hopeless: frozenset[Shape], known: Misses
    ) -> None:
        self.window, self.known = window, known
        self.own = len(window.own)
        self._scenario, self._hopeless = scenario, hopeless

    def at(self, replicas: int) -> int:
        """Avoidable misses with so many replicas."""
        if replicas not in self.known:
            self.known[replicas] = _simulate(self.window, self._scenario, self._hopeless, replicas)
        return self.known[replicas]


def _extend(row: _Row, guess: int, band: Band, step_s: float) -> None:
    """Tries more replicas, then fewer, until no others can be the cheapest at a price of the band.

    ``step_s``: the most that one replica costs in one window: it starts for that one alone.
    """
    known = row.known
    if not row.own:
        known[0] = 0
        return
    replicas = max(known, default=guess)
    most = min(MOST_REPLICAS, max(replicas, len(row.window.requests)))
    while row.at(replicas) and replicas < min(most, _most_wanted(known, band)):
        if _is_flat(known, replicas):
            break
        replicas += 1
    replicas = min(known)
    while replicas > 1 and row.at(replicas) < _TOO_MANY * row.own:
        if _fewest_wanted(known, band, step_s) < 1.0:
            break
        replicas -= 1
        row.at(replicas)


def _most_wanted(known: Misses, band: Band) -> int:
    """More replicas would cost more than all misses that some of the known ones leave."""
    return int(min(n + band.high_s * missed / WINDOW_S for n, missed in known.items()))


def _fewest_wanted(known: Misses, band: Band, step_s: float) -> float:
    """Fewer replicas than the least known miss no less: they would save less than that costs."""
    worst = max(known.values())
    return min(n - band.low_s * (worst - missed) / step_s for n, missed in known.items())


def _is_flat(known: Misses, replicas: int) -> bool:
    """True if the few remaining misses do not fall with more replicas."""
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
