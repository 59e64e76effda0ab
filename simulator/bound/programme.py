"""The cheapest plan for a price of a miss: dynamic programming over windows and replicas.

A plan is the replicas of each window. It costs, in replica-seconds, the replicas' time, the start-up
of each one added, the drain of each one taken away, and the price of each miss. The window table's
misses hold for replicas that were there before; where a full replay has seen a step from one number
to another, its misses take the table's place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf
from operator import add
from typing import NamedTuple, TypeAlias

from simulator.bound.trace_windows import WINDOW_S, Misses

Plan: TypeAlias = tuple[int, ...]
"""The replicas of each window."""


class Passage(NamedTuple):
    """A window that ``after`` replicas serve, coming from ``before``."""

    window: int
    before: int
    after: int


Seen: TypeAlias = Mapping[Passage, float]
"""Avoidable misses of passages as full replays saw them."""


def passages(plan: Plan) -> list[Passage]:
    """Each window of a plan with the replicas before it; the first one comes from its own."""
    return [Passage(i, plan[max(0, i - 1)], replicas) for i, replicas in enumerate(plan)]


class Programme:
    """Plans over one table of window misses. ``startup_s`` and ``drain_s``: of one replica."""

    def __init__(self, table: Sequence[Misses], startup_s: float) -> None:
        self.startup_s = startup_s
        self.drain_s = 0.0
        self.learn(table)

    def learn(self, table: Sequence[Misses]) -> None:
        """Takes a more complete table."""
        self.most = max(max(misses) for misses in table)
        self._rows = [_filled(misses, self.most) for misses in table]

    def misses(self, plan: Plan, seen: Seen) -> float:
        """The expected misses of a plan."""
        return sum(seen.get(step, self._row(step)) for step in passages(plan))

    def _row(self, step: Passage) -> float:
        """The table's misses; more replicas than it has save nothing more."""
        return self._rows[step.window][min(step.after, self.most)]

    def cheapest(self, price_s: float, seen: Seen) -> Plan:
        """The plan of the least cost where a miss costs ``price_s`` replica-seconds."""
        counts = range(self.most + 1)
        switch = [[self._switch_s(before, after) for before in counts] for after in counts]
        corrections = self._corrections(price_s, seen)
        # The first window comes from its own number, so that a step to another one is impossible.
        stay = [[0.0 if before == after else inf for before in counts] for after in counts]
        best = [0.0] * len(counts)
        origins: list[list[int]] = []
        for window, row in enumerate(self._rows):
            steps = switch if window else stay
            best, origin = self._step(best, steps, price_s, row, corrections.get(window, {}))
            origins.append(origin)
        return _trace_back(best, origins[1:])

    def _step(
        self,
        best: list[float],
        switch: list[list[float]],
        price_s: float,
        row: Sequence[float],
        corrections: Mapping[int, Sequence[tuple[int, float]]],
    ) -> tuple[list[float], list[int]]:
        costs, origin = [], []
        for after, missed in enumerate(row):
            ways = list(map(add, best, switch[after]))
            for before, extra_s in corrections.get(after, ()):
                ways[before] += extra_s
            least = min(ways)
            costs.append(least + after * WINDOW_S + price_s * missed)
            origin.append(ways.index(least))
        return costs, origin

    def _switch_s(self, before: int, after: int) -> float:
        if after > before:
            return self.startup_s * (after - before)
        return self.drain_s * (before - after)

    def _corrections(self, price_s: float, seen: Seen) -> dict[int, dict[int, list[tuple[int, float]]]]:
        """By window and replicas: the difference in cost of the misses seen to those of the table."""
        found: dict[int, dict[int, list[tuple[int, float]]]] = {}
        for step, missed in seen.items():
            if max(step.before, step.after) > self.most or self._row(step) == inf:  # a fixed number's
                continue
            extra_s = price_s * (missed - self._row(step))
            found.setdefault(step.window, {}).setdefault(step.after, []).append((step.before, extra_s))
        return found


def _filled(known: Misses, most: int) -> list[float]:
    """A row without gaps that never rises: an advantage of fewer replicas was luck."""
    lowest, highest = min(known), max(known)
    row = [float(known[min(max(n, lowest), highest)]) for n in range(most + 1)]
    row[:lowest] = [inf] * lowest  # not looked at, since even one more replica is hopeless
    for n in range(1, most + 1):
        row[n] = min(row[n], row[n - 1])
    return row


def _trace_back(best: Sequence[float], origins: Sequence[Sequence[int]]) -> Plan:
    replicas = min(range(len(best)), key=best.__getitem__)
    plan = [replicas]
    for origin in reversed(origins):
        replicas = origin[replicas]
        plan.append(replicas)
    return tuple(reversed(plan))
