"""The fewest fixed replicas that reach a goal, found by bisection over full replays."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from simulator.run.billing import SECONDS_PER_HOUR, replica_seconds
from simulator.run.result import RunResult
from simulator.verdict.goal import Verdict

MOST_REPLICAS = 512
"""The most replicas to try: more do not reach a goal that so many miss."""

Replay = Callable[[int], tuple[RunResult, Verdict]]
"""Replays a number of replicas and holds them against the goal."""


@dataclass(frozen=True, slots=True)
class FixedReplicas:
    """A fixed number that reaches the goal; ``replica_hours`` are billed as a policy's are."""

    replicas: int
    replica_hours: float
    idle_node_s: float
    attainment: float | None


def fewest_fixed(replay: Replay, guess: int, most: int = MOST_REPLICAS) -> FixedReplicas | None:
    """The fewest replicas that reach the goal; None where ``most`` do not.

    ``guess``: where to begin. More replicas are taken never to be worse. Where no request can meet the
    SLO, one replay is enough.
    """
    if most < 1:
        return None
    found: dict[int, FixedReplicas | None] = {}

    def reaches(replicas: int) -> bool:
        if replicas not in found:
            found[replicas] = _held(replicas, *replay(replicas))
        return found[replicas] is not None

    first = min(max(1, guess), most)
    result, verdict = replay(first)
    found[first] = _held(first, result, verdict)
    if verdict.hopeless:
        return None
    low, high = _bracket(reaches, first, most)
    if high is None:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if reaches(middle) else (middle, high)
    return found[high]


def _bracket(reaches: Callable[[int], bool], guess: int, most: int) -> tuple[int, int | None]:
    """The most replicas known not to reach it, and the fewest known to; 0 reach nothing."""
    if reaches(guess):
        high = guess
        while high > 1 and reaches(high // 2):
            high //= 2
        return high // 2, high
    low = guess
    while low < most:
        more = min(most, low + max(1, low // 2))
        if reaches(more):
            return low, more
        low = more
    return low, None


def _held(replicas: int, result: RunResult, verdict: Verdict) -> FixedReplicas | None:
    if not verdict.holds:
        return None
    hours = replica_seconds(result.replicas) / SECONDS_PER_HOUR
    return FixedReplicas(replicas, hours, result.idle_node_s, verdict.attainment)
