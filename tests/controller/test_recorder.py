"""What is told about a sync: statuses that are worth a write, Events, log lines."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from autoscaler.api.status import read_status
from autoscaler.errors import ClusterError
from autoscaler.ports.policies import Conflict, RefusedPolicy
from tests.controller.fakes import CHAT, World, world
from tests.decision.builders import metric, policy


@pytest.fixture
def chat() -> Iterator[World]:
    with world() as made:
        yield made


def test_a_status_tells_the_decision_and_what_a_restart_needs(chat: World) -> None:
    chat.sync(load=10)
    status = chat.status
    assert (status["currentReplicas"], status["desiredReplicas"], status["mode"]) == (2, 4, "Active")
    decision = status["lastDecision"]
    assert (decision["action"], decision["reason"]) == ("Scaled", "AboveTarget")
    assert [step["stage"] for step in decision["steps"]] == ["metrics", "stabilize", "rateLimit"]
    assert decision["metrics"][0] | {"message": ""} == {
        "name": "waiting",
        "role": "Driver",
        "value": "10",
        "target": "5",
        "replicas": 4,
        "reason": "AboveTarget",
        "message": "",
        "complete": True,
        "used": 2,
        "missing": 0,
        "rejected": 0,
        "missingPods": [],
        "rejectedSamples": [],
    }
    assert status["history"]["upEvents"][0]["change"] == 2
    assert {one["type"]: one["status"] for one in status["conditions"]} == {
        "AbleToScale": "True",
        "ScalingActive": "True",
        "ScalingLimited": "False",
        "Accepted": "True",
        "Contested": "False",
        "PodsKnown": "True",
    }
    assert json.loads(json.dumps(status)) == status
    assert read_status(status) is not None


def test_a_condition_keeps_the_time_of_its_last_change(chat: World) -> None:
    def since(kind: str) -> str:
        return next(one["lastTransitionTime"] for one in chat.status["conditions"] if one["type"] == kind)

    chat.sync(load=5)
    active, able = since("ScalingActive"), since("AbleToScale")
    chat.source.error = "refused"
    chat.sync()
    assert since("ScalingActive") > active
    assert since("AbleToScale") == able


def test_more_of_the_same_costs_one_write_in_about_five_minutes(chat: World) -> None:
    chat.replicas_over(5, 3600)
    assert 9 <= len(chat.store.writes) <= 16


@pytest.mark.slow
def test_policies_that_hold_do_not_all_write_at_once() -> None:
    with world() as made:
        for number in range(40):
            made.store.put(CHAT, name=f"more-{number}")
        made.replicas_over(5, 3600)
        writes = Counter(status["lastDecision"]["time"] for _, status in made.store.writes[41:])
        assert max(writes.values()) < 20


def test_a_restart_writes_nothing_that_is_written_already(chat: World) -> None:
    chat.replicas_over(5, 60)
    chat.restart()
    chat.replicas_over(5, 60)
    assert len(chat.store.writes) == 1


def test_a_status_that_flips_is_not_written_at_every_turn(chat: World) -> None:
    for number in range(240):
        chat.source.error = "refused" if number % 2 else None
        chat.sync(load=5, after=1.0)
    assert len(chat.store.writes) < 40


def test_a_scaling_is_saved_at_once_however_much_was_written(chat: World) -> None:
    for number in range(40):
        chat.source.error = "refused" if number % 2 else None
        chat.sync(load=5, after=1.0)
    chat.source.error = None
    writes = len(chat.store.writes)
    chat.sync(load=10)
    assert len(chat.store.writes) == writes + 1


def test_a_status_that_could_not_be_written_is_written_next_time(chat: World) -> None:
    policies = chat.store.stored["chat/vllm"]
    chat.store.write_fault = ClusterError("timed out")
    chat.sync(load=10)
    assert policies.status is None
    chat.store.write_fault = None
    chat.sync()
    assert chat.status["history"]["upEvents"]


def test_the_story_joins_equal_decisions(chat: World) -> None:
    chat.sync(load=5)
    chat.replicas_over(5, 150)
    chat.sync(load=10)
    story = chat.status["pastDecisions"]
    assert [(one["reason"], one["action"], one["count"]) for one in story] == [
        ("WithinTolerance", "Held", 11),
        ("AboveTarget", "Scaled", 1),
    ]


def test_a_broken_edit_is_told_while_the_last_good_policy_goes_on(chat: World) -> None:
    chat.sync(load=5)
    chat.store.put(CHAT, problem="spec.maxReplicas: must be at least 1")
    chat.sync(load=10)
    assert chat.chat.replicas == 4
    assert chat.condition("Accepted") == ("False", "InvalidPolicy")
    assert chat.events.reasons == ["SuccessfulRescale", "InvalidPolicy"]


def test_a_policy_that_was_never_good_is_told_once(chat: World) -> None:
    bad = RefusedPolicy("chat", "bad", "spec.metrics: is missing", uid="1", generation=1)
    chat.store.broken = [bad]
    for _ in range(3):
        chat.time.passed += 15
        chat.controller.step()
        chat.wait()
    assert chat.events.told == [("chat/bad", "Warning", "InvalidPolicy", "spec.metrics: is missing")]
    ((_, status),) = [write for write in chat.store.writes if write[0] == "chat/bad"]
    assert status["conditions"][0]["message"] == "spec.metrics: is missing"
    chat.store.broken = [replace(bad, problem="spec.metrics: is empty", generation=2)]
    chat.time.passed += 15
    chat.controller.step()
    assert len(chat.events.told) == 2


def test_log_lines_are_for_what_is_new(chat: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="autoscaler")
    chat.replicas_over(5, 150)
    chat.sync(load=10)
    chat.targets.faults["read"] = [ClusterError("timed out")] * 3
    chat.replicas_over(10, 45)
    told = [vars(record) for record in caplog.records]
    assert [(one["levelname"], one["reason"], one["policy"]) for one in told] == [
        ("INFO", "WithinTolerance", "vllm"),
        ("INFO", "SucceededRescale", "vllm"),
        ("WARNING", "FailedGetScale", "vllm"),
    ]


def test_a_cluster_that_does_not_answer_is_one_warning_for_all_policies(
    chat: World, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(20):
        chat.store.put(CHAT, name=f"more-{number}")
    chat.sync(load=5)
    caplog.set_level(logging.INFO, logger="autoscaler")
    for _ in range(2):
        chat.targets.faults["read"] = [ClusterError("deployments are 61 s old: connection refused")] * 21
        chat.sync()
    assert len(chat.events.told) == 21, "each policy has its condition and its Event"
    chat.sync()
    first, last = caplog.records
    assert (first.levelname, first.message) == ("WARNING", "deployments are 61 s old: connection refused")
    assert (last.levelname, last.message) == ("INFO", "the cluster answers again")
    assert vars(last)["policies"] == 21


def test_a_problem_is_a_warning_once_whatever_the_decision_says(
    chat: World, caplog: pytest.LogCaptureFixture
) -> None:
    chat.sync(load=5)
    chat.store.put(CHAT, problem="spec.maxReplicas: must be at least 1")
    chat.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
    chat.replicas_over(5, 45)
    chat.source.error = "connection refused"
    chat.replicas_over(5, 45)
    told = [vars(record) for record in caplog.records if record.name == "autoscaler.controller.recorder"]
    warned = [one["reason"] for one in told if one["levelname"] == "WARNING"]
    assert warned == ["InvalidPolicy", "AnotherOwner", "FailedGetPodsMetric"]


def test_a_pause_is_no_problem(chat: World, caplog: pytest.LogCaptureFixture) -> None:
    chat.store.put(policy(metric(5, signal="waiting"), mode="Paused"))
    chat.sync(load=10)
    assert chat.condition("ScalingActive") == ("False", "Paused")
    assert chat.events.told == []
    assert [record for record in caplog.records if record.levelname != "INFO"] == []


def test_metrics_tell_ages_reasons_and_replicas(chat: World) -> None:
    chat.source.age = 20
    chat.sync(load=10)
    ours = {"policy_namespace": "chat", "policy": "vllm"}
    assert chat.metric("desired_replicas", **ours) == 4
    assert chat.metric("metric_age_seconds", **ours, metric="waiting") == 20
    assert chat.metric("decisions_total", reason="AboveTarget", action="Scaled") == 1
    chat.source.error = "refused"
    chat.sync()
    assert chat.metric("errors_total", reason="FailedGetPodsMetric") == 4  # and three guards
    assert chat.metric("metric_age_seconds", **ours, metric="waiting") is None


def test_a_policy_leaves_the_dry_run_and_its_metric_goes(chat: World) -> None:
    ours = {"policy_namespace": "chat", "policy": "vllm"}
    chat.store.put(policy(metric(5, signal="waiting"), mode="DryRun"))
    chat.sync(load=10)
    assert chat.metric("dry_run_difference_replicas", **ours) == 2
    chat.store.put(CHAT)
    chat.sync()
    assert chat.metric("dry_run_difference_replicas", **ours) is None


def test_what_hpas_arithmetic_makes_of_a_negative_value_is_told_as_nothing() -> None:
    below = policy(
        metric(2, "AverageValue", query="sum(q) - 5", type="Object"),
        semantics="HPA",
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
    )
    with world(below, allow=frozenset({"chat"})) as made:
        made.chat.replicas = 1
        made.sync(load=-4)
        sync = made.sync(load=-4)
        assert sync.made is not None
        assert [proposal.replicas for proposal in sync.made.decision.proposals] == [-2]
        assert made.status["lastDecision"]["metrics"][0]["replicas"] == 0
