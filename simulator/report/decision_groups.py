"""The decisions of a run in groups: the scalings, and the holds by their reason."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from autoscaler.history.records import DecisionRecord


@dataclass(frozen=True, slots=True)
class HoldReason:
    """All holds with one reason: their number, first and last time (seconds), and the last message."""

    reason: str
    count: int
    first_s: float
    last_s: float
    message: str


def scalings(decisions: Iterable[DecisionRecord]) -> list[DecisionRecord]:
    """The decisions that wanted another number of replicas, in time order."""
    return [
        record for record in decisions if record.decision.desired_replicas != record.decision.current_replicas
    ]


def holds(decisions: Iterable[DecisionRecord]) -> list[HoldReason]:
    """The decisions that kept the replicas, by reason, the most frequent first."""
    groups: dict[str, list[DecisionRecord]] = {}
    for record in decisions:
        if record.decision.desired_replicas == record.decision.current_replicas:
            groups.setdefault(str(record.decision.reason), []).append(record)
    found = [_hold_reason(reason, records) for reason, records in groups.items()]
    return sorted(found, key=lambda hold: (-hold.count, hold.reason))


def _hold_reason(reason: str, records: Sequence[DecisionRecord]) -> HoldReason:
    last = records[-1]
    return HoldReason(reason, len(records), records[0].now, last.now, last.decision.message)
