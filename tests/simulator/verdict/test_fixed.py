"""The fewest fixed replicas that hold: bisection on replays that are counted."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.run.result import RunResult
from simulator.verdict.fixed import MOST_REPLICAS, fewest_fixed
from simulator.verdict.goal import Goal, Verdict
from simulator.vllm.request_table import RequestTable, Slo


@dataclass
class Replays:
    """Replays that hold from ``enough`` replicas on."""

    enough: int
    tried: list[int] = field(default_factory=list)

    def __call__(self, replicas):
        self.tried.append(replicas)
        misses = 0 if replicas >= self.enough else 50
        result = RunResult("", {}, Slo(1.0, 1.0), 1, RequestTable(), (), None, (), (), 0.0)
        return result, Verdict(Goal(), 100, misses, 0, array("d", range(misses)))


@given(enough=st.integers(1, MOST_REPLICAS), guess=st.integers(0, 600))
def test_it_finds_the_fewest_wherever_it_begins(enough, guess):
    replays = Replays(enough)
    found = fewest_fixed(replays, guess)
    assert found is not None
    assert found.replicas == enough
    assert len(replays.tried) == len(set(replays.tried)), "each number is replayed once"


@given(enough=st.integers(1, 40), guess=st.integers(0, 60), most=st.integers(0, 40))
def test_no_more_replicas_are_tried_than_there_are_nodes(enough, guess, most):
    replays = Replays(enough)
    found = fewest_fixed(replays, guess, most)
    assert (None if found is None else found.replicas) == (enough if enough <= most else None)
    assert max(replays.tried, default=0) <= most


@pytest.mark.parametrize("guess", [1, 40, 512])
def test_a_goal_out_of_reach_is_not_looked_for_forever(guess):
    replays = Replays(MOST_REPLICAS + 1)
    assert fewest_fixed(replays, guess) is None
    assert len(replays.tried) < 20


def test_a_good_guess_takes_few_replays():
    replays = Replays(enough=5)
    fewest_fixed(replays, guess=5)
    assert len(replays.tried) <= 4


def test_where_no_request_can_meet_the_slo_one_replay_tells():
    tried = []

    def replay(replicas):
        tried.append(replicas)
        result = RunResult("", {}, Slo(1.0, 1.0), 1, RequestTable(), (), None, (), (), 0.0)
        return result, Verdict(Goal(), 100, 100, 100, array("d"))

    assert fewest_fixed(replay, guess=3) is None
    assert tried == [3]
