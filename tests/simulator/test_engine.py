"""One replica: stories with round numbers, then the jumping engine against the plain one."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.engine import Replica
from simulator.profile import Profile
from simulator.result import Outcome, RequestTable
from tests.simulator.profiles import make_profile
from tests.simulator.reference import Reference, Request

STEP = 0.010


def replay(profile: Profile, *requests: tuple[float, int, int]) -> tuple[RequestTable, Replica]:
    """Requests (arrival, prompt, output) through one replica, to the end."""
    table = RequestTable()
    replica = Replica(profile, table, "vllm-0", 0, 0.0)
    for arrival, prompt, output in requests:
        replica.advance(arrival)
        replica.submit(table.add(arrival, prompt, output), arrival)
    while replica.in_flight:
        replica.advance(replica.run_end)
    return table, replica


def test_a_lone_request_takes_one_step_for_its_prompt_and_one_for_each_further_token():
    table, replica = replay(make_profile(), (1.0, 100, 5))
    assert table.queue_s[0] == 0.0
    assert table.ttft_s[0] == pytest.approx(STEP)
    assert table.e2e_s[0] == pytest.approx(5 * STEP)
    assert table.tpot_s(0) == pytest.approx(STEP)
    assert replica.busy_s == pytest.approx(5 * STEP)


def test_a_request_of_one_token_ends_with_its_prompt_and_has_no_tpot():
    table, _ = replay(make_profile(), (0.0, 100, 1))
    assert table.e2e_s[0] == table.ttft_s[0]
    assert table.tpot_s(0) is None


def test_a_long_prompt_is_computed_in_pieces_of_the_token_budget():
    table, _ = replay(make_profile(max_num_batched_tokens=512, max_num_seqs=64), (0.0, 1200, 2))
    assert table.ttft_s[0] == pytest.approx(3 * STEP)


def test_decoding_sequences_go_first_and_leave_the_rest_of_the_budget_to_prompts():
    """One sequence decodes, so a prompt of 512 no longer fits into one step of 512."""
    table, _ = replay(make_profile(), (0.0, 10, 100), (0.015, 512, 1))
    # Arrives in the second step, is planned with the third, needs 511 + 1 tokens.
    assert table.ttft_s[1] == pytest.approx(0.040 - 0.015)


@pytest.mark.parametrize(("asynchronous", "ttft"), [(False, 0.015), (True, 0.025)])
def test_with_async_scheduling_an_arrival_also_waits_for_the_step_planned_ahead(asynchronous, ttft):
    profile = make_profile(async_scheduling=asynchronous)
    table, _ = replay(profile, (0.0, 10, 100), (0.015, 10, 1))
    assert table.ttft_s[1] == pytest.approx(ttft)


def test_requests_beyond_max_num_seqs_wait_in_order():
    table, _ = replay(make_profile(max_num_seqs=1), (0.0, 10, 3), (0.001, 10, 3), (0.002, 10, 3))
    assert [round(end, 6) for end in table.e2e_s] == [0.03, 0.059, 0.088]


def test_a_prompt_is_not_admitted_before_the_blocks_for_all_of_it_are_free():
    """100 blocks; the first takes 63 and later 64, so the second (63) waits for its end."""
    table, _ = replay(make_profile(kv_cache_tokens=1600), (0.0, 1000, 10), (0.001, 1000, 10))
    assert table.queue_s[1] == pytest.approx(table.e2e_s[0] - 0.001)


def test_when_blocks_run_out_the_newest_is_preempted_and_recomputes_from_the_head_of_the_queue():
    profile = make_profile(kv_cache_tokens=64)  # 4 blocks
    table, _ = replay(profile, (0.0, 16, 30), (0.001, 16, 30), (0.1, 8, 1))
    assert list(table.preemptions) == [0, 1, 0]
    assert table.ttft_s[2] + 0.1 > table.e2e_s[0], "it waits behind the preempted one"
    assert all(outcome == Outcome.COMPLETED for outcome in table.outcome)


def test_the_time_of_a_step_follows_the_profiles_formula():
    profile = make_profile(
        per_sequence_us=1000.0,
        per_kv_token_ns=1000.0,
        per_prefill_token_us=10.0,
        per_prefill_token_squared_ns=10.0,
        request_overhead_ms=1.0,
    )
    table, _ = replay(profile, (0.0, 100, 3))
    prompt = 0.010 + 100 * 10e-6 + 100 * 100 * 10e-9
    assert table.ttft_s[0] == pytest.approx(prompt + 0.001)
    decode = 2 * (0.010 + 0.001) + (100 + 101) * 1e-6
    assert table.e2e_s[0] == pytest.approx(prompt + decode + 0.001)


def test_a_mixture_reads_the_experts_that_any_token_of_the_step_is_routed_to():
    profile = make_profile(experts_ms=16.0, experts_share=0.25)
    table, _ = replay(profile, (0.0, 2, 3))
    assert table.ttft_s[0] == pytest.approx(0.010 + 0.016 * (1 - 0.75**2)), "two prompt tokens"
    assert table.e2e_s[0] == pytest.approx(table.ttft_s[0] + 2 * (0.010 + 0.016 * 0.25)), "one each"


def test_a_step_with_a_prompt_takes_at_least_the_prefill_floor():
    table, _ = replay(make_profile(prefill_floor_ms=30.0), (0.0, 100, 2))
    assert table.ttft_s[0] == pytest.approx(0.030)
    assert table.e2e_s[0] == pytest.approx(0.040)


def test_gauges_within_a_run_follow_its_steps():
    table = RequestTable()
    replica = Replica(make_profile(), table, "vllm-0", 0, 0.0)
    replica.submit(table.add(0.0, 31, 100), 0.0)
    usage = {}
    for now in (0.005, 0.015, 0.025, 0.175, 0.185):
        replica.advance(now)
        usage[now] = round(replica.kv_usage(now) * replica.total_blocks)
    # 31 prompt tokens take 2 blocks; the third comes with token 33, in the third step.
    assert usage == {0.005: 2, 0.015: 2, 0.025: 3, 0.175: 3, 0.185: 4}
    assert (replica.running, replica.waiting(0.185)) == (1, 0)
    assert replica.tokens_generated_until(0.185) == 18
    assert replica.busy_until(0.185) == pytest.approx(0.185)


COSTS = st.fixed_dictionaries(
    {
        "base_ms": st.floats(0.5, 30.0),
        "per_sequence_us": st.floats(0.0, 500.0),
        "experts_ms": st.one_of(st.just(0.0), st.floats(0.1, 30.0)),
        "experts_share": st.floats(0.01, 0.5),
        "per_kv_token_ns": st.one_of(st.just(0.0), st.floats(1.0, 5000.0)),
        "per_prefill_token_us": st.floats(0.0, 200.0),
        "per_prefill_token_squared_ns": st.floats(0.0, 100.0),
        "prefill_floor_ms": st.floats(0.0, 40.0),
        "eager_floor_ms": st.floats(0.0, 80.0),
        "output_delay_ms": st.floats(0.0, 20.0),
        "cuda_graph_tokens": st.integers(1, 200),
        "request_overhead_ms": st.floats(0.0, 10.0),
        "request_overhead_per_prompt_token_us": st.floats(0.0, 20.0),
        "per_output_token_us": st.one_of(st.just(0.0), st.floats(1.0, 5000.0)),
    }
)
BLOCKS = st.integers(12, 60)
ONE_GROUP = BLOCKS.map(lambda blocks: {"kv_cache_tokens": blocks * 16})
TWO_GROUPS = st.builds(
    lambda blocks, window: {
        "kv_cache_tokens": blocks * 8,
        "kv_cache_blocks": 2 * blocks + 1,
        "sliding_window_tokens": window * 16,
    },
    BLOCKS,
    st.integers(1, 9),
)
LIMITS = st.builds(
    lambda limits, memory: limits | memory,
    st.fixed_dictionaries(
        {
            "max_num_seqs": st.integers(1, 12),
            "max_num_batched_tokens": st.integers(12, 200),
            "async_scheduling": st.booleans(),
        }
    ),
    st.one_of(ONE_GROUP, TWO_GROUPS),
)
# Off the grid of round step times, so that no arrival falls on a boundary by construction.
GAPS_S = st.integers(0, 400).map(lambda gap: gap * 0.00093171)
REQUESTS = st.lists(st.tuples(GAPS_S, st.integers(1, 120), st.integers(1, 60)), min_size=1, max_size=40)


@given(costs=COSTS, limits=LIMITS, drawn=REQUESTS)
def test_the_jumping_engine_agrees_with_the_step_by_step_reading_on_every_request(costs, limits, drawn):
    agree(make_profile(**costs, **limits), drawn)


@pytest.mark.slow
@settings(max_examples=2000)
@given(costs=COSTS, limits=LIMITS, drawn=REQUESTS)
def test_both_engines_agree_over_many_workloads(costs, limits, drawn):
    agree(make_profile(**costs, **limits), drawn)


def agree(profile: Profile, drawn: list[tuple[float, int, int]]) -> None:
    """Replays through both and compares; also what holds for any replay."""
    now, requests = 0.0, []
    for gap, prompt, output in drawn:
        now += gap
        requests.append(Request(now, prompt, output))
    plain = Reference(profile)
    plain.run(requests)
    table, replica = replay(profile, *((one.arrival, one.prompt, one.output) for one in requests))
    for row, one in enumerate(requests):
        assert one.scheduled_at is not None
        assert one.first_token_at is not None
        assert one.finished_at is not None
        assert table.queue_s[row] == pytest.approx(one.scheduled_at - one.arrival, abs=1e-6)
        assert table.ttft_s[row] == pytest.approx(one.first_token_at - one.arrival, abs=1e-6)
        assert table.e2e_s[row] == pytest.approx(one.finished_at - one.arrival, abs=1e-6)
        assert table.preemptions[row] == one.preemptions
        assert 0.0 <= table.queue_s[row] <= table.ttft_s[row] <= table.e2e_s[row]
    assert replica.generated_tokens == sum(one.output for one in requests)
    assert replica.finished == len(requests)
    assert replica.kv_usage(now) == 0.0, "every KV block is back"
    gauges_agree(profile, plain, requests)


def gauges_agree(profile: Profile, plain: Reference, requests: list[Request]) -> None:
    """Running and KV usage in the middle of every step of the plain engine."""
    table = RequestTable()
    replica = Replica(profile, table, "vllm-0", 0, 0.0)
    arrivals = iter(requests)
    nextup = next(arrivals, None)
    starts = [gauge[0] for gauge in plain.gauges]
    for (start, running, waiting, kv_usage), end in zip(plain.gauges, starts[1:], strict=False):
        middle = (start + end) / 2
        if end - start < 1e-6:
            continue
        while nextup is not None and nextup.arrival <= middle:
            replica.advance(nextup.arrival)
            replica.submit(table.add(nextup.arrival, nextup.prompt, nextup.output), nextup.arrival)
            nextup = next(arrivals, None)
        replica.advance(middle)
        if replica.running == 0:
            continue  # the plain engine was idle until the next arrival
        assert replica.running == running
        assert replica.waiting(middle) == waiting
        assert replica.kv_usage(middle) == pytest.approx(kv_usage, abs=1e-9)


def test_a_request_that_never_ran_has_no_times():
    table = RequestTable()
    table.add(0.0, 10, 10)
    assert isnan(table.ttft_s[0])
    assert isnan(table.e2e_s[0])
