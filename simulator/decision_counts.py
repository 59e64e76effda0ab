"""What the decisions of a run come to, counted as they are made: a long run keeps no records."""

from __future__ import annotations

from collections import Counter

from autoscaler.decision.types import Decision


class DecisionCounts:
    """How many decisions there were, what they wanted, and how often the scale target turned.

    ``ups`` and ``downs``: decisions that wanted more or fewer replicas than they found. With
    ``written`` False (``mode: DryRun`` or ``Paused``) nothing came of them. ``reasons``: how often
    each settled a decision.
    """

    def __init__(self, *, written: bool = True) -> None:
        self.written = written
        self.decisions = self.ups = self.downs = 0
        self.reasons: Counter[str] = Counter()
        self._turns = 0
        self._target: int | None = None
        self._rising: bool | None = None
        self._left: int | None = None

    def add(self, decision: Decision) -> None:
        """Counts the next decision."""
        current, desired = decision.current_replicas, decision.desired_replicas
        self.decisions += 1
        self.ups += desired > current
        self.downs += desired < current
        self.reasons[str(decision.reason)] += 1
        if self._target is not None and current != self._target:
            rising = current > self._target
            self._turns += self._turned(rising)
            self._rising = rising
        self._target = current
        self._left = desired if self.written else current

    @property
    def direction_changes(self) -> int:
        """How often the scale target turned: an increase after a decrease, or the reverse.

        Follows the replicas that each sync found, and what the last one left.
        """
        if self._target is None or self._left is None or self._left == self._target:
            return self._turns
        return self._turns + self._turned(self._left > self._target)

    def _turned(self, rising: bool) -> bool:
        return self._rising is not None and rising != self._rising
