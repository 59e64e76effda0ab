"""One run against the goal."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Literal, TypeAlias

from simulator.verdict.unavoidable import IdleReplica, missed
from simulator.vllm.request_table import RequestTable

Count: TypeAlias = Literal["avoidable", "all"]


@dataclass(frozen=True, slots=True)
class Goal:
    """The share of requests that should meet the SLO, more than 0 and less than 1.

    ``count``: of the requests that an idle replica would not miss, or of all.
    """

    attainment: float = 0.99
    count: Count = "avoidable"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a run against its goal.

    ``requests`` and ``missed`` are all requests; ``unavoidable``: the missed ones that an idle replica
    misses as well. ``avoidable_misses_s``: the arrivals of the others, in seconds, ascending.
    """

    goal: Goal
    requests: int
    missed: int
    unavoidable: int
    avoidable_misses_s: array[float]

    @property
    def attainment_of_all(self) -> float | None:
        """The share of all requests that met the SLO; None without requests."""
        return 1.0 - self.missed / self.requests if self.requests else None

    @property
    def attainment_of_avoidable(self) -> float | None:
        """The share of the avoidable requests that met it; None without any."""
        avoidable = self.requests - self.unavoidable
        return 1.0 - (self.missed - self.unavoidable) / avoidable if avoidable else None

    @property
    def attainment(self) -> float | None:
        """The share that the goal is held against."""
        return self.attainment_of_all if self.goal.count == "all" else self.attainment_of_avoidable

    @property
    def hopeless(self) -> bool:
        """True if there are requests and none of them can meet the SLO with any number of replicas."""
        return bool(self.requests) and self.unavoidable == self.requests

    @property
    def holds(self) -> bool:
        """True if the goal was reached: never where no request can meet the SLO, always without requests."""
        if self.attainment is None:
            return not self.hopeless
        return self.attainment >= self.goal.attainment


def judge(table: RequestTable, goal: Goal, idle: IdleReplica) -> Verdict:
    """Holds a finished run's requests against a goal; the table was made with the SLO."""
    avoidable = array("d", sorted(arrival_s for arrival_s, shape in missed(table) if not idle.misses(*shape)))
    count = len(table.missed_arrival_s)
    return Verdict(goal, len(table), count, count - len(avoidable), avoidable)
