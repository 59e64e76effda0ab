"""The loop of one policy as stories: load changes, time passes, somebody interferes."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf, nan
from typing import Any

import pytest

from autoscaler.api.vocabulary import Action
from autoscaler.controller.deletion import RUNNING, deletion_costs
from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.ports.metrics import PromqlQuestion
from autoscaler.ports.policies import Conflict
from tests.controller.fakes import (
    CHAT,
    CostsThatTakeTheLead,
    FakeCosts,
    LostAnswerError,
    Workload,
    World,
    world,
)
from tests.decision.builders import metric, policy


@pytest.fixture
def chat() -> Iterator[World]:
    with world() as made:
        yield made


def test_load_rises_and_replicas_follow(chat: World) -> None:
    sync = chat.sync(load=10)
    assert sync.outcome.action is Action.SCALED
    assert chat.chat.replicas == 4
    assert chat.events.told == [
        ("chat/vllm", "Normal", "SuccessfulRescale", "New size: 4; reason: waiting above target")
    ]


def test_load_falls_and_the_window_holds_then_releases(chat: World) -> None:
    chat.sync(load=10)
    assert chat.replicas_over(0, 285) == [4] * 19
    assert chat.sync(load=0).outcome.action is Action.SCALED
    assert chat.chat.replicas < 4


def test_a_hold_writes_nothing(chat: World) -> None:
    chat.sync(load=5)
    assert chat.targets.written == []


def test_a_conflict_is_a_fresh_observation_and_a_fresh_decision(chat: World) -> None:
    def somebody_scales(workload: Workload) -> None:
        workload.replicas, workload.version = 3, workload.version + 1
        chat.targets.before_write = None

    chat.targets.before_write = somebody_scales
    sync = chat.sync(load=20)
    assert sync.conflicts == 1
    assert chat.targets.read_fresh[-2:] == [False, True], "the second scale is not the copy that misled"
    assert chat.metric("errors_total", reason="Conflict") == 1
    assert sync.made is not None
    assert sync.made.decision.current_replicas == 3
    assert chat.chat.replicas == 7  # four more than 3; from 2 it would have been 6


def test_a_target_that_never_stands_still_is_left_for_the_next_sync(chat: World) -> None:
    chat.targets.faults["write"] = [ConflictError("modified")] * 3
    sync = chat.sync(load=10)
    assert (sync.outcome.action, sync.outcome.reason) == (Action.FAILED, "Conflict")
    assert chat.sync().outcome.action is Action.SCALED


def test_a_write_that_fails_is_no_scale_event(chat: World) -> None:
    limited = policy(
        metric(5, signal="waiting"),
        behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}]}},
    )
    chat.store.put(limited)
    chat.targets.faults["write"] = [TargetError("deployments/scale is forbidden")]
    assert chat.sync(load=10).outcome.reason == "FailedUpdateScale"
    assert chat.condition("AbleToScale") == ("False", "FailedUpdateScale")
    assert chat.sync().outcome.action is Action.SCALED  # the limit was not used up
    assert chat.sync().outcome.action is Action.HELD  # now it is
    assert chat.chat.replicas == 3


def test_a_write_whose_answer_was_lost_counts_when_it_is_seen(chat: World) -> None:
    limited = policy(
        metric(5, signal="waiting"),
        behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}]}},
    )
    chat.store.put(limited)
    chat.targets.faults["write"] = [LostAnswerError("timed out")]
    assert chat.sync(load=10).outcome.action is Action.FAILED
    assert chat.chat.replicas == 3
    assert chat.sync().outcome.action is Action.HELD
    assert chat.chat.replicas == 3


def test_a_target_that_cannot_be_read_is_told_and_tried_again(chat: World) -> None:
    chat.sync(load=5)
    del chat.targets.workloads["chat/vllm"]
    sync = chat.sync()
    assert sync.outcome.reason == "FailedGetScale"
    assert chat.condition("AbleToScale") == ("False", "FailedGetScale")
    assert "currentReplicas" not in chat.status
    chat.targets.workloads["chat/vllm"] = Workload()
    chat.sync(load=5)
    assert chat.condition("AbleToScale")[0] == "True"


def test_pods_that_cannot_be_listed_are_not_zero_pods(chat: World) -> None:
    chat.targets.faults["pods"] = [ClusterError("the cache is 90 s old")]
    assert chat.sync(load=0).outcome.action is Action.FAILED
    assert chat.chat.replicas == 2


def test_a_dry_run_decides_and_never_writes() -> None:
    dry = policy(metric(5, signal="waiting"), mode="DryRun")
    with world(dry) as made:
        sync = made.sync(load=10)
        assert (sync.outcome.action, sync.outcome.message) == (Action.DRY_RUN, "would set 4 replicas")
        assert made.targets.written == []
        assert made.metric("dry_run_difference_replicas", policy_namespace="chat", policy="vllm") == 2
        made.chat.replicas = 5  # what the live owner does
        made.sync(load=5)
        assert made.metric("dry_run_difference_replicas", policy_namespace="chat", policy="vllm") == 0
        assert made.metric("current_replicas", policy_namespace="chat", policy="vllm") == 5


def test_a_dry_run_of_everything_overrules_active_policies() -> None:
    with world(dry_run=True) as made:
        assert made.sync(load=10).outcome.action is Action.DRY_RUN
        assert made.targets.written == []


def test_a_paused_policy_keeps_the_replicas() -> None:
    with world(policy(metric(5, signal="waiting"), mode="Paused")) as made:
        assert made.sync(load=50).outcome.reason == "Paused"
        assert made.condition("ScalingActive") == ("False", "Paused")


@pytest.mark.parametrize(("freeze", "load"), [("ScaleUp", 50), ("ScaleDown", 0)])
def test_a_freeze_forbids_its_direction(freeze: str, load: float) -> None:
    frozen = policy(metric(5, signal="waiting"), freeze=freeze)
    with world(frozen) as made:
        made.replicas_over(load, 600)
        assert made.chat.replicas == 2


def test_another_owner_is_reported_and_not_fought(chat: World) -> None:
    chat.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
    sync = chat.sync(load=10)
    assert (sync.outcome.action, sync.outcome.reason) == (Action.REFUSED, "AnotherOwner")
    assert chat.condition("Contested") == ("True", "AnotherOwner")
    assert chat.events.reasons == ["AnotherOwner"]
    chat.sync()
    assert chat.events.reasons == ["AnotherOwner"]  # told once
    chat.owners.found = ()
    assert chat.sync().outcome.action is Action.SCALED
    assert chat.condition("Contested") == ("False", "SoleOwner")


def test_a_dry_run_next_to_another_owner_goes_on() -> None:
    with world(policy(metric(5, signal="waiting"), mode="DryRun")) as made:
        made.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
        assert made.sync(load=10).outcome.action is Action.DRY_RUN
        assert made.condition("Contested") == ("False", "LookingOn")
        assert made.events.reasons == [], "the way to compare is no problem"
        made.owners.found = ()
        made.sync(load=10)
        assert made.condition("Contested") == ("False", "SoleOwner")


@pytest.mark.parametrize(("mode", "dry_run"), [("Active", True), ("Paused", False)])
def test_nor_does_a_dry_run_by_option_or_a_pause_contest_anything(mode: str, dry_run: bool) -> None:
    with world(policy(metric(5, signal="waiting"), mode=mode), dry_run=dry_run) as made:
        made.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
        made.sync(load=10)
        assert made.condition("Contested") == ("False", "LookingOn")
        assert made.events.reasons == []


def test_a_dry_run_that_becomes_earnest_is_warned_of_the_other_owner() -> None:
    with world(policy(metric(5, signal="waiting"), mode="DryRun")) as made:
        made.owners.found = (Conflict("HorizontalPodAutoscaler chat/vllm", "its scaleTargetRef"),)
        made.sync(load=10)
        made.store.put(policy(metric(5, signal="waiting")))
        assert made.sync(load=10).outcome.reason == "AnotherOwner"
        assert made.condition("Contested") == ("True", "AnotherOwner")
        assert made.events.reasons == ["AnotherOwner"]
        assert made.targets.written == []


def test_nobody_writes_while_the_other_owners_are_unknown(chat: World) -> None:
    chat.owners.fault = ClusterError("the cache of HPAs is not complete")
    assert chat.sync(load=10).outcome.reason == "OwnersUnknown"
    assert chat.targets.written == []


def test_who_does_not_lead_does_not_write(chat: World) -> None:
    chat.fence.leads = False
    assert chat.sync(load=10).outcome.reason == "NotLeading"
    assert chat.targets.written == []
    assert chat.store.writes == []


def test_a_restart_never_scales_down_before_the_window_has_passed(chat: World) -> None:
    chat.sync(load=10)
    chat.replicas_over(0, 285)
    chat.restart()
    assert chat.sync(load=0).outcome.action is Action.HELD
    assert chat.replicas_over(0, 270) == [4] * 18


@pytest.mark.parametrize(("semantics", "seconds"), [("HPA", 310), ("LLM", 445)])
def test_a_gap_between_two_syncs_counts_as_recommended_but_not_to_an_hpa(
    semantics: str, seconds: int
) -> None:
    """Half the load, and 40 s in which nobody looked: when does the first replica go?"""
    off = {"remainingCapacity": {"enabled": False}}
    with world(policy(metric(4, signal="waiting"), semantics=semantics, guards=off)) as made:
        made.chat.replicas = 5
        made.sync(load=2, after=0)
        assert made.replicas_over(2, 105) == [5] * 7
        passed = 145
        made.sync(load=2, after=40)
        while made.chat.replicas == 5:
            made.sync(load=2)
            passed += 15
        assert passed == seconds


@pytest.mark.parametrize("unseen_by", ["a restart", "an API server that was away"])
def test_an_hour_that_nobody_saw_is_no_hour_of_failed_metrics(unseen_by: str) -> None:
    static = {"replicas": 2, "behavior": "Static", "afterSeconds": 180}
    with world(policy(metric(5, signal="waiting"), fallback=static)) as made:
        made.chat.replicas = 10
        made.sync(load=5)
        made.source.error = "connection refused"
        made.sync()
        if unseen_by == "a restart":
            made.restart()
        made.time.passed += 3600
        assert made.replicas_over(5, 180) == [10] * 12
        made.replicas_over(5, 330)
        assert made.chat.replicas == 2, "and three minutes of them are, once the window has passed, too"


def test_an_hour_that_nobody_saw_does_not_use_up_the_credit_of_pods_that_start() -> None:
    quick = policy(
        metric(5, signal="waiting"),
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
        guards={"pendingReplicas": {"timeoutSeconds": 600}, "remainingCapacity": {"enabled": False}},
    )
    with world(quick) as made:
        made.chat.replicas, made.chat.ready = 4, 3
        made.sync(load=4)
        made.restart()
        made.time.passed += 3600
        made.chat.replicas = 10  # somebody ordered more
        assert made.replicas_over(4, 585) == [10] * 39


def test_a_restart_without_a_saved_state_begins_with_what_is_there(chat: World) -> None:
    chat.chat.replicas = 7
    assert chat.replicas_over(0, 285) == [7] * 19


def test_a_restart_remembers_what_the_rate_limits_count() -> None:
    slow = policy(
        metric(5, signal="waiting"),
        behavior={"scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}]}},
    )
    with world(slow) as made:
        made.sync(load=10)
        made.restart()
        assert made.replicas_over(10, 570) == [3] * 38
        assert made.sync(load=10, after=45).outcome.action is Action.SCALED


def test_a_scale_down_that_was_not_saved_is_not_done_twice() -> None:
    careful = policy(
        metric(5, signal="waiting"),
        behavior={
            "scaleDown": {
                "stabilizationWindowSeconds": 0,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 600}],
            }
        },
    )
    with world(careful) as made:
        made.chat.replicas = 6
        made.sync(load=5)
        made.store.fault = None
        writes, made.store.write_status = made.store.write_status, lambda *_: None  # type: ignore[method-assign]
        made.sync(load=0)
        made.store.write_status = writes  # type: ignore[method-assign]
        assert made.chat.replicas == 5
        made.restart()
        assert made.replicas_over(0, 570) == [5] * 38


@pytest.mark.parametrize("jump", [3600.0, -3600.0, 86400.0])
def test_a_clock_that_jumps_changes_no_age(jump: float) -> None:
    with world() as made:
        made.sync(load=10)
        made.replicas_over(0, 60)
        made.time.jumped += jump
        assert made.replicas_over(0, 225) == [4] * 15
        assert made.sync(load=0).outcome.action is Action.SCALED


def test_an_edit_keeps_the_memory_and_another_target_does_not(chat: World) -> None:
    chat.sync(load=10)
    chat.replicas_over(0, 285)
    chat.targets.workloads["chat/other"] = Workload(4)
    chat.source.loads["chat/other"] = 0
    chat.store.put(
        CHAT.model_copy(
            update={
                "spec": CHAT.spec.model_copy(
                    update={
                        "scale_target_ref": CHAT.spec.scale_target_ref.model_copy(update={"name": "other"})
                    }
                )
            }
        )
    )
    chat.replicas_over(0, 285)
    assert chat.targets.workloads["chat/other"].replicas == 4


def test_a_free_query_is_refused_where_nobody_allowed_it() -> None:
    free = policy(metric(5, query="sum(secret)", kind="AverageValue"))
    with world(free) as made:
        sync = made.sync(load=50)
        assert sync.outcome.action is Action.HELD
        assert "--allow-queries-in" in sync.outcome.message
        assert not any(
            isinstance(question, PromqlQuestion) for asked in made.source.asked for question in asked
        )
        assert made.condition("ScalingActive")[0] == "False"
    with world(free, allow=frozenset({"chat"})) as made:
        assert made.sync(load=50).outcome.action is Action.SCALED


def test_a_source_that_breaks_is_one_more_way_to_fail(chat: World) -> None:
    chat.source.fault = RuntimeError("a bug")
    assert "a bug" in chat.sync(load=0).outcome.message
    assert chat.metric("errors_total", reason="InternalError") == 1


def test_metrics_that_fail_hold_and_are_told_once(chat: World) -> None:
    chat.source.error = "connection refused"
    for _ in range(3):
        assert chat.sync(load=50).outcome.action is Action.HELD
    assert chat.condition("ScalingActive") == ("False", "FailedGetPodsMetric")
    assert chat.events.reasons == ["FailedGetPodsMetric"]


def test_scaled_to_zero_survives_a_restart_and_wakes_on_the_gateway() -> None:
    batch = policy(
        metric(5, signal="gatewayQueue", kind="AverageValue"),
        minReplicas=0,
        guards={"remainingCapacity": {"enabled": False}},
    )
    with world(batch) as made:
        made.replicas_over(0, 330)
        assert made.chat.replicas == 0
        made.restart()
        made.sync()
        assert made.chat.replicas == 0
        made.source.gateway = 3
        assert made.sync().outcome.action is Action.SCALED
        assert made.chat.replicas == 1


@pytest.mark.parametrize("semantics", ["HPA", "LLM"])
def test_pods_that_another_hpa_selects_are_scaled_in_llm_semantics_alone(semantics: str) -> None:
    with world(policy(metric(5, signal="waiting"), semantics=semantics)) as made:
        made.selectors.found = ("HorizontalPodAutoscaler chat/other",)
        outcome = made.sync(load=50).outcome
        if semantics == "LLM":
            assert outcome.action is Action.SCALED
            return
        assert outcome.action is Action.HELD
        assert made.condition("ScalingActive") == ("False", "AmbiguousSelector")
        assert made.events.reasons == ["AmbiguousSelector"]
        made.selectors.found = ()
        assert made.sync().outcome.action is Action.SCALED


def test_an_own_zero_is_a_condition_where_the_rule_is_that_of_kubernetes_1_37() -> None:
    batch = policy(
        metric(5, signal="gatewayQueue", kind="AverageValue"),
        minReplicas=0,
        semantics="HPA",
        zeroRule="v1.37",
    )
    with world(batch) as made:
        made.sync()
        assert made.condition("ScaledToZero") == ("False", "NotScaledToZero")
        made.replicas_over(0, 330)
        assert made.chat.replicas == 0
        assert made.condition("ScaledToZero") == ("True", "ScaledToZero")
        made.restart()
        made.source.gateway = 3
        assert made.sync().outcome.action is Action.SCALED
        assert made.condition("ScaledToZero") == ("False", "NotScaledToZero")
        made.chat.replicas = 0
        assert made.sync().outcome.reason == "ScalingDisabled"
        made.store.put(batch.model_copy(update={"spec": batch.spec.model_copy(update={"zero_rule": None})}))
        made.sync()
        assert "ScaledToZero" not in {one["type"] for one in made.status["conditions"]}


def test_what_somebody_else_switched_off_stays_off_after_a_restart(chat: World) -> None:
    chat.sync(load=10)
    chat.chat.replicas = 0
    assert chat.sync(load=10).outcome.reason == "ScalingDisabled"
    chat.restart()
    assert chat.sync(load=10).outcome.reason == "ScalingDisabled"
    assert chat.chat.replicas == 0


def test_a_lead_that_is_lost_while_pods_are_marked_writes_no_replicas(chat: World) -> None:
    chat.costs = CostsThatTakeTheLead(fence=chat.fence)
    chat.restart()
    chat.chat.replicas = 4
    chat.source.running = {"vllm-0": 7.0, "vllm-1": 0.0}
    chat.replicas_over(0, 330)
    assert chat.costs.costs != {}
    assert chat.targets.written == []


def test_before_a_scale_down_the_idlest_pods_are_marked(chat: World) -> None:
    chat.costs = FakeCosts()
    chat.restart()
    chat.chat.replicas = 4
    chat.source.running = {"vllm-0": 7.0, "vllm-1": 0.0, "vllm-3": 2.0, "gone-9": 1.0}
    chat.replicas_over(0, 300)
    assert chat.costs.costs == {}
    chat.sync(load=0)
    assert chat.costs.costs == {"vllm-0": 7, "vllm-1": 0, "vllm-2": 8, "vllm-3": 2}


@pytest.mark.parametrize("wrong", [{"vllm-0": inf}, {"vllm-0": nan}, "an outage"])
def test_what_is_no_load_of_now_marks_no_pod(chat: World, wrong: Any) -> None:
    chat.costs = FakeCosts()
    chat.restart()
    chat.source.running = {"vllm-0": 7.0} if wrong == "an outage" else wrong
    chat.replicas_over(0, 300)
    chat.source.outage = "no answer" if wrong == "an outage" else None
    costs = deletion_costs("chat", chat.chat.pods("vllm"), chat.source.answers([RUNNING], ["chat"]))
    assert costs == {}


@pytest.mark.parametrize("trouble", ["unknown", "forbidden"])
def test_a_scale_down_does_not_wait_for_deletion_costs(chat: World, trouble: str) -> None:
    chat.costs = FakeCosts(fault=ClusterError("pods is forbidden") if trouble == "forbidden" else None)
    chat.restart()
    chat.source.running = {"vllm-0": 1.0} if trouble == "forbidden" else {}
    chat.replicas_over(0, 300)
    assert chat.sync(load=0).outcome.action is Action.SCALED
    assert chat.costs.costs == {}
