"""A run against its goal: what counts, what nobody could have saved, and who holds."""

from __future__ import annotations

import pytest

from simulator.run.event_loop import simulate
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.choices import load_startup
from simulator.verdict.goal import Goal, judge
from simulator.verdict.unavoidable import IdleReplica, missed
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import RequestTable, Slo

SLO = Slo(ttft_s=2.0, tpot_s=0.2)
HOPELESS = (20_000, 10)
"""A prompt whose prefill alone takes longer than the limit."""


def scenario(**given):
    return Scenario(load_profile("llama3.1-8b-l4"), load_startup("60"), SLO, **given)


def test_an_idle_replica_misses_prompts_that_take_longer_than_the_limit():
    idle = IdleReplica(scenario())
    assert not idle.misses(500, 100)
    assert idle.misses(*HOPELESS)
    assert idle.misses(500_000, 1), "beyond the model's context: rejected"
    assert not idle.misses(500, 100), "what came before leaves no trace"


def test_the_goal_is_held_against_what_could_have_been_avoided_unless_all_counts():
    rows = [(float(i), 500, 20) for i in range(99)] + [(120.0, *HOPELESS)]
    result = simulate(rows, FixedScaling(1), scenario())
    verdicts = {
        count: judge(result.requests, Goal(0.995, count), IdleReplica(scenario()))
        for count in ("avoidable", "all")
    }
    assert verdicts["avoidable"].unavoidable == 1
    assert verdicts["avoidable"].attainment_of_all == pytest.approx(0.99)
    assert verdicts["avoidable"].attainment_of_avoidable == 1.0
    assert verdicts["avoidable"].holds
    assert not verdicts["all"].holds


def test_rejected_and_unfinished_requests_are_missed():
    table = RequestTable(keep_rows=False, slo=SLO)
    for now in range(3):
        table.add(float(now), 10, 10)
    table.reject(1)
    table.ttft_s[0] = 0.1
    table.complete(0, 0.5)
    table.close()
    assert [arrival_s for arrival_s, _ in missed(table)] == [1.0, 2.0]


@pytest.mark.parametrize(
    ("ttft_s", "e2e_s", "tokens", "misses"),
    [
        (2.0, 3.0, 10, False),
        (2.1, 3.0, 10, True),
        (0.5, 0.5 + 0.2 * 9, 10, False),
        (0.5, 0.6 + 0.2 * 9, 10, True),
        (2.0, 2.0, 1, False),
    ],
)
def test_a_request_misses_by_its_first_token_or_its_pace(ttft_s, e2e_s, tokens, misses):
    table = RequestTable(slo=SLO)
    row = table.add(7.0, 10, tokens)
    table.ttft_s[row] = ttft_s
    table.complete(row, e2e_s)
    table.close()
    assert [arrival_s for arrival_s, _ in missed(table)] == [7.0] * misses


def test_no_request_is_no_miss_and_no_attainment():
    verdict = judge(RequestTable(slo=SLO), Goal(), IdleReplica(scenario()))
    assert verdict.attainment is None
    assert verdict.holds


def test_a_goal_that_no_request_can_meet_is_missed():
    result = simulate([(1.0, *HOPELESS)], FixedScaling(1), scenario())
    verdict = judge(result.requests, Goal(), IdleReplica(scenario()))
    assert verdict.hopeless
    assert not verdict.holds
