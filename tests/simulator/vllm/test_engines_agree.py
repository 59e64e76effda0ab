"""The engine that jumps against the one that steps: every request, gauge, decision and bill."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from math import isnan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.run.event_loop import simulate
from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.plan import StartupModel
from simulator.traces.trace import Trace, bundled_trace
from simulator.vllm.profile import Profile, load_profile
from simulator.vllm.request_table import RequestOutcome
from simulator.vllm.stepped import SteppedReplica
from tests.simulator.profiles import make_profile
from tests.simulator.run.test_event_loop import make_policy, make_scenario

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
        "max_num_queued_reqs": st.one_of(st.none(), st.none(), st.integers(1, 14)),
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
QUICK = {"syncPeriodSeconds": 1, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 1}}}
FOUR_EACH = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 4}}
SCALINGS = st.sampled_from([FixedScaling(1), FixedScaling(3), make_policy(**QUICK)])

# What the general draw meets too seldom: many requests at once for few blocks or tokens, and a crowd that
# calls for replicas and goes while long answers are still running on them.
TOGETHER_S = st.integers(0, 9).map(lambda gap: gap * 0.00093171)
CROWD = st.lists(
    st.tuples(TOGETHER_S, st.integers(40, 120), st.integers(30, 60), HASHES), min_size=8, max_size=24
)
FEW_BLOCKS = LIMITS.map(lambda limits: limits | {"max_num_seqs": 8, "max_num_batched_tokens": 128})
FEW_TOKENS = LIMITS.map(lambda limits: limits | {"max_num_seqs": 8, "max_num_batched_tokens": 16})
LONG = st.tuples(st.integers(400, 900).map(lambda gap: gap * 0.00093171), st.just(8), st.just(60), HASHES)
COMES_AND_GOES = st.builds(lambda crowd, rest: crowd + rest, CROWD, st.lists(LONG, min_size=8, max_size=12))
COMES_AND_GOES_COSTS = COSTS.map(lambda costs: costs | {"base_ms": 60.0, "per_kv_token_ns": 0.0})
SCALED = st.sampled_from([make_policy(FOUR_EACH, **QUICK), make_policy(FOUR_EACH, **QUICK, semantics="HPA")])


def workloads(memory: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[Any]:
    """(profile, hashed piece in tokens, scaling, requests): any, starved of blocks or tokens, scaled."""
    small = memory.filter(lambda given: given["kv_cache_tokens"] <= 24 * 16)
    return st.one_of(
        _workloads(COSTS, LIMITS, memory, SCALINGS, REQUESTS),
        _workloads(COSTS, FEW_BLOCKS, small, SCALINGS, CROWD),
        _workloads(COSTS, FEW_TOKENS, memory, SCALINGS, CROWD),
        _workloads(COMES_AND_GOES_COSTS, FEW_BLOCKS, memory, SCALED, COMES_AND_GOES),
    )


def _workloads(
    costs: st.SearchStrategy[dict[str, Any]],
    limits: st.SearchStrategy[dict[str, Any]],
    memory: st.SearchStrategy[dict[str, Any]],
    scalings: st.SearchStrategy[Any],
    requests: st.SearchStrategy[Any],
) -> st.SearchStrategy[Any]:
    profiles = st.builds(lambda *parts: make_profile(**parts[0] | parts[1] | parts[2]), costs, limits, memory)
    return st.tuples(profiles, st.sampled_from([8, 16, 24, 40]), scalings, requests)


PLAIN = workloads(st.one_of(ONE_GROUP, TWO_GROUPS))
CACHED = workloads(CACHING)


@settings(max_examples=20)
@given(PLAIN)
def test_both_engines_agree(workload):
    agree(*workload)


@settings(max_examples=20)
@given(CACHED)
def test_both_engines_agree_with_prefix_caching(workload):
    agree(*workload)


@pytest.mark.slow
@pytest.mark.parametrize(("drawn", "hits"), [(PLAIN, False), (CACHED, True)], ids=["plain", "prefix caching"])
def test_both_engines_agree_over_many_workloads(drawn, hits):
    """And each kind of trouble was met in many of them, or their agreement would say little."""
    met: Counter[str] = Counter()

    @settings(max_examples=750)
    @given(drawn)
    def agree_and_count(workload):
        met.update(troubles(workload[0], agree(*workload)))

    agree_and_count()
    wanted = {"preempted", "queued", "refused", "in pieces", "scaled", "drained"} | (
        {"found in the cache"} if hits else set()
    )
    assert {trouble: met[trouble] for trouble in wanted if met[trouble] < 50} == {}


def troubles(profile: Profile, result: RunResult) -> Iterator[str]:
    """What happened in a replay."""
    table, budget = result.requests, profile.scheduler.max_num_batched_tokens
    kinds = {
        "preempted": any(table.preemptions),
        "queued": any(point.waiting for point in result.timeline),
        "refused": bool(table.rejected_by),
        "in pieces": any(tokens > budget for tokens in table.prompt_tokens),
        "found in the cache": any(table.hit_tokens),
        "scaled": any(life.ordered_s > 0.0 for life in result.replicas),
        "drained": any(
            life.drain_s is not None and (life.ended_s or 0.0) > life.drain_s for life in result.replicas
        ),
    }
    return (kind for kind, happened in kinds.items() if happened)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["gemma2-9b-h100", "llama3.1-8b-l4"])
@pytest.mark.parametrize("scaling", [FixedScaling(1), make_policy()])
def test_both_engines_agree_on_the_beginning_of_the_bundled_trace(profile, scaling):
    requests = list(islice(Trace(bundled_trace("azure-conv")), 600))
    scenario = make_scenario(profile=load_profile(profile), startup=StartupModel(name="test", engine_s=30.0))
    compare(requests, scaling, scenario)


@pytest.mark.slow
def test_both_engines_agree_on_every_request_of_the_bundled_hour():
    requests = list(Trace(bundled_trace("azure-conv")))
    profile = load_profile("gemma2-9b-h100")
    scenario = make_scenario(profile=profile, startup=StartupModel(name="test", engine_s=30.0))
    result = compare(requests, make_policy(), scenario)
    assert Counter(result.requests.outcome) == {
        RequestOutcome.COMPLETED: 19_365,
        RequestOutcome.REJECTED: 1,
    }  # too long
    assert {"scaled", "drained"} <= set(troubles(profile, result))


def agree(
    profile: Any, piece: int, scaling: Any, drawn: Sequence[tuple[float, int, int, tuple[int, ...]]]
) -> RunResult:
    """Replays through both and compares; also what holds for any replay."""
    now, requests = OFF_GRID_S, []
    for gap, prompt, output, hashes in drawn:
        now += gap
        requests.append((now, prompt, output, hashes))
    scenario = make_scenario(
        profile=profile,
        startup=StartupModel(name="test", engine_s=1.0),
        hash_block_tokens=piece,
        scrape_interval_s=0.27193,
        timeline_interval_s=0.0137193,
    )
    result = compare(requests, scaling, scenario)
    table = result.requests
    capped = profile.scheduler.max_num_queued_reqs is not None
    for row, outcome in enumerate(table.outcome):
        if outcome == RequestOutcome.REJECTED:
            assert capped
            assert isnan(table.queue_s[row])
        else:
            assert outcome == RequestOutcome.COMPLETED
            assert 0.0 <= table.queue_s[row] <= table.ttft_s[row] <= table.e2e_s[row]
    assert table.rejected == table.rejected_by.total()
    return result


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
