"""The event loop under the real decision engine: stories, conservation, and a closed form."""

from __future__ import annotations

import random
from math import factorial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import API_VERSION, ScalingPolicy
from autoscaler.decision.types import Reason
from simulator.report.summary import summarize
from simulator.run.event_loop import GIVE_UP_S, simulate
from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.plan import StartupModel
from simulator.vllm.request_table import RequestOutcome, Slo
from tests.simulator.profiles import make_profile

Request = tuple[float, int, int]


def make_scenario(**given: Any) -> Scenario:
    defaults: dict[str, Any] = {
        "profile": make_profile(max_num_seqs=8),
        "startup": StartupModel(name="test", engine_s=60.0),
        "slo": Slo(2.0, 0.1),
        "metrics_lag_s": 0.0,
    }
    return Scenario(**defaults | given)


def make_policy(*metrics: dict[str, Any], **spec: Any) -> ScalingPolicy:
    running = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 4}}
    return ScalingPolicy.model_validate(
        {
            "apiVersion": API_VERSION,
            "kind": "ScalingPolicy",
            "metadata": {"name": "test"},
            "spec": {
                "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
                "maxReplicas": 10,
                "metrics": list(metrics) or [running],
            }
            | spec,
        }
    )


def steady(rate: float, start: float, end: float) -> list[Request]:
    """``rate`` requests a second, each of 3.8 s."""
    return [(start + index / rate, 10, 380) for index in range(int((end - start) * rate))]


@pytest.mark.parametrize("signal", ["ttft", "itl"])
def test_after_a_burst_a_latency_beside_the_requests_keeps_no_replica(signal: str) -> None:
    requests = [*steady(3.0, 1.0, 300.0), (1500.0, 10, 10)]
    running = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 4}}
    latency = {"signal": signal, "target": {"type": "Value", "value": 1000}}
    alone = simulate(requests, make_policy(running), make_scenario())
    beside = simulate(requests, make_policy(running, latency), make_scenario(keep_decisions=True))
    assert max(point.desired for point in beside.timeline) > 1
    pairs = zip(beside.timeline, alone.timeline, strict=True)
    later = [ours.time_s for ours, theirs in pairs if ours.desired != theirs.desired]
    assert later == [390.0], "the last pod had no rate yet at 90 s, which the window remembers for 300 s"
    reasons = {one.reason for record in beside.decisions for one in record.decision.proposals}
    assert Reason.NO_REQUESTS in reasons


CAPPED = {"profile": make_profile(max_num_seqs=4, max_num_queued_reqs=6)}
SIX_OF_TWENTY = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 20}}
REFUSALS = {"signal": "rejectedPerSecond", "target": {"type": "AverageValue", "averageValue": 1}}


def overload() -> list[Request]:
    """Six requests a second of 3.8 s each for two replicas that take 6 at a time, then quiet."""
    return [*steady(6.0, 1.0, 600.0), (1500.0, 10, 10)]


def replayed(*metrics: dict[str, Any], guard: bool = True) -> RunResult:
    scaling = make_policy(
        *metrics,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        guards={"rejectedRequests": {"enabled": guard}, "remainingCapacity": {"enabled": False}},
    )
    return simulate(overload(), scaling, make_scenario(**CAPPED, initial_replicas=2))


def test_a_capped_queue_hides_overload_from_running_and_waiting() -> None:
    """12 requests at most in two replicas are 30 % of the target, however many are refused."""
    blind = replayed(SIX_OF_TWENTY, guard=False)
    assert desired_at(blind, 300.0) == 1
    assert blind.requests.rejected > 0.5 * len(blind.requests)
    (limit, count), *_ = blind.requests.rejected_by.items()
    assert (limit.name, count) == ("max_num_queued_reqs", blind.requests.rejected)


def test_no_replica_is_removed_while_requests_are_refused_and_the_signal_adds_some() -> None:
    guarded = replayed(SIX_OF_TWENTY)
    assert desired_at(guarded, 600.0) == 2
    assert desired_at(guarded, 1499.0) == 1, "quiet again"
    scaled = replayed(SIX_OF_TWENTY, REFUSALS)
    assert desired_at(scaled, 300.0) > 2
    assert (
        scaled.requests.rejected
        < guarded.requests.rejected
        < replayed(SIX_OF_TWENTY, guard=False).requests.rejected
    )


def desired_at(result: RunResult, time_s: float) -> int:
    return [point.desired for point in result.timeline if point.time_s <= time_s][-1]


def test_load_rises_replicas_follow_after_their_start_and_fall_when_the_window_has_passed():
    # 1 request/s of 3.8 s is 4 in flight: one replica. 3 a second are three, from 300 to 600.
    trace = steady(1, 0, 300) + steady(3, 300, 600) + steady(1, 600, 1500)
    result = simulate(trace, make_policy(), make_scenario())
    assert desired_at(result, 299) == 1
    assert desired_at(result, 330) >= 3, "ordered within two syncs"
    ready = {point.time_s: point.ready for point in result.timeline}
    assert ready[330.0] == 1, "a start takes 60 s"
    assert ready[405.0] >= 3
    assert desired_at(result, 885) >= 3, "the scale-down window of 300 s still holds"
    assert desired_at(result, 990) == 1
    assert all(outcome == RequestOutcome.COMPLETED for outcome in result.requests.outcome)


def test_replicas_are_billed_from_order_to_the_end():
    result = simulate(steady(1, 0, 100), FixedScaling(2), make_scenario())
    assert [(life.ordered_s, life.ended_s) for life in result.replicas] == [(0.0, result.end_s)] * 2
    assert result.end_s == pytest.approx(99 + 3.8)


def test_a_dry_run_decides_and_changes_nothing():
    trace = steady(3, 0, 300)
    dry = simulate(trace, make_policy(mode="DryRun"), make_scenario())
    assert {point.desired for point in dry.timeline} == {1}
    assert any(record.decision.desired_replicas > 1 for record in dry.decisions)


def test_a_paused_policy_keeps_what_is_there():
    result = simulate(steady(3, 0, 300), make_policy(mode="Paused"), make_scenario(initial_replicas=2))
    assert {point.desired for point in result.timeline} == {2}
    assert {record.decision.reason for record in result.decisions} == {Reason.PAUSED}


def test_scale_to_zero_and_back_on_the_gateway_queue():
    queue = {"signal": "gatewayQueue", "target": {"type": "AverageValue", "averageValue": 4}}
    work = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 4}}
    policy = make_policy(queue, work, minReplicas=0)
    result = simulate(steady(1, 10, 30) + steady(1, 1500, 1520), policy, make_scenario())
    assert desired_at(result, 5) == 0
    assert desired_at(result, 45) >= 1
    assert desired_at(result, 1400) == 0
    assert desired_at(result, 1515) >= 1
    assert all(outcome == RequestOutcome.COMPLETED for outcome in result.requests.outcome)


def test_requests_that_nobody_will_ever_take_stay_unfinished_and_the_run_ends():
    fixed = simulate([(5.0, 10, 10)], FixedScaling(0), make_scenario())
    assert list(fixed.requests.outcome) == [RequestOutcome.UNFINISHED]
    assert fixed.end_s == 5.0
    policy = make_policy(minReplicas=0)  # its only signal vanishes at zero
    never = simulate([(5.0, 10, 10)], policy, make_scenario())
    assert list(never.requests.outcome) == [RequestOutcome.UNFINISHED]
    assert never.end_s == pytest.approx(GIVE_UP_S + 65.0, abs=15.0)


def test_a_schedule_follows_the_wall_clock_of_the_traces_zero():
    office = {
        "name": "office",
        "cron": "0 8 * * *",
        "durationSeconds": 600,
        "timeZone": "Europe/Berlin",
        "minReplicas": 3,
    }
    # The trace begins at 06:55 UTC on a winter day: 07:55 in Berlin.
    scenario = make_scenario(clock_start=1704524100.0)
    result = simulate(steady(1, 0, 600), make_policy(schedules=[office]), scenario)
    assert (desired_at(result, 290), desired_at(result, 305)) == (1, 3)


def test_a_free_query_is_answered_from_its_recorded_series(tmp_path):
    from simulator.traces.series import read_series

    file = tmp_path / "tokens.csv"
    file.write_text("timestamp_s,value\n0,10\n100,30\n")
    query = {"name": "tokens", "query": "sum(x)", "target": {"type": "AverageValue", "averageValue": 10}}
    scenario = make_scenario(series={"tokens": read_series(file)})
    spec = {"guards": {"remainingCapacity": {"enabled": False}}}
    result = simulate(steady(1, 0, 200), make_policy(query | {"maxAgeSeconds": 900}, **spec), scenario)
    assert (desired_at(result, 90), desired_at(result, 120)) == (1, 3)


def test_the_timeline_is_the_truth_at_its_moments_and_demand_is_what_arrived_since_the_last_one():
    result = simulate(steady(3, 0, 60), FixedScaling(1), make_scenario(timeline_interval_s=10.0))
    assert [point.time_s for point in result.timeline[:3]] == [0.0, 10.0, 20.0]
    assert [point.demand_rps for point in result.timeline[1:7]] == pytest.approx([3, 3, 3, 3, 3, 2.9])
    assert result.timeline[1].running == 8
    assert result.timeline[3].waiting > 0


def test_on_one_moment_a_pod_becomes_ready_before_a_request_arrives():
    scenario = make_scenario(initial_replicas=0, startup=StartupModel(name="test", engine_s=30.0))
    queue = {"signal": "gatewayQueue", "target": {"type": "AverageValue", "averageValue": 4}}
    result = simulate([(1.0, 10, 10), (45.0, 10, 10)], make_policy(queue, minReplicas=0), scenario)
    # Scraped and ordered at 15 s, so the pod is ready at 45 s.
    assert result.requests.queue_s[0] == pytest.approx(44.0)
    assert result.requests.queue_s[1] == pytest.approx(0.01), "one step behind the one that waited"


def test_equal_inputs_give_equal_results():
    trace = steady(3, 0, 200)
    one, two = (simulate(trace, make_policy(), make_scenario(routing="random", seed=7)) for _ in range(2))
    assert one.requests.e2e_s.tobytes() == two.requests.e2e_s.tobytes()
    assert (one.timeline, one.decisions, one.replicas) == (two.timeline, two.decisions, two.replicas)


ARRIVALS = st.lists(
    st.tuples(st.integers(0, 30_000), st.integers(1, 2_000), st.integers(1, 300)), min_size=1, max_size=60
)


@given(
    drawn=ARRIVALS,
    routing=st.sampled_from(["least-loaded", "round-robin", "random"]),
    initial=st.integers(0, 4),
    kv_tokens=st.integers(100, 400),
    startup_s=st.sampled_from([0.0, 1.0, 75.0]),
)
def test_every_request_ends_exactly_once_and_nothing_is_lost(drawn, routing, initial, kv_tokens, startup_s):
    trace, now = [], 0.0
    for gap_ms, prompt, output in drawn:
        now += gap_ms / 1e3
        trace.append((now, prompt, output))
    profile = make_profile(kv_cache_tokens=kv_tokens * 16, max_num_seqs=8, max_model_len_tokens=2_100)
    queue = {"signal": "gatewayQueue", "target": {"type": "AverageValue", "averageValue": 2}}
    work = {"signal": "running+waiting", "target": {"type": "PodsAverage", "averageValue": 4}}
    behavior = {"scaleDown": {"stabilizationWindowSeconds": 30}}
    scenario = make_scenario(
        profile=profile,
        routing=routing,
        initial_replicas=initial,
        startup=StartupModel(name="s", engine_s=startup_s),
    )
    result = simulate(trace, make_policy(queue, work, minReplicas=0, behavior=behavior), scenario)
    table = result.requests
    assert len(table) == len(trace)
    for row, (arrival, prompt, output) in enumerate(trace):
        fits = prompt + output <= min(2_100, kv_tokens * 16)
        assert table.outcome[row] == (RequestOutcome.COMPLETED if fits else RequestOutcome.REJECTED)
        if fits:
            assert 0.0 <= table.queue_s[row] <= table.ttft_s[row] <= table.e2e_s[row]
            assert arrival + table.e2e_s[row] <= result.end_s + 1e-9
    for life in result.replicas:
        assert 0.0 <= life.ordered_s <= life.ended_s <= result.end_s
    times = [point.time_s for point in result.timeline]
    assert times == sorted(set(times))


def erlang_c(servers: int, offered: float) -> float:
    """The probability that an arrival waits in M/M/c; ``offered`` = arrival rate x service time."""
    last = offered**servers / factorial(servers) / (1 - offered / servers)
    return last / (sum(offered**k / factorial(k) for k in range(servers)) + last)


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "utilization"), [(1, 0.6), (4, 0.8), (16, 0.9)])
def test_a_replica_with_constant_steps_and_c_sequences_is_an_m_m_c_queue(servers, utilization):
    """Geometric output lengths at 1 ms a token are exponential service times of 1 s.

    Mean wait in M/M/c: C(c, a) / (c * mu - lambda) (Erlang C). The discretisation adds up to
    two steps of 1 ms; the rest of the tolerance is the statistical error of 150,000 requests.
    """
    profile = make_profile(
        base_ms=1.0, max_num_seqs=servers, max_model_len_tokens=1_000_000, kv_cache_tokens=10**9
    )
    rng = random.Random(20240117)
    rate, now, trace = servers * utilization, 0.0, []
    for _ in range(150_000):
        now += rng.expovariate(rate)
        trace.append((now, 1, 1 + int(rng.expovariate(1.0) * 1000)))
    result = simulate(trace, FixedScaling(1), make_scenario(profile=profile))
    expected = erlang_c(servers, rate) / (servers - rate)
    assert sum(result.requests.queue_s) / len(trace) == pytest.approx(expected, rel=0.08, abs=0.003)


def test_a_run_that_keeps_nothing_counts_the_same():
    policy = make_policy()
    kept = simulate(steady(2, 0, 600), policy, make_scenario())
    bare = simulate(
        steady(2, 0, 600),
        policy,
        make_scenario(keep_decisions=False, keep_requests=False, keep_timeline=False),
    )
    assert kept.decisions
    assert kept.timeline
    assert (bare.decisions, bare.timeline) == ((), ())
    assert summarize(bare) == summarize(kept)
    assert bare.counts is not None
    assert kept.counts is not None
    assert bare.counts.reasons == kept.counts.reasons
    assert bare.counts.decisions == len(kept.decisions)
