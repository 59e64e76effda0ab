"""What holds for any observation in the default (LLM) mode.

HPA itself breaks several of these (see test_vectors_reconcile.py), which is why its semantics are
held to its own tables instead.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.models import ScalingPolicy
from autoscaler.decision import evaluate, initial_state, record_scale
from autoscaler.decision.types import (
    Observation,
    Pod,
    PodPhase,
    Reading,
    Recommendation,
    Sample,
    ScaleEvent,
    ScalingState,
)

from .builders import metric, policy

NOW = 4096.0  # dyadic, like every time below, so that shifted times stay exact

METRICS = (
    metric(10, query="a", name="a"),
    metric(20, "AverageValue", query="b", name="b"),
    metric(2, "Value", query="c", name="c"),
)


def ruled(*metrics: dict[str, Any], **spec: Any) -> ScalingPolicy:
    return policy(
        *(metrics or METRICS),
        minReplicas=2,
        maxReplicas=30,
        behavior={
            "scaleUp": {"stabilizationWindowSeconds": 64},
            "scaleDown": {"policies": [{"type": "Pods", "value": 5, "periodSeconds": 64}]},
        },
        fallback={"replicas": 5, "afterSeconds": 128},
        **spec,
    )


POLICY = ruled()
PER_POD = ("a", "remainingCapacity/kvCacheUsage", "remainingCapacity/waiting")
TOTAL = ("b", "c")

ages = st.integers(0, 640).map(float)
loads = st.floats(0.0, 200.0)
names = st.integers(0, 11).map("pod-{}".format)
some_pods = st.builds(Pod, names, st.sampled_from(PodPhase), st.booleans(), st.booleans())
fleets = st.lists(some_pods, max_size=12, unique_by=lambda pod: pod.name).map(tuple)


@st.composite
def states(draw: st.DrawFn, now: float = NOW) -> ScalingState:
    def since() -> float | None:
        return draw(st.none() | ages.map(lambda age: now - age))

    def events() -> tuple[ScaleEvent, ...]:
        return tuple(
            ScaleEvent(draw(st.integers(1, 9)), now - draw(ages)) for _ in range(draw(st.integers(0, 3)))
        )

    kept = [
        Recommendation(draw(st.integers(0, 40)), now - draw(ages)) for _ in range(draw(st.integers(1, 4)))
    ]
    return ScalingState(tuple(kept), events(), events(), since(), since())


@st.composite
def observations(draw: st.DrawFn, low: int = 0, high: int = 40, usable: bool = False) -> Observation:
    """Any fleet; readings that may lack pods, be old, broken or absent unless ``usable``."""
    pods = draw(fleets)
    values = loads if usable else loads | st.sampled_from([nan, inf, -1.0])
    age = st.just(0.0) if usable else ages
    readings = []
    for name in (*PER_POD, *TOTAL):
        if not usable and draw(st.integers(0, 5)) == 0:
            readings.append(Reading(name, error="timeout"))
            continue
        owners: list[str | None] = [pod.name for pod in pods] if name in PER_POD else [None]
        if not usable:
            owners = [owner for owner in owners if draw(st.integers(0, 4))]
        readings.append(
            Reading(name, tuple(Sample(draw(values), NOW - draw(age), owner) for owner in owners))
        )
    return Observation(draw(st.integers(low, high)), draw(st.integers(0, 40)), pods, tuple(readings))


def desired(observation: Observation, state: ScalingState, policy_: ScalingPolicy = POLICY) -> int:
    return evaluate(policy_, observation, state, NOW)[0].desired_replicas


@given(observations(low=2, high=30), states())
def test_inside_the_bounds_stays_inside(observation: Observation, state: ScalingState) -> None:
    assert 2 <= desired(observation, state) <= 30


@given(observations(), states())
def test_outside_the_bounds_comes_back_at_once(observation: Observation, state: ScalingState) -> None:
    current = observation.spec_replicas
    result = desired(observation, state)
    assert current == result == 0 or 2 <= result <= 30


def shifted(observation: Observation, state: ScalingState, by: float) -> tuple[Observation, ScalingState]:
    def later(time: float | None) -> float | None:
        return None if time is None else time + by

    readings = tuple(
        replace(reading, samples=tuple(replace(s, timestamp=s.timestamp + by) for s in reading.samples))
        for reading in observation.readings
    )
    return replace(observation, readings=readings), ScalingState(
        tuple(replace(kept, timestamp=kept.timestamp + by) for kept in state.recommendations),
        tuple(replace(event, timestamp=event.timestamp + by) for event in state.up_events),
        tuple(replace(event, timestamp=event.timestamp + by) for event in state.down_events),
        later(state.failing_since),
        later(state.pending_since),
    )


@given(observations(), states(), st.integers(-(2**20), 2**30).map(float))
def test_only_differences_of_time_matter(observation: Observation, state: ScalingState, by: float) -> None:
    moved_observation, moved_state = shifted(observation, state, by)
    decision, after = evaluate(POLICY, observation, state, NOW)
    moved, moved_after = evaluate(POLICY, moved_observation, moved_state, NOW + by)
    assert moved == decision
    assert moved_after == shifted(observation, after, by)[1]


@given(observations(low=2, high=30, usable=True), states(), st.data())
def test_more_load_never_means_fewer_replicas(
    observation: Observation, state: ScalingState, data: st.DataObject
) -> None:
    def loaded(reading: Reading) -> Reading:
        extra = st.floats(0.0, 50.0)
        samples = tuple(replace(s, value=s.value + data.draw(extra)) for s in reading.samples)
        return replace(reading, samples=samples)

    heavier = replace(observation, readings=tuple(map(loaded, observation.readings)))
    assert desired(heavier, state) >= desired(observation, state)


@given(observations(), states(), st.permutations(range(5)), st.permutations(range(3)))
def test_the_order_of_readings_and_metrics_is_irrelevant(
    observation: Observation, state: ScalingState, readings: list[int], metrics: list[int]
) -> None:
    turned = replace(observation, readings=tuple(observation.readings[i] for i in readings))
    other = ruled(*(METRICS[i] for i in metrics))
    decision, after = evaluate(POLICY, observation, state, NOW)
    turned_decision, turned_after = evaluate(other, turned, state, NOW)
    assert turned_decision.desired_replicas == decision.desired_replicas
    assert turned_after == after


BROKEN = [
    pytest.param(lambda s: replace(s, value=nan), id="NaN"),
    pytest.param(lambda s: replace(s, value=-1.0), id="negative"),
    pytest.param(lambda s: replace(s, timestamp=NOW - 91), id="stale"),
    pytest.param(lambda s: replace(s, timestamp=NOW + 3600), id="from the future"),
    pytest.param(None, id="missing"),
]


@pytest.mark.parametrize("breaking", BROKEN)
@given(observation=observations(low=2, high=30, usable=True), state=states(), data=st.data())
def test_a_gap_in_the_data_never_scales_down(
    breaking: object, observation: Observation, state: ScalingState, data: st.DataObject
) -> None:
    """One sample of one ready pod, or of one total, is broken or missing."""
    serving = {
        pod.name
        for pod in observation.pods
        if pod.ready and not pod.deleting and pod.phase is PodPhase.RUNNING
    }
    candidates = [
        (r, s)
        for r, reading in enumerate(observation.readings)
        for s, sample in enumerate(reading.samples)
        if sample.pod is None or sample.pod in serving
    ]
    r, s = data.draw(st.sampled_from(candidates))
    reading = observation.readings[r]
    sample = reading.samples[s]
    repaired = (breaking(sample),) if callable(breaking) else ()
    samples = (*reading.samples[:s], *repaired, *reading.samples[s + 1 :])
    readings = (*observation.readings[:r], replace(reading, samples=samples), *observation.readings[r + 1 :])
    assert desired(replace(observation, readings=readings), state) >= observation.spec_replicas


@given(observations(low=2, high=30))
def test_a_restart_never_scales_down_within_the_window(observation: Observation) -> None:
    for age in (0.0, 15.0, 299.0):
        state = initial_state(observation.spec_replicas, NOW - age)
        assert desired(observation, state) >= observation.spec_replicas


@given(st.integers(1, 30), st.floats(0.91, 1.09))
def test_a_steady_load_at_its_target_changes_nothing(replicas: int, ratio: float) -> None:
    rules = policy(metric(10, query="a", name="a"), guards={"remainingCapacity": {"enabled": False}})
    pods = tuple(Pod(f"pod-{i}") for i in range(replicas))
    state = initial_state(replicas, 0.0)
    for now in (15.0, 300.0, 900.0, 9000.0):
        reading = Reading("a", tuple(Sample(10 * ratio, now, pod.name) for pod in pods))
        decision, state = evaluate(rules, Observation(replicas, replicas, pods, (reading,)), state, now)
        assert decision.desired_replicas == replicas


@given(observations(), states())
def test_paused_changes_nothing(observation: Observation, state: ScalingState) -> None:
    assert desired(observation, state, ruled(mode="Paused")) == observation.spec_replicas


@given(observations(), states())
def test_a_decision_replays_identically(observation: Observation, state: ScalingState) -> None:
    first = evaluate(POLICY, observation, state, NOW)
    again = ScalingPolicy.model_validate(POLICY.model_dump(by_alias=True, mode="json"))
    assert evaluate(again, observation, state, NOW) == first


@given(observations(), states())
def test_the_steps_lead_from_one_to_the_next_and_one_of_them_settles_it(
    observation: Observation, state: ScalingState
) -> None:
    decision, after = evaluate(POLICY, observation, state, NOW)
    assert decision.steps[-1].replicas == decision.desired_replicas
    assert (decision.reason, decision.message) in {(step.reason, step.message) for step in decision.steps}
    recorded = record_scale(POLICY, after, decision, NOW)
    held = decision.desired_replicas == decision.current_replicas
    assert (recorded == after) is held
