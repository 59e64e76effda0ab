from __future__ import annotations

import pytest
from pydantic import ValidationError

from autoscaler.api.models import (
    Metric,
    MissingData,
    ScalingPolicy,
    Schedule,
    SelectPolicy,
    Semantics,
    Signal,
    Spec,
    Target,
    TargetType,
)
from autoscaler.documents.library import library_folder, library_names, library_path
from autoscaler.documents.policies import load_policies
from tests.api.build import spec_of

LOAD = Target(type=TargetType.PODS_AVERAGE, average_value=10)


def test_policies_can_be_built_in_python_by_their_snake_case_names() -> None:
    metric = Metric(signal=Signal.RUNNING, target=LOAD, max_age_seconds=30)
    assert (metric.name, metric.target.milli, metric.max_age_seconds) == ("running", 10_000, 30)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Target(type=TargetType.VALUE, average_value=1), "value is missing: type Value takes value"),
        (lambda: Metric(target=LOAD), "none of signal, query, cloudMonitoring is set"),
        (lambda: Metric(signal=Signal.TTFT, target=LOAD), "target.type ttft is one value over all pods"),
        (
            lambda: Schedule(name="a", cron="* * * * *", duration_seconds=60),
            "sets neither minReplicas nor maxReplicas",
        ),
        (
            lambda: Spec(
                scale_target_ref={"kind": "Deployment", "name": "a"},
                min_replicas=3,
                max_replicas=2,
                metrics=(Metric(signal=Signal.RUNNING, target=LOAD),) * 2,
            ),
            'minReplicas must be at most maxReplicas, which is 2; is 3; metrics.1.name is "running"',
        ),
    ],
)
def test_the_rules_between_fields_hold_in_python_too(build: object, message: str) -> None:
    assert callable(build)
    with pytest.raises(ValidationError, match=message.replace("[", r"\[")):
        build()


def test_models_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        spec_of().max_replicas = 3  # type: ignore[misc]


def test_unset_behavior_takes_the_defaults_of_autoscaling_v2() -> None:
    up, down = spec_of().scale_up, spec_of().scale_down
    assert [(rule.type, rule.value, rule.period_seconds) for rule in up.policies] == [
        ("Pods", 4, 15),
        ("Percent", 100, 15),
    ]
    assert [(rule.type, rule.value, rule.period_seconds) for rule in down.policies] == [("Percent", 100, 15)]
    assert (up.stabilization_window_seconds, down.stabilization_window_seconds) == (0, 300)
    assert {up.select_policy, down.select_policy} == {SelectPolicy.MAX}
    assert {up.tolerance, down.tolerance} == {0.1}


def test_fields_of_a_behavior_replace_defaults_one_by_one() -> None:
    down = spec_of("behavior: {scaleDown: {stabilizationWindowSeconds: 0, tolerance: 50m}}").scale_down
    assert (down.stabilization_window_seconds, down.tolerance, len(down.policies)) == (0, 0.05, 1)


@pytest.mark.parametrize(
    ("semantics", "age", "missing", "guarded"),
    [
        (Semantics.LLM, 90, MissingData.HOLD, True),
        (Semantics.HPA, float("inf"), MissingData.CONSERVATIVE, False),
    ],
)
def test_semantics_choose_the_defaults(
    semantics: Semantics, age: float, missing: MissingData, guarded: bool
) -> None:
    spec = spec_of(f"semantics: {semantics}")
    (metric,) = spec.metrics
    assert (spec.max_age_seconds(metric), spec.missing_data(metric)) == (age, missing)
    assert (spec.credits_pending, spec.needs_complete_data) == (guarded, guarded)
    assert [given.name for given in spec.inputs[1:]] == (
        ["remainingCapacity/kvCacheUsage", "remainingCapacity/waiting", "rejectedRequests/rejectedPerSecond"]
        if guarded
        else []
    )


def test_a_field_overrides_what_the_semantics_choose() -> None:
    spec = spec_of(
        "semantics: HPA",
        "guards: {pendingReplicas: {credit: true}, completeDataForScaleDown: true, "
        "remainingCapacity: {enabled: true, kvCacheUsage: 0.5}, rejectedRequests: {enabled: true}}",
    )
    assert (spec.credits_pending, spec.needs_complete_data) == (True, True)
    assert [metric.target.milli for metric in spec.inputs[1:]] == [500, 1000, 0]


@pytest.mark.parametrize("name", library_names())
def test_a_dumped_policy_validates_to_itself(name: str) -> None:
    for loaded in load_policies(library_path(name)):
        dumped = loaded.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
        assert ScalingPolicy.model_validate(dumped) == loaded.policy


def test_the_library_has_the_documented_policies() -> None:
    assert library_names() == (
        "batch",
        "batch-size",
        "chat",
        "code-completion",
        "gpu-guard",
        "gpu-utilization",
        "long-context",
        "queue-size",
    )
    readme = (library_folder() / "README.md").read_text(encoding="utf-8")
    assert all(f"{name}.yaml" in readme for name in library_names())


def test_an_unknown_library_policy_names_those_there_are() -> None:
    with pytest.raises(KeyError, match="chat"):
        library_path("chatt")


@pytest.mark.parametrize("name", library_names())
def test_every_library_policy_bears_the_name_of_its_file(name: str) -> None:
    (loaded,) = load_policies(library_path(name))
    assert loaded.policy.metadata.name == name
