"""One replica: stories with round numbers, told to both engines."""

from __future__ import annotations

from math import isnan

import pytest

from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import Profile
from simulator.vllm.replica import Replica
from simulator.vllm.request_table import RequestOutcome, RequestTable
from simulator.vllm.stepped import SteppedReplica
from tests.simulator.profiles import make_profile

STEP = 0.010


@pytest.fixture(params=[FastReplica, SteppedReplica])
def engine(request) -> type[Replica]:
    return request.param


@pytest.fixture
def replay(engine):
    """Requests (arrival, prompt, output[, hash_ids]) through one replica, to the end."""

    def through_one(profile: Profile, *requests: tuple) -> tuple[RequestTable, Replica]:
        table = RequestTable(hash_block_tokens=16)
        replica = engine(profile, table, "vllm-0", 0, 0.0)
        for request in requests:
            replica.advance(request[0])
            replica.submit(table.add(*request), request[0])
        while replica.in_flight:
            replica.advance(replica.run_end)
        return table, replica

    return through_one


def test_a_lone_request_takes_one_step_for_its_prompt_and_one_for_each_further_token(replay):
    table, replica = replay(make_profile(), (1.0, 100, 5))
    assert table.queue_s[0] == 0.0
    assert table.ttft_s[0] == pytest.approx(STEP)
    assert table.e2e_s[0] == pytest.approx(5 * STEP)
    assert table.tpot_s(0) == pytest.approx(STEP)
    assert replica.busy_s == pytest.approx(5 * STEP)


def test_a_request_of_one_token_ends_with_its_prompt_and_has_no_tpot(replay):
    table, _ = replay(make_profile(), (0.0, 100, 1))
    assert table.e2e_s[0] == table.ttft_s[0]
    assert table.tpot_s(0) is None


def test_a_long_prompt_is_computed_in_pieces_of_the_token_budget(replay):
    table, _ = replay(make_profile(max_num_batched_tokens=512, max_num_seqs=64), (0.0, 1200, 2))
    assert table.ttft_s[0] == pytest.approx(3 * STEP)


def test_decoding_sequences_go_first_and_leave_the_rest_of_the_budget_to_prompts(replay):
    """One sequence decodes, so a prompt of 512 no longer fits into one step of 512."""
    table, _ = replay(make_profile(), (0.0, 10, 100), (0.015, 512, 1))
    # Arrives in the second step, is planned with the third, needs 511 + 1 tokens.
    assert table.ttft_s[1] == pytest.approx(0.040 - 0.015)


@pytest.mark.parametrize(("asynchronous", "ttft"), [(False, 0.015), (True, 0.025)])
def test_with_async_scheduling_an_arrival_also_waits_for_the_step_planned_ahead(replay, asynchronous, ttft):
    profile = make_profile(async_scheduling=asynchronous)
    table, _ = replay(profile, (0.0, 10, 100), (0.015, 10, 1))
    assert table.ttft_s[1] == pytest.approx(ttft)


def test_requests_beyond_max_num_seqs_wait_in_order(replay):
    table, _ = replay(make_profile(max_num_seqs=1), (0.0, 10, 3), (0.001, 10, 3), (0.002, 10, 3))
    assert [round(end, 6) for end in table.e2e_s] == [0.03, 0.059, 0.088]


def test_a_prompt_is_not_admitted_before_the_blocks_for_all_of_it_are_free(replay):
    """100 blocks; the first takes 63 and later 64, so the second (63) waits for its end."""
    table, _ = replay(make_profile(kv_cache_tokens=1600), (0.0, 1000, 10), (0.001, 1000, 10))
    assert table.queue_s[1] == pytest.approx(table.e2e_s[0] - 0.001)


def test_when_blocks_run_out_the_newest_is_preempted_and_recomputes_from_the_head_of_the_queue(replay):
    profile = make_profile(kv_cache_tokens=64)  # 4 blocks
    table, _ = replay(profile, (0.0, 16, 30), (0.001, 16, 30), (0.1, 8, 1))
    assert list(table.preemptions) == [0, 1, 0]
    assert table.ttft_s[2] + 0.1 > table.e2e_s[0], "it waits behind the preempted one"
    assert all(outcome == RequestOutcome.COMPLETED for outcome in table.outcome)


def test_the_time_of_a_step_follows_the_profiles_formula(replay):
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


def test_a_mixture_reads_the_experts_that_any_token_of_the_step_is_routed_to(replay):
    profile = make_profile(experts_ms=16.0, experts_share=0.25)
    table, _ = replay(profile, (0.0, 2, 3))
    assert table.ttft_s[0] == pytest.approx(0.010 + 0.016 * (1 - 0.75**2)), "two prompt tokens"
    assert table.e2e_s[0] == pytest.approx(table.ttft_s[0] + 2 * (0.010 + 0.016 * 0.25)), "one each"


def test_a_step_with_a_prompt_takes_at_least_the_prefill_floor(replay):
    table, _ = replay(make_profile(prefill_floor_ms=30.0), (0.0, 100, 2))
    assert table.ttft_s[0] == pytest.approx(0.030)
    assert table.e2e_s[0] == pytest.approx(0.040)


def test_gauges_within_a_run_follow_its_steps(engine):
    table = RequestTable()
    replica = engine(make_profile(), table, "vllm-0", 0, 0.0)
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


# -- prefix caching ---------------------------------------------------------------------------

CACHING = {"enable_prefix_caching": True, "per_prefill_token_us": 100.0}


def test_a_prompt_that_was_seen_is_found_again_but_for_its_last_token(replay):
    """64 tokens are four full blocks: the last one is computed again, because its last token must be."""
    ids = (1, 2, 3, 4)
    table, replica = replay(make_profile(**CACHING), (0.0, 64, 2, ids), (1.0, 64, 2, ids))
    assert list(table.hit_tokens) == [0, 48]
    assert table.ttft_s[0] == pytest.approx(STEP + 64 * 1e-4)
    assert table.ttft_s[1] == pytest.approx(STEP + 16 * 1e-4)
    assert (table.prefix_hit_tokens, replica.prompt_tokens) == (48, 64 + 16)


def test_only_full_blocks_are_found_up_to_the_first_that_differs(replay):
    first, second = (0.0, 70, 1, (1, 2, 3, 4, 5)), (1.0, 70, 1, (1, 2, 9, 4, 5))
    table, _ = replay(make_profile(**CACHING), first, second)
    assert list(table.hit_tokens) == [0, 32]


def test_without_the_option_or_without_hashes_nothing_is_found(replay):
    ids = (1, 2, 3, 4)
    table, _ = replay(make_profile(), (0.0, 64, 1, ids), (1.0, 64, 1, ids))
    assert list(table.hit_tokens) == [0, 0]
    table, _ = replay(make_profile(**CACHING), (0.0, 64, 1), (1.0, 64, 1))
    assert list(table.hit_tokens) == [0, 0]


def test_the_longest_freed_blocks_are_given_away_first_the_tail_of_a_prompt_before_its_head(replay):
    """10 blocks: the third request takes 2 unused ones and the first's last 2, and so on."""
    one, two, other = (1, 2, 3, 4), (11, 12, 13, 14), (21, 22, 23, 24)
    profile = make_profile(kv_cache_tokens=160, **CACHING)
    table, _ = replay(
        profile,
        (0.0, 64, 1, one),
        (1.0, 64, 1, two),
        (2.0, 64, 1, other),
        (3.0, 64, 1, one),
        (4.0, 64, 1, two),
    )
    assert list(table.hit_tokens) == [0, 0, 0, 32, 32]


def test_blocks_in_use_are_never_given_away(replay):
    """The first decodes on its prompt's blocks while others fill and empty the rest of the cache."""
    profile = make_profile(kv_cache_tokens=320, **CACHING)
    strangers = [(0.05 + 0.08 * n, 64, 1, (n, 100 + n, 200 + n, 300 + n)) for n in range(10)]
    ids = (501, 502, 503, 504)
    table, replica = replay(profile, (0.0, 64, 100, ids), *strangers, (0.9, 64, 1, ids))
    assert table.e2e_s[0] > 0.9
    assert table.hit_tokens[11] == 48
    assert table.preempted == 0
    assert replica.kv_usage(10.0) == 0.0


def test_blocks_that_two_requests_share_count_once(engine):
    table = RequestTable(hash_block_tokens=16)
    replica = engine(make_profile(**CACHING), table, "vllm-0", 0, 0.0)
    for now in (0.0, 0.1):
        replica.advance(now)
        replica.submit(table.add(now, 65, 50, (1, 2, 3, 4, 5)), now)
    replica.advance(0.15)
    assert round(replica.kv_usage(0.15) * replica.total_blocks) == 4 + 1 + 1


def test_a_preempted_request_finds_what_it_had_computed(replay):
    profile = make_profile(kv_cache_tokens=96, **CACHING)  # 6 blocks
    table, replica = replay(profile, (0.0, 32, 30, (1, 2)), (0.001, 32, 30, (11, 12)))
    assert list(table.preemptions) == [0, 1]
    assert replica.prompt_tokens < 64 + 32 + 16, "not all of the second is computed again"


def test_a_request_that_never_ran_has_no_times():
    table = RequestTable()
    table.add(0.0, 10, 10)
    assert isnan(table.ttft_s[0])
    assert isnan(table.e2e_s[0])
