"""The target and its pods are two copies: where they disagree, nothing is scaled down by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.api.vocabulary import Action
from autoscaler.controller.observation import unseen_replicas
from autoscaler.decision.types import Pod, PodPhase, ScalingState
from autoscaler.history.restore import resume, shift
from autoscaler.ports.targets import TargetPods
from tests.controller.fakes import World, world
from tests.decision.builders import hpa, metric, policy

QUICK = policy(
    metric(5, signal="waiting"),
    maxReplicas=10,
    behavior={"scaleDown": {"stabilizationWindowSeconds": 15}},
    guards={"pendingReplicas": {"timeoutSeconds": 60}},
)


@pytest.fixture
def chat() -> Iterator[World]:
    with world(QUICK) as made:
        made.chat.replicas = 5
        made.sync(load=5)
        yield made


def test_pods_that_are_out_of_sight_keep_the_replicas(chat: World) -> None:
    chat.chat.hidden = 2
    assert chat.replicas_over(0, 1800) == [5] * 120
    last = chat.status["lastDecision"]
    gap = "2 of the 5 replicas in the target's status are not among its pods"
    assert (last["reason"], last["message"][: len(gap)]) == ("FewerPodsThanReplicas", gap)
    assert chat.condition("PodsKnown") == ("False", "FewerPodsThanReplicas")
    assert chat.events.reasons.count("FewerPodsThanReplicas") == 1
    chat.chat.hidden = 0
    assert chat.replicas_over(0, 300)[-1] == 1
    assert chat.condition("PodsKnown") == ("True", "OwnPods")


def test_what_a_watch_lags_by_is_no_contradiction(chat: World) -> None:
    for _ in range(20):
        chat.chat.hidden = 1
        chat.sync(load=5, after=2)
        chat.sync(load=5, after=2)
        assert chat.condition("PodsKnown")[0] == "True"
        chat.chat.hidden = 0
        chat.sync(load=5, after=11)
    assert "FewerPodsThanReplicas" not in chat.events.reasons


def test_the_first_look_at_a_contradiction_holds_as_well() -> None:
    """Between two syncs far apart, two pods came up and took load, and the watch on pods was silent."""
    at_once = policy(
        metric(5, signal="waiting"),
        maxReplicas=10,
        syncPeriodSeconds=60,
        behavior={"scaleDown": {"stabilizationWindowSeconds": 0}},
    )
    with world(at_once) as chat:
        chat.chat.replicas = 5
        chat.sync(load=5)
        chat.chat.hidden = 2
        chat.sync(load=0, after=60)
        assert chat.chat.replicas == 5
        assert chat.status["lastDecision"]["reason"] == "FewerPodsThanReplicas"
        assert chat.condition("PodsKnown")[0] == "True"
        chat.chat.hidden = 0
        assert chat.sync(load=0, after=60).outcome.action is Action.SCALED


def test_a_scale_up_waits_for_no_pods(chat: World) -> None:
    chat.chat.hidden = 2
    chat.sync(load=5)
    assert chat.sync(load=40).outcome.action is Action.SCALED
    assert chat.chat.replicas > 5


def test_pods_that_cannot_start_are_seen_and_hold_nothing_for_ever(chat: World) -> None:
    chat.chat.ready = 1
    assert chat.replicas_over(0, 300)[-1] == 1
    assert chat.events.reasons.count("FewerPodsThanReplicas") == 0


def test_pods_that_a_quota_forbids_are_not_in_the_status_and_hold_nothing_for_ever(chat: World) -> None:
    chat.chat.created = 1
    assert chat.replicas_over(0, 300)[-1] == 1
    assert chat.events.reasons.count("FewerPodsThanReplicas") == 0


def test_hpa_compares_nothing() -> None:
    with world(hpa(metric(5, signal="waiting"), maxReplicas=10)) as exact:
        exact.chat.replicas, exact.chat.hidden = 5, 2
        assert exact.replicas_over(0, 600)[-1] == 1
        assert exact.condition("PodsKnown") == ("True", "SelectedPods")


@pytest.mark.parametrize(
    ("found", "reason", "message"),
    [
        ({"foreign": ("8 of Deployment canary",)}, "ForeignPods", "8 of Deployment canary"),
        ({"selector_only": "cannot list replicasets"}, "SelectorOnly", "cannot list replicasets"),
    ],
    ids=["the selector finds others", "nobody may look"],
)
def test_whose_pods_count_is_said_without_an_alarm(chat: World, found, reason, message) -> None:
    before = len(chat.events.told)
    chat.targets.found = TargetPods(**found)
    chat.sync(load=5)
    assert chat.condition("PodsKnown") == ("True", reason)
    assert message in next(one["message"] for one in chat.status["conditions"] if one["type"] == "PodsKnown")
    assert len(chat.events.told) == before


def test_a_condition_that_lasts_keeps_the_time_of_its_change(chat: World) -> None:
    def since() -> str:
        return next(
            one["lastTransitionTime"] for one in chat.status["conditions"] if one["type"] == "PodsKnown"
        )

    chat.chat.hidden = 2
    chat.replicas_over(5, 60)
    began = since()
    chat.replicas_over(5, 600)
    assert chat.condition("PodsKnown")[0] == "False"
    assert since() == began


# In whose unit


READY, PENDING = Pod("a"), Pod("b", PodPhase.PENDING, ready=False)
GOING, ENDED = Pod("c", deleting=True), Pod("d", PodPhase.FAILED, ready=False)
DONE = Pod("e", PodPhase.SUCCEEDED, ready=False)
LWS = "leaderworkerset.x-k8s.io/v1"


@pytest.mark.parametrize(
    ("version", "kind", "status", "pods", "unseen"),
    [
        ("apps/v1", "Deployment", 2, (READY, PENDING), 0),
        ("apps/v1", "Deployment", 3, (READY, PENDING), 1),
        ("apps/v1", "Deployment", 1, (READY, PENDING), 0),  # one that the status does not count yet
        ("apps/v1", "Deployment", 3, (READY, GOING, ENDED), 2),  # evicted pods stay, and count nowhere
        ("apps/v1", "Deployment", 2, (READY, DONE), 1),  # a node that shut down ended it
        ("apps/v1", "StatefulSet", 3, (READY, GOING, ENDED), 0),  # these it has made, and still counts
        ("apps/v1", "StatefulSet", 3, (READY, GOING), 1),
        (LWS, "LeaderWorkerSet", 2, (READY, PENDING), 0),  # the leaders: one for each group
        (LWS, "LeaderWorkerSet", 3, (READY, PENDING), 1),
        ("serving.example/v1", "Engine", 8, (READY,), 0),  # replicas of what?
        ("apps.example/v1", "Deployment", 8, (READY,), 0),
    ],
)
def test_each_kind_counts_in_its_own_unit(version, kind, status, pods, unseen):
    ref = ScaleTargetRef(api_version=version, kind=kind, name="vllm")
    assert unseen_replicas(ref, status, pods) == unseen


def test_the_memory_of_a_contradiction_moves_with_the_clock_and_with_what_was_not_seen():
    state = ScalingState(unseen_since=100.0)
    assert shift(state, 50.0).unseen_since == 150.0
    assert resume(state, 5, 1000.0, unseen=800.0).unseen_since == 900.0
