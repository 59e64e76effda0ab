"""Decisions counted as they come."""

from __future__ import annotations

from itertools import pairwise

import pytest

from autoscaler.decision.types import Decision, Reason
from simulator.run.decision_counts import DecisionCounts


def count(*decisions: tuple[int, int], written: bool = True) -> DecisionCounts:
    """Decisions as (replicas found, replicas wanted)."""
    counts = DecisionCounts(written=written)
    for current, desired in decisions:
        counts.add(Decision(current, desired, Reason.READY_FOR_NEW_SCALE, "", ()), 0.0)
    return counts


@pytest.mark.parametrize(
    ("targets", "changes"),
    [
        ([], 0),
        ([2, 2, 2], 0),
        ([2, 4, 6], 0),
        ([2, 4, 4, 2], 1),
        ([2, 4, 2, 4], 2),
        ([4, 2, 2, 2, 1], 0),
        ([4, 2, 5], 1),
    ],
)
def test_direction_changes_count_turns_of_the_target(targets, changes):
    assert count(*pairwise(targets)).direction_changes == changes


def test_decisions_that_were_not_written_are_no_changes():
    counts = count((4, 8), (4, 2), (4, 8), (4, 4), (4, 8), written=False)
    assert counts.direction_changes == 0
    assert (counts.ups, counts.downs) == (3, 1), "what they would have done is told all the same"


def test_a_turn_that_the_last_decision_makes_counts_once_however_often_it_is_asked():
    counts = count((2, 4), (4, 2))
    assert [counts.direction_changes, counts.direction_changes] == [1, 1]
    counts.add(Decision(2, 2, Reason.WITHIN_TOLERANCE, "", ()), 0.0)
    assert counts.direction_changes == 1


def test_every_decision_is_counted_with_its_reason():
    counts = count((2, 4), (4, 4))
    counts.add(Decision(4, 4, Reason.WITHIN_TOLERANCE, "", ()), 0.0)
    assert counts.decisions == 3
    assert counts.reasons == {"ReadyForNewScale": 2, "WithinTolerance": 1}
