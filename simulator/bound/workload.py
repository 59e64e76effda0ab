"""The workload of a bound, and the requests that no number of replicas would save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from simulator.run.scenario import Scenario
from simulator.traces.rows import HashedRequest, Request
from simulator.verdict.unavoidable import IdleReplica, Shape, missed
from simulator.vllm.request_table import RequestTable


@dataclass(frozen=True, slots=True)
class BoundWorkload:
    """The requests of a bound and the servers that they meet. Times in seconds.

    ``scenario``: starts take their median, and nothing but misses is kept. ``hopeless``: the shapes of
    requests that an idle replica would miss as well; ``unavoidable``: how many requests have one.
    """

    requests: Sequence[Request | HashedRequest]
    scenario: Scenario
    hopeless: frozenset[Shape]
    unavoidable: int

    @property
    def startup_s(self) -> float:
        """The time from the order of a replica to its first answer."""
        return self.scenario.startup.total_s(self.scenario.profile)

    @property
    def avoidable(self) -> int:
        """The requests that the goal is held against."""
        return len(self.requests) - self.unavoidable


def prepare(requests: Iterable[Request | HashedRequest], scenario: Scenario) -> BoundWorkload:
    """A workload for ``search_bound``: reads the requests and finds the unavoidable misses."""
    rows = list(requests)
    shapes = Counter((row[1], row[2]) for row in rows)
    idle = IdleReplica(scenario)
    hopeless = frozenset(shape for shape in shapes if idle.misses(*shape))
    plain = replace(
        scenario,
        startup=scenario.startup.without_spread(),
        keep_requests=False,
        keep_decisions=False,
        keep_timeline=False,
        nodes=None,
    )
    return BoundWorkload(rows, plain, hopeless, sum(shapes[shape] for shape in hopeless))


def avoidable_misses(table: RequestTable, hopeless: frozenset[Shape]) -> Iterator[float]:
    """The arrivals, in seconds, of the requests with avoidable misses."""
    return (arrival_s for arrival_s, shape in missed(table) if shape not in hopeless)
