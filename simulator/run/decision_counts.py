"""Counts of the decisions of a run, made during the run: a long run keeps no records."""

from __future__ import annotations

from collections import Counter
from itertools import dropwhile
from typing import NamedTuple

from autoscaler.decision.types import Decision, Reason


class Moment(NamedTuple):
    """One sync in short.

    ``held_back``: why fewer replicas were added than the metrics asked for, or None. ``reason``: the
    decision's own.
    """

    now: float
    current: int
    desired: int
    held_back: Reason | None
    reason: Reason


class DecisionCounts:
    """Counts of the decisions by direction and reason, and of the scale target's changes of direction.

    ``ups`` and ``downs``: decisions for more or fewer replicas than there were. With ``written`` False
    (``mode: DryRun`` or ``Paused``) they are not carried out. ``reasons``: decisions by their reason.
    ``course``: the syncs in short. ``highest``: the highest usage of each usable metric with its
    target, in milli units.
    """

    def __init__(self, *, written: bool = True) -> None:
        self.written = written
        self.decisions = self.ups = self.downs = 0
        self.reasons: Counter[str] = Counter()
        self.course: list[Moment] = []
        self.highest: dict[str, tuple[int, int]] = {}
        self._turns = 0
        self._target: int | None = None
        self._rising: bool | None = None
        self._left: int | None = None

    def add(self, decision: Decision, now: float) -> None:
        """Counts the next decision, made at ``now`` in seconds."""
        current, desired = decision.current_replicas, decision.desired_replicas
        self.decisions += 1
        self.ups += desired > current
        self.downs += desired < current
        self.reasons[str(decision.reason)] += 1
        self.course.append(Moment(now, current, desired, _held_back(decision), decision.reason))
        for proposal in decision.proposals:
            usage = proposal.usage_milli
            if usage is not None and usage > self.highest.get(proposal.metric, (-1, 0))[0]:
                self.highest[proposal.metric] = usage, proposal.target_milli
        if self._target is not None and current != self._target:
            rising = current > self._target
            self._turns += self._turned(rising)
            self._rising = rising
        self._target = current
        self._left = desired if self.written else current

    @property
    def direction_changes(self) -> int:
        """Changes of the scale target's direction: an increase after a decrease, or the reverse.

        Follows the replicas at each sync, and those that the last sync set.
        """
        if self._target is None or self._left is None or self._left == self._target:
            return self._turns
        return self._turns + self._turned(self._left > self._target)

    def _turned(self, rising: bool) -> bool:
        return self._rising is not None and rising != self._rising


def _held_back(decision: Decision) -> Reason | None:
    """The reason of the first stage after the metrics that lowered the increase they asked for."""
    steps = list(dropwhile(lambda step: step.stage != "metrics", decision.steps))
    if not steps or steps[0].replicas <= max(decision.current_replicas, decision.desired_replicas):
        return None
    return next((step.reason for step in steps[1:] if step.replicas < steps[0].replicas), None)
