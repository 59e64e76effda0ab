from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from autoscaler.api import status as status_module
from autoscaler.api.descriptions import field_descriptions
from autoscaler.api.status import (
    MAX_HISTORY,
    MAX_NAMES,
    MAX_TEXT,
    History,
    LastDecision,
    MetricStatus,
    PastChange,
    PastRecommendation,
    PolicyStatus,
    StatusCondition,
    read_status,
)
from autoscaler.api.vocabulary import Mode, Role

NOW = 1_772_353_800.123456


def through_json(status: PolicyStatus) -> PolicyStatus | None:
    return read_status(json.loads(json.dumps(status.as_json())))


def metric(**changed: Any) -> MetricStatus:
    given = {
        "name": "running",
        "role": Role.DRIVER,
        "target": "32",
        "reason": "AboveTarget",
        "complete": True,
    }
    return MetricStatus(**(given | changed))


def decision(**changed: Any) -> LastDecision:
    given = {
        "time": NOW,
        "current_replicas": 2,
        "desired_replicas": 3,
        "action": "Scaled",
        "reason": "DesiredWithinRange",
    }
    return LastDecision(**(given | changed))


def test_a_status_reads_as_kubernetes_writes_one() -> None:
    condition = StatusCondition(
        type="AbleToScale", status="True", reason="ReadyForNewScale", last_transition_time=NOW
    )
    status = PolicyStatus(
        observed_generation=4,
        mode=Mode.DRY_RUN,
        current_replicas=2,
        desired_replicas=3,
        last_scale_time=NOW,
        conditions=(condition,),
        last_decision=decision(metrics=(metric(value="41500m", replicas=3, used=2),)),
    )
    assert status.as_json() == {
        "observedGeneration": 4,
        "mode": "DryRun",
        "currentReplicas": 2,
        "desiredReplicas": 3,
        "lastScaleTime": "2026-03-01T08:30:00Z",
        "conditions": [
            {
                "type": "AbleToScale",
                "status": "True",
                "reason": "ReadyForNewScale",
                "message": "",
                "lastTransitionTime": "2026-03-01T08:30:00Z",
                "observedGeneration": 0,
            }
        ],
        "lastDecision": {
            "time": "2026-03-01T08:30:00Z",
            "currentReplicas": 2,
            "desiredReplicas": 3,
            "action": "Scaled",
            "note": "",
            "reason": "DesiredWithinRange",
            "message": "",
            "steps": [],
            "metrics": [
                {
                    "name": "running",
                    "role": "Driver",
                    "value": "41500m",
                    "target": "32",
                    "replicas": 3,
                    "reason": "AboveTarget",
                    "message": "",
                    "complete": True,
                    "used": 2,
                    "missing": 0,
                    "rejected": 0,
                    "missingPods": [],
                    "rejectedSamples": [],
                }
            ],
        },
        "pastDecisions": [],
    }


TIMES = st.floats(min_value=1e9, max_value=4e9)
REPLICAS = st.integers(min_value=0, max_value=2**31 - 1)


@given(
    history=st.builds(
        History,
        target=st.just("apps/v1/Deployment/vllm"),
        recommendations=st.lists(st.builds(PastRecommendation, replicas=REPLICAS, time=TIMES), max_size=5),
        up_events=st.lists(st.builds(PastChange, change=st.integers(1, 99), time=TIMES), max_size=5),
        failing_since=st.none() | TIMES,
        pending_since=st.none() | TIMES,
        scaled_to_zero=st.booleans(),
    )
)
def test_a_history_comes_back_to_the_bit(history: History) -> None:
    status = through_json(PolicyStatus(mode=Mode.ACTIVE, history=history))
    assert status is not None
    assert status.history == history


def test_what_grows_with_the_workload_is_cut() -> None:
    pods = [f"vllm-{number}" for number in range(1000)]
    status = PolicyStatus(
        mode=Mode.ACTIVE,
        last_decision=decision(
            message="x" * 5000, metrics=(metric(missing=1000, missing_pods=pods, rejected_samples=pods),)
        ),
        history=History(
            target="apps/v1/Deployment/vllm",
            recommendations=[PastRecommendation(replicas=1, time=NOW + n) for n in range(MAX_HISTORY + 5)],
        ),
    )
    assert status.last_decision is not None
    assert status.history is not None
    assert len(status.last_decision.message) == MAX_TEXT
    assert status.last_decision.metrics[0].missing_pods == tuple(pods[:MAX_NAMES])
    assert status.history.recommendations[-1].time == NOW + MAX_HISTORY + 4
    assert through_json(status) is not None


@pytest.mark.parametrize(
    "raw",
    [
        None,
        {},
        {"mode": "Sideways"},
        {"mode": "Active", "history": {"target": "a", "failingSince": "yesterday"}},
        {"mode": "Active", "conditions": [{"type": "AbleToScale"}]},
    ],
)
def test_a_status_that_cannot_be_understood_counts_as_none(raw: Any) -> None:
    assert read_status(raw) is None


def test_fields_of_a_newer_version_are_passed_over() -> None:
    assert read_status({"mode": "Active", "forecast": 7}) == PolicyStatus(mode=Mode.ACTIVE)


def test_every_field_is_described() -> None:
    described = field_descriptions(status_module)
    parts = [part for part in vars(status_module).values() if isinstance(part, type)]
    bare = {
        f"{part.__name__}.{name}"
        for part in parts
        if issubclass(part, BaseModel)
        for name in part.model_fields
        if name not in described.get(part.__name__, {})
    }
    assert bare == set()
