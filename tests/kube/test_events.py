from __future__ import annotations

from typing import Any

import pytest
from kubernetes.client import Configuration

from autoscaler.kube.client.api import Api
from autoscaler.kube.events import BURST, MAX_QUEUED, REFILL_SECONDS, KubeEvents
from autoscaler.ports.policies import RefusedPolicy

from .double import Call, Double

PATH = "/api/v1/namespaces/chat/events"
POLICY = RefusedPolicy("chat", "vllm", "", uid="u1")


class Clock:
    now = 1_772_353_800.5

    def __call__(self) -> float:
        return self.now


def echo(call: Call) -> None:
    call.json(call.request.body, 201)


def write(double: Double, *told: tuple[str, str, str], policy: Any = POLICY) -> list[Any]:
    """The requests that some events lead to."""
    events = KubeEvents(double.api(), "autoscaler-0", Clock())
    for one in told:
        events.emit(policy, *one)
    events.start()
    events.stop()
    return double.requests


SCALED = ("Normal", "SuccessfulRescale", "New size: 3; reason: above target")


def test_an_event_is_about_its_policy(double):
    double.on("POST", PATH, echo)
    (request,) = write(double, SCALED)
    name = request.body["metadata"].pop("name")
    assert name.startswith("vllm.")
    assert request.body == {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": "chat"},
        "involvedObject": {
            "apiVersion": "vllm-autoscaler.io/v1alpha1",
            "kind": "ScalingPolicy",
            "namespace": "chat",
            "name": "vllm",
            "uid": "u1",
        },
        "type": "Normal",
        "reason": "SuccessfulRescale",
        "message": "New size: 3; reason: above target",
        "firstTimestamp": "2026-03-01T08:30:00Z",
        "lastTimestamp": "2026-03-01T08:30:00Z",
        "count": 1,
        "source": {"component": "vllm-autoscaler"},
        "reportingComponent": "vllm-autoscaler",
        "reportingInstance": "autoscaler-0",
    }


def test_an_event_that_has_expired_is_made_anew(double):
    double.on("POST", PATH, echo)
    assert [one.method for one in write(double, SCALED, SCALED)] == ["POST", "PATCH", "POST"]


def test_an_event_that_happens_again_is_counted(double):
    def made(call: Call) -> None:
        double.on("PATCH", f"{PATH}/{call.request.body['metadata']['name']}", echo)
        echo(call)

    double.on("POST", PATH, made)
    requests = write(double, SCALED, SCALED, SCALED)
    assert [one.body.get("count") for one in requests] == [1, 2, 3]
    assert requests[-1].body == {"count": 3, "lastTimestamp": "2026-03-01T08:30:00Z"}


def test_another_message_is_another_event(double):
    double.on("POST", PATH, echo)
    other = (*SCALED[:2], "New size: 4; reason: above target")
    assert [one.method for one in write(double, SCALED, other)] == ["POST", "POST"]


def test_a_policy_that_never_stops_is_heard_only_now_and_then(double):
    double.on("POST", PATH, echo)
    clock = Clock()
    events = KubeEvents(double.api(), "autoscaler-0", clock)
    for number in range(2 * BURST):
        events.emit(POLICY, "Warning", "FailedGetPodsMetric", f"message {number}")
    clock.now += REFILL_SECONDS
    events.emit(POLICY, "Warning", "FailedGetPodsMetric", "at last")
    events.start()
    events.stop()
    assert len(double.requests) == BURST + 1
    assert double.requests[-1].body["message"] == "at last"


def test_a_clock_that_is_set_back_silences_nobody(double):
    double.on("POST", PATH, echo)
    clock = Clock()
    events = KubeEvents(double.api(), "autoscaler-0", clock)
    events.emit(POLICY, *SCALED)
    clock.now -= 86400.0
    events.emit(POLICY, "Warning", "FailedGetPodsMetric", "another")
    events.start()
    events.stop()
    assert len(double.requests) == 2


def test_a_bug_costs_one_event_and_not_all_that_follow(double, caplog):
    class Broken(Api):
        def create(self, path, body):
            if body["reason"] == "SuccessfulRescale":
                raise TypeError("a bug")
            return super().create(path, body)

    double.on("POST", PATH, echo)
    events = KubeEvents(Broken(Configuration(host=double.url)), "autoscaler-0", Clock())
    events.emit(POLICY, *SCALED)
    events.emit(POLICY, "Warning", "Other", "m")
    events.start()
    events.stop()
    assert [one.body["reason"] for one in double.requests] == ["Other"]
    assert "TypeError: a bug" in caplog.text


def test_the_chatter_of_one_policy_does_not_silence_another(double):
    double.on("POST", PATH, echo)
    events = KubeEvents(double.api(), "autoscaler-0", Clock())
    for number in range(2 * BURST):
        events.emit(POLICY, "Warning", "FailedGetPodsMetric", f"message {number}")
    events.emit(RefusedPolicy("chat", "other", "", uid="u2"), *SCALED)
    events.start()
    events.stop()
    assert double.requests[-1].body["involvedObject"]["name"] == "other"


def test_emitting_never_waits_and_never_raises(double, caplog):
    events = KubeEvents(double.api(), "autoscaler-0", Clock())
    for _ in range(MAX_QUEUED + 1):
        events.emit(POLICY, *SCALED)
    assert "an event was dropped: SuccessfulRescale chat/vllm" in caplog.text


@pytest.mark.parametrize("answer", [lambda call: call.refuse(403, "Forbidden"), Call.reset])
def test_an_event_that_cannot_be_written_is_lost_and_the_next_one_is_not(double, answer, caplog):
    double.on("POST", PATH, answer, echo)
    other = (*SCALED[:2], "New size: 4; reason: above target")
    assert len(write(double, SCALED, other)) == 2
    assert caplog.text.count("could not be written") == 1


def test_an_outage_is_one_warning_and_one_line_with_what_it_cost(double, caplog):
    caplog.set_level("INFO")
    double.on("POST", PATH, Call.reset, Call.reset, Call.reset, echo)
    write(double, *((*SCALED[:2], f"New size: {number}; reason: above target") for number in range(4)))
    told = [(record.levelname, record.message.partition(":")[0]) for record in caplog.records]
    assert told == [("WARNING", "an event could not be written"), ("INFO", "events are written again")]
    assert caplog.records[-1].lost == 3


def test_a_policy_from_a_file_is_nothing_that_events_could_be_about(double):
    assert write(double, SCALED, policy=RefusedPolicy("chat", "vllm", "")) == []


def test_a_long_message_is_cut_to_what_kubernetes_takes(double):
    double.on("POST", PATH, echo)
    (request,) = write(double, ("Warning", "FailedGetScale", "x" * 5000))
    assert len(request.body["message"]) == 1024
