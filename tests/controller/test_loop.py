"""The loop of all policies: who is due, what is asked, and that nobody's trouble is another's."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from unittest.mock import ANY

import pytest

from autoscaler.api.models import Signal
from autoscaler.api.vocabulary import Action
from autoscaler.errors import ClusterError
from autoscaler.ports.metrics import SignalQuestion
from autoscaler.ports.policies import RefusedPolicy
from tests.controller.fakes import CHAT, Workload, World, world
from tests.decision.builders import metric, policy
from tests.servers.eventually import eventually


@pytest.fixture
def chat() -> Iterator[World]:
    with world() as made:
        yield made


def pass_by(made: World, seconds: float) -> None:
    """Lets the loop look every half second, and waits for what it began."""
    for _ in range(int(seconds * 2)):
        made.time.passed += 0.5
        made.controller.step()
        made.wait()


def syncs(made: World, reason: str | None = None) -> float:
    """How many decisions there were."""
    total = 0.0
    for family in made.metrics.registry.collect():
        if family.name == "vllm_autoscaler_decisions":
            for sample in family.samples:
                if sample.name.endswith("_total") and reason in (None, sample.labels["reason"]):
                    total += sample.value
    return total


def test_a_policy_is_synced_at_once_and_then_once_a_period(chat: World) -> None:
    chat.controller.step()
    chat.wait()
    assert syncs(chat) == 1
    pass_by(chat, 60)
    assert syncs(chat) == 5


def test_each_policy_has_its_own_period(chat: World) -> None:
    chat.targets.workloads["chat/fast"] = Workload()
    spec = {**CHAT.model_dump(by_alias=True, mode="json")["spec"], "syncPeriodSeconds": 5}
    spec["scaleTargetRef"]["name"] = "fast"
    chat.store.put(
        CHAT.model_validate({**CHAT.model_dump(by_alias=True, mode="json"), "spec": spec}), name="fast"
    )
    pass_by(chat, 60)
    assert syncs(chat) == 1 + 4 + 1 + 12


def test_an_edit_is_in_force_without_waiting_for_the_period(chat: World) -> None:
    pass_by(chat, 1)
    chat.source.loads["chat/vllm"] = 10
    chat.store.put(policy(metric(1, signal="waiting"), maxReplicas=3))
    pass_by(chat, 0.5)
    assert chat.chat.replicas == 3


def test_a_broken_edit_is_told_without_waiting_for_the_period(chat: World) -> None:
    pass_by(chat, 1)
    chat.store.put(chat.store.stored["chat/vllm"].policy, problem="hour 25 of 0 to 23")
    pass_by(chat, 0.5)
    assert chat.condition("Accepted") == ("False", "InvalidPolicy")


def test_equal_questions_are_asked_once_for_all(chat: World) -> None:
    for number in range(50):
        chat.targets.workloads[f"chat/more-{number}"] = Workload()
        chat.store.put(CHAT, name=f"more-{number}")
    pass_by(chat, 0.5)
    (asked,) = chat.source.asked
    assert sorted(str(question.signal) for question in asked if isinstance(question, SignalQuestion)) == [
        Signal.KV_CACHE_USAGE,
        Signal.REJECTED_RATE,
        Signal.WAITING,
    ]


def test_one_policys_exception_is_its_own(chat: World) -> None:
    chat.store.put(CHAT, name="other")
    broken: Any = RuntimeError("a bug")
    chat.targets.faults["read"] = [broken]
    outcomes = {sync.stored.name: sync.outcome for sync in chat.controller.once()}
    assert sorted(outcome.action for outcome in outcomes.values()) == [Action.FAILED, Action.HELD]
    (failed,) = [name for name, outcome in outcomes.items() if outcome.action is Action.FAILED]
    assert outcomes[failed].message == "RuntimeError: a bug"
    assert chat.events.reasons == ["InternalError"]
    assert chat.metric("errors_total", reason="InternalError") == 1
    assert {sync.outcome.action for sync in chat.controller.once()} == {Action.HELD}


def test_a_slow_target_keeps_only_its_own_policy_waiting(chat: World) -> None:
    chat.targets.workloads["slow/vllm"] = Workload()
    chat.store.put(CHAT, namespace="slow")
    release = threading.Event()
    chat.targets.delays["slow/vllm"] = release.wait
    for _ in range(9):
        chat.time.passed += 5
        chat.controller.step()
        chat.wait("chat/vllm")
    assert syncs(chat) == 4
    assert chat.metric("skipped_syncs_total") == 3
    release.set()
    chat.wait()
    assert syncs(chat) == 5


def test_who_stands_by_does_nothing_and_a_new_leader_begins_with_what_is_saved(chat: World) -> None:
    pass_by(chat, 1)
    chat.fence.leads = False
    pass_by(chat, 60)
    assert syncs(chat) == 1
    assert chat.metric("desired_replicas", policy_namespace="chat", policy="vllm") is None
    chat.chat.replicas = 6  # what the other leader did
    chat.fence.leads = True
    chat.source.loads["chat/vllm"] = 0
    pass_by(chat, 285)
    assert chat.chat.replicas == 6


def test_a_policy_that_is_gone_leaves_nothing_behind(chat: World) -> None:
    pass_by(chat, 1)
    assert chat.metric("desired_replicas", policy_namespace="chat", policy="vllm") == 2
    chat.store.stored.clear()
    pass_by(chat, 1)
    assert chat.metric("desired_replicas", policy_namespace="chat", policy="vllm") is None


@pytest.mark.parametrize("forgotten", ["the policy is deleted", "the lead is lost"])
def test_what_a_late_sync_tells_of_a_forgotten_policy_is_forgotten_too(chat: World, forgotten: str) -> None:
    release = threading.Event()
    chat.targets.delays["chat/vllm"] = release.wait
    chat.controller.step()
    if forgotten == "the lead is lost":
        chat.fence.leads = False
    else:
        chat.store.stored.clear()
    chat.controller.step()
    release.set()
    chat.wait()
    assert syncs(chat) == 1
    assert chat.metric("desired_replicas", policy_namespace="chat", policy="vllm") is None


def test_a_sync_that_began_under_another_lead_hands_nothing_on(chat: World) -> None:
    """A new leader begins with what is saved, though its last sync of before was late."""
    pass_by(chat, 1)
    release = threading.Event()
    chat.targets.delays["chat/vllm"] = release.wait
    chat.time.passed += 15
    chat.controller.step()
    chat.fence.leads = False
    chat.controller.step()
    release.set()
    chat.wait()
    chat.chat.replicas = 6  # what the other leader did
    chat.source.loads["chat/vllm"] = 0
    chat.fence.leads = True
    pass_by(chat, 285)
    assert chat.chat.replicas == 6


def test_a_policy_that_was_never_good_is_told_of_where_it_is_the_only_one(chat: World) -> None:
    chat.store.stored.clear()
    pass_by(chat, 1)
    chat.store.broken = [RefusedPolicy("chat", "night", "hour 25 of 0 to 23", "first")]
    pass_by(chat, 2)
    assert chat.events.told == [("chat/night", "Warning", "InvalidPolicy", "hour 25 of 0 to 23")]
    ((name, status),) = chat.store.writes
    assert (name, status["conditions"]) == ("chat/night", [ANY])
    assert status["conditions"][0]["message"] == "hour 25 of 0 to 23"
    assert chat.metric("policies", mode="Active") == 0


def test_a_refused_policy_that_is_made_anew_is_told_of_anew(chat: World) -> None:
    for uid in ("first", "second"):
        chat.store.broken = [RefusedPolicy("chat", "night", "hour 25 of 0 to 23", uid)]
        pass_by(chat, 1)
    assert chat.events.reasons == ["InvalidPolicy", "InvalidPolicy"]


def test_policies_that_cannot_be_read_are_waited_for(chat: World) -> None:
    chat.store.fault = ClusterError("connection refused")
    pass_by(chat, 5)
    assert chat.controller.ready() == "connection refused"
    chat.store.fault = None
    pass_by(chat, 1)
    assert chat.controller.ready() is None
    assert syncs(chat) == 1


def test_a_loop_that_stands_still_is_not_alive(chat: World) -> None:
    chat.controller.step()
    assert chat.controller.alive() is None
    chat.time.passed += 600
    assert chat.controller.alive() == "the loop has stood still for 600 s"


def test_stopping_finishes_the_write_in_flight(chat: World) -> None:
    chat.source.loads["chat/vllm"] = 10
    writing, release, stop = threading.Event(), threading.Event(), threading.Event()

    def slow_write(_: Workload) -> None:
        writing.set()
        release.wait()

    chat.targets.before_write = slow_write
    running = threading.Thread(target=chat.controller.run, args=(stop,))
    running.start()
    assert writing.wait(10)
    stop.set()
    release.set()
    running.join(10)
    assert not running.is_alive()
    assert chat.chat.replicas == 4
    assert chat.status["lastDecision"]["action"] == "Scaled"


def test_stopping_decides_nothing_by_what_was_asked_in_vain(chat: World) -> None:
    """As when the source is closed under a round: its answers are errors, and nobody's failure."""
    stop = threading.Event()
    chat.source.error = "the source was closed"
    chat.source.when_asked = stop.set
    chat.controller.run(stop)
    assert (syncs(chat), chat.store.writes, chat.events.told) == (0, [], [])
    assert chat.metric("questions_total", result="error") in (None, 0)


def test_an_outage_is_told_at_once_though_the_last_answers_still_count(
    chat: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    chat.source.outage = "connection refused"
    pass_by(chat, 60)
    assert chat.metric("questions_total", result="ok") in (None, 0)
    chat.source.outage = None
    pass_by(chat, 60)
    told = [record.message for record in caplog.records if "can be read" in record.message]
    assert told == ["no metric can be read: holding, and trying again", "metrics can be read again"]


def test_a_look_that_fails_does_not_end_the_loop(chat: World) -> None:
    chat.store.fault = RuntimeError("a bug")
    stop = threading.Event()
    running = threading.Thread(target=chat.controller.run, args=(stop,))
    running.start()
    eventually(lambda: (chat.metric("errors_total", reason="InternalError") or 0) >= 1)
    chat.store.fault = None
    eventually(lambda: syncs(chat) == 1)
    stop.set()
    running.join(10)
    assert not running.is_alive()


def test_stopping_does_not_wait_for_those_that_have_not_begun(chat: World) -> None:
    reading, release = threading.Event(), threading.Event()

    def slow_read() -> None:
        reading.set()
        release.wait()

    for number in range(50):
        chat.store.put(CHAT, name=f"more-{number}")
    chat.targets.delays["chat/vllm"] = slow_read
    chat.controller.step()
    assert reading.wait(10)
    closing = threading.Thread(target=chat.controller.close)
    closing.start()
    eventually(lambda: chat.controller._workers.waiting == 0)  # before anything is waited for
    release.set()
    closing.join(10)
    assert not closing.is_alive()
    assert syncs(chat) <= 4
