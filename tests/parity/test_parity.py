"""The controller and the simulator, given the same pods and raw answers, observe and decide the same."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.documents.library import library_names, library_path
from autoscaler.documents.policies import load_policies
from autoscaler.metrics.readings import question
from autoscaler.ports.metrics import Answer, Question
from simulator.run.event_loop import simulate
from simulator.run.scenario import Scenario
from simulator.startup.choices import load_startup
from simulator.traces.trace import Trace, bundled_trace
from simulator.vllm.profile import load_profile
from simulator.vllm.request_table import Slo
from tests.decision.builders import metric, policy
from tests.parity.playback import Run, controlled, simulated

PROFILE = load_profile("gemma2-9b-h100")
SLO = Slo(2.0, 0.1)
Requests = list[tuple[float, int, int]]


def recorded(scaling: ScalingPolicy, requests: Requests, **scenario: object) -> Run:
    given_: dict = {"profile": PROFILE, "startup": load_startup("60"), "slo": SLO, "clock_start": 0.0}
    raw: list[Mapping[Question, Answer]] = []
    asked = {metric.name: question(metric) for metric in scaling.spec.inputs}
    given_["on_answers"] = lambda _now, answers: raw.append(
        {asked[name]: answer for name, answer in answers.items()}
    )
    decisions = simulate(requests, scaling, Scenario(**given_ | scenario)).decisions
    return list(zip(decisions, raw, strict=True))


def same(scaling: ScalingPolicy, run: Run) -> None:
    assert controlled(scaling, run) == simulated(run)


@pytest.fixture(scope="module")
def busy() -> Requests:
    """Ten minutes of real traffic, four times as dense."""
    return list(Trace(bundled_trace("azure-conv")).window(span_s=600, rate_scale=4.0))


@pytest.mark.parametrize("name", library_names())
def test_every_policy_of_the_library(name: str, busy: Requests) -> None:
    (loaded,) = load_policies(library_path(name))
    run = recorded(loaded.policy, busy)
    assert len(run) >= 10
    same(loaded.policy, run)


@pytest.mark.parametrize(
    "scaling",
    [
        policy(metric("500m", "Value", signal="ttft"), maxReplicas=8),
        policy(metric("1500m", signal="requestsPerSecond"), maxReplicas=8),
        policy(metric(3, "AverageValue", signal="running"), semantics="HPA"),
        policy(metric(3, signal="waiting"), mode="DryRun"),
        policy(metric(3, signal="waiting"), semantics="HPA"),
        policy(metric(3, "AverageValue", signal="gatewayQueue"), metric(8, signal="running"), minReplicas=0),
        policy(
            metric(20, signal="running"),
            schedules=[{"name": "rush", "cron": "*/7 * * * *", "durationSeconds": 120, "minReplicas": 3}],
        ),
        policy(metric(20, signal="running"), freeze="ScaleDown", syncPeriodSeconds=7),
    ],
    ids=["ttft", "requests", "HPA's sum", "dry run", "HPA", "from zero", "schedules", "frozen"],
)
def test_every_way_to_decide(scaling: ScalingPolicy, busy: Requests) -> None:
    run = recorded(scaling, busy)
    assert len({record.decision.reason for record, _ in run}) >= 2
    same(scaling, run)


ARRIVALS = st.lists(
    st.tuples(st.floats(0.01, 20), st.integers(16, 4000), st.integers(1, 400)), min_size=1, max_size=60
)


@settings(max_examples=20)
@given(ARRIVALS, st.sampled_from([1.0, 15.0, 40.0]), st.sampled_from([0.0, 5.0, 70.0]))
def test_any_traffic_and_any_lag(gaps: Requests, interval: float, lag: float) -> None:
    times = accumulate(gap for gap, _, _ in gaps)
    requests = [(time, prompt, output) for time, (_, prompt, output) in zip(times, gaps, strict=True)]
    scaling = policy(metric(2, signal="waiting"), metric("400m", signal="kvCacheUsage"), maxReplicas=6)
    run = recorded(scaling, requests, scrape_interval_s=interval, metrics_lag_s=lag)
    if run:
        same(scaling, run)
