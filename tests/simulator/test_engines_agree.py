"""The engine that jumps against the one that steps: every request, gauge, decision and bill."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from math import isnan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.profile import load_profile
from simulator.replay import simulate
from simulator.result import Outcome, RunResult
from simulator.scenario import Fixed, Scenario
from simulator.startup import StartUp
from simulator.stepped import SteppedReplica
from simulator.trace import Trace, bundled_trace
from tests.simulator.profiles import make_profile
from tests.simulator.test_replay import make_policy, make_scenario

OFF_GRID_S = 0.00031713
"""Before the first arrival, so that no step ends on a whole second, when the controller acts."""

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
BLOCKS = st.integers(12, 60)  # of 16 tokens; the longest request needs 12
ONE_GROUP = BLOCKS.map(lambda blocks: {"kv_cache_tokens": blocks * 16})
CACHING = ONE_GROUP.map(lambda memory: memory | {"enable_prefix_caching": True})
TWO_GROUPS = st.builds(
    lambda blocks, window: {
        "kv_cache_tokens": blocks * 8,
        "kv_cache_blocks": 2 * blocks + 1,
        "sliding_window_tokens": window * 16,
    },
    st.integers(24, 60),
    st.integers(1, 9),
)
LIMITS = st.fixed_dictionaries(
    {
        "max_num_seqs": st.integers(1, 12),
        "max_num_batched_tokens": st.integers(12, 200),
        "async_scheduling": st.booleans(),
    }
)
# Few different beginnings, so that they meet; a number of pieces that may end before the prompt does.
HASHES = st.lists(st.integers(0, 2), max_size=12).map(
    lambda steps: tuple(int("1" + "".join(map(str, steps[: n + 1])), 3) for n in range(len(steps)))
)
# Off the grid of round step times, so that no arrival falls on a boundary by construction.
GAPS_S = st.integers(0, 400).map(lambda gap: gap * 0.00093171)
REQUESTS = st.lists(
    st.tuples(GAPS_S, st.integers(1, 120), st.integers(1, 60), HASHES), min_size=1, max_size=40
)
SCALINGS = st.sampled_from(
    [
        Fixed(1),
        Fixed(3),
        make_policy(
            syncPeriodSeconds=1, minReplicas=1, behavior={"scaleDown": {"stabilizationWindowSeconds": 1}}
        ),
    ]
)


def workloads(memory: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """(profile, hashed piece in tokens, scaling, requests)."""
    profiles = st.builds(lambda *parts: make_profile(**parts[0] | parts[1] | parts[2]), COSTS, LIMITS, memory)
    return st.tuples(profiles, st.sampled_from([8, 16, 24, 40]), SCALINGS, REQUESTS)


PLAIN = workloads(st.one_of(ONE_GROUP, TWO_GROUPS))
CACHED = workloads(CACHING)


@settings(max_examples=40)
@given(PLAIN)
def test_both_engines_agree(workload):
    agree(*workload)


@settings(max_examples=40)
@given(CACHED)
def test_both_engines_agree_with_prefix_caching(workload):
    agree(*workload)


@pytest.mark.slow
@settings(max_examples=1500)
@given(PLAIN)
def test_both_engines_agree_over_many_workloads(workload):
    agree(*workload)


@pytest.mark.slow
@settings(max_examples=1500)
@given(CACHED)
def test_both_engines_agree_over_many_workloads_with_prefix_caching(workload):
    agree(*workload)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gemma2-9b-h100", "llama3.1-8b-l4"])
@pytest.mark.parametrize("scaling", [Fixed(1), make_policy()])
def test_both_engines_agree_on_the_bundled_trace(profile, scaling):
    requests = list(islice(Trace(bundled_trace("azure-conv")), 600))
    scenario = make_scenario(profile=load_profile(profile), startup=StartUp(name="test", engine_s=30.0))
    compare(requests, scaling, scenario)


def agree(
    profile: Any, piece: int, scaling: Any, drawn: Sequence[tuple[float, int, int, tuple[int, ...]]]
) -> None:
    """Replays through both and compares; also what holds for any replay."""
    now, requests = OFF_GRID_S, []
    for gap, prompt, output, hashes in drawn:
        now += gap
        requests.append((now, prompt, output, hashes))
    scenario = make_scenario(
        profile=profile,
        startup=StartUp(name="test", engine_s=1.0),
        hash_block_tokens=piece,
        scrape_interval_s=0.27193,
        timeline_interval_s=0.0137193,
    )
    result = compare(requests, scaling, scenario)
    table = result.requests
    assert all(outcome == Outcome.COMPLETED for outcome in table.outcome)
    for queue_s, ttft_s, e2e_s in zip(table.queue_s, table.ttft_s, table.e2e_s, strict=True):
        assert 0.0 <= queue_s <= ttft_s <= e2e_s


def compare(requests: Iterable[Any], scaling: Any, scenario: Scenario) -> RunResult:
    requests = list(requests)
    fast = simulate(requests, scaling, scenario)
    plain = simulate(requests, scaling, replace(scenario, server=SteppedReplica))
    for name in ("queue_s", "ttft_s", "e2e_s"):
        columns = getattr(fast.requests, name), getattr(plain.requests, name)
        for row, (ours, theirs) in enumerate(zip(*columns, strict=True)):
            both_never = isnan(ours) and isnan(theirs)
            assert both_never or abs(ours - theirs) <= 1e-6, f"{name} of request {row}: {ours} and {theirs}"
    for name in ("preemptions", "outcome", "replica", "hit_tokens"):
        assert getattr(fast.requests, name) == getattr(plain.requests, name), name
    for ours, theirs in zip(fast.timeline, plain.timeline, strict=True):
        assert replace(ours, kv_usage=0.0) == replace(theirs, kv_usage=0.0)
        assert ours.kv_usage == pytest.approx(theirs.kv_usage, abs=1e-9)
    assert [record.decision for record in fast.decisions] == [record.decision for record in plain.decisions]
    for life, other in zip(fast.replicas, plain.replicas, strict=True):
        assert (life.name, life.ordered_s, life.ready_s) == (other.name, other.ordered_s, other.ready_s)
        assert (life.drain_s, life.ended_s) == pytest.approx((other.drain_s, other.ended_s), abs=1e-6)
    assert fast.end_s == pytest.approx(plain.end_s, abs=1e-6)
    return fast
