"""Two workloads whose pods have the labels of both: each one's pods are those that it controls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.errors import ClusterError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.reflector import WatchTimings
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.targets import KubeTargets
from autoscaler.ports.targets import TargetKey, TargetPods
from tests.servers.eventually import eventually

from .double import Call, Double
from .objects import controller, owned, pod

GROUP = "leaderworkerset.x-k8s.io/v1"
DEPLOYMENT = TargetKey("chat", ScaleTargetRef(kind="Deployment", name="vllm"))
STATEFUL_SET = TargetKey("chat", ScaleTargetRef(kind="StatefulSet", name="vllm"))
GROUPS = TargetKey("chat", ScaleTargetRef(api_version=GROUP, kind="LeaderWorkerSet", name="vllm"))
ENGINE = TargetKey("chat", ScaleTargetRef(api_version="serving.example/v1", kind="Engine", name="vllm"))
REPLICA_SETS = "/apis/apps/v1/replicasets"
STATEFUL_SETS = "/apis/apps/v1/statefulsets"


class World:
    """An API server with pods and what stands between them and their targets."""

    def __init__(self, server: Double) -> None:
        self.server = server
        api = server.api()
        pace = WatchTimings(first_backoff=0.02, longest_backoff=0.1, first_list=1.0)
        self.watched = Informer(api, "/api/v1/pods", (), PodIndex, pace=pace)
        self.targets = KubeTargets(api, (), self.watched, pace)

    def serve(self, collection: str, *objects: dict[str, Any]) -> None:
        def stay_open(call: Call) -> None:
            call.begin_stream()
            self.server.until_over(call)

        body = {"metadata": {"resourceVersion": "9"}, "items": list(objects)}
        self.server.on("GET", collection, lambda call: call.json(body))
        self.server.on("GET", collection, stay_open, watch=True)

    def pods(self, *pods: dict[str, Any]) -> None:
        self.serve("/api/v1/pods", *pods)
        self.watched.start()
        assert self.watched.wait(30)

    def own(self, target: TargetKey) -> list[str]:
        return [one.name for one in self.found(target).pods]

    def found(self, target: TargetKey) -> TargetPods:
        return self.targets.own_pods(target, "app=vllm")


@pytest.fixture
def world(double: Double) -> Iterator[World]:
    made = World(double)
    yield made
    double.over.set()
    made.targets.stop()
    made.watched.stop()


def by(kind: str, name: str, version: str = "apps/v1") -> Callable[[str], dict[str, Any]]:
    return lambda pod_name: pod(pod_name, owners=[controller(kind, name, version)])


def test_pods_of_another_deployment_do_not_count(world):
    world.serve(
        REPLICA_SETS,
        owned("vllm-1", controller("Deployment", "vllm")),
        owned("vllm-2", controller("Deployment", "vllm")),
        owned("canary-1", controller("Deployment", "canary")),
    )
    world.pods(
        *map(by("ReplicaSet", "vllm-1"), ["a-0"]),
        *map(by("ReplicaSet", "vllm-2"), ["a-1"]),  # a rollout: both are the target's
        *map(by("ReplicaSet", "canary-1"), ["c-0", "c-1"]),
    )
    assert world.own(DEPLOYMENT) == ["a-0", "a-1"]
    assert world.found(DEPLOYMENT).foreign == ("2 of Deployment canary",)
    asked = [one for one in world.server.requests if one.path == REPLICA_SETS]  # a watch may have begun
    assert all(
        "as=PartialObjectMetadata" in one.headers["Accept"] for one in asked if "watch" not in one.query
    )


@pytest.mark.parametrize(
    ("owner", "counts", "whose"),
    [
        (controller("Deployment", "vllm"), True, ()),
        (controller("ReplicaSet", "vllm-1"), True, ()),
        (controller("ReplicaSet", "unseen"), True, ()),
        (controller("ReplicaSet", "vllm-1", uid="of one before"), True, ()),
        (controller("ReplicaSet", "bare"), False, ("1 of ReplicaSet bare",)),
        (controller("ReplicaSet", "canary-1"), False, ("1 of Deployment canary",)),
        (controller("ReplicaSet", "rollout-1"), False, ("1 of Rollout chat",)),
        (controller("StatefulSet", "vllm"), False, ("1 of StatefulSet vllm",)),
        (controller("Job", "load", "batch/v1"), False, ("1 of Job load",)),
        (controller("Deployment", "vllm", "apps.example/v1"), False, ("1 of Deployment vllm",)),
        ({**controller("ReplicaSet", "canary-1"), "controller": False}, True, ()),
    ],
    ids=lambda value: value.get("name") if isinstance(value, dict) else None,
)
def test_where_a_chain_from_a_pod_leads(world, owner, counts, whose):
    world.serve(
        REPLICA_SETS,
        owned("vllm-1", controller("Deployment", "vllm")),
        owned("canary-1", controller("Deployment", "canary")),
        owned("rollout-1", controller("Rollout", "chat", "argoproj.io/v1alpha1")),
        owned("bare"),
    )
    world.pods(pod("x", owners=[owner]))
    assert (world.own(DEPLOYMENT) == ["x"], world.found(DEPLOYMENT).foreign) == (counts, whose)


def test_a_pod_without_a_controller_counts(world):
    world.pods(pod("x"))
    assert world.found(DEPLOYMENT) == TargetPods(pods=world.found(DEPLOYMENT).pods)
    assert world.own(DEPLOYMENT) == ["x"]
    assert world.server.seen("GET", REPLICA_SETS) == [], "nothing has to be read for it"


def test_a_stateful_set_has_its_pods_itself(world):
    world.pods(by("StatefulSet", "vllm")("vllm-0"), by("StatefulSet", "other")("other-0"))
    assert world.own(STATEFUL_SET) == ["vllm-0"]
    assert world.server.seen("GET", STATEFUL_SETS) == []


def test_a_leader_worker_set_has_its_pods_through_stateful_sets(world):
    world.serve(
        STATEFUL_SETS,
        owned("vllm", controller("LeaderWorkerSet", "vllm", GROUP)),
        owned("vllm-0", controller("Pod", "vllm-0", "v1")),
        owned("big", controller("LeaderWorkerSet", "big", GROUP)),
        owned("alone"),
    )
    world.pods(
        by("StatefulSet", "vllm")("vllm-0"),
        by("StatefulSet", "vllm-0")("vllm-0-1"),  # a worker of the leader vllm-0
        by("StatefulSet", "big")("big-0"),
        by("StatefulSet", "alone")("alone-0"),
    )
    assert world.own(GROUPS) == ["vllm-0", "vllm-0-1"]
    assert world.found(GROUPS).foreign == ("1 of LeaderWorkerSet big", "1 of StatefulSet alone")


def test_chains_in_a_circle_end(world):
    world.serve(
        STATEFUL_SETS, owned("a", controller("StatefulSet", "b")), owned("b", controller("StatefulSet", "a"))
    )
    world.pods(by("StatefulSet", "a")("x"))
    assert world.own(GROUPS) == ["x"]


def test_without_the_right_to_read_replica_sets_the_selector_counts_and_it_is_said(world):
    refuse = lambda call: call.refuse(403, "Forbidden", "cannot list resource replicasets")  # noqa: E731
    world.server.on("GET", REPLICA_SETS, refuse)
    world.pods(by("ReplicaSet", "vllm-1")("a"), by("ReplicaSet", "canary-1")("c"))
    assert world.own(DEPLOYMENT) == ["a", "c"]
    assert world.found(DEPLOYMENT).selector_only == "cannot list resource replicasets"


def test_a_right_that_is_granted_later_is_used(world):
    refuse = lambda call: call.refuse(403, "Forbidden", "cannot list resource replicasets")  # noqa: E731
    world.server.on("GET", REPLICA_SETS, refuse)
    world.serve(REPLICA_SETS, owned("vllm-1", controller("Deployment", "vllm")), owned("canary-1"))
    world.pods(by("ReplicaSet", "vllm-1")("a"), by("ReplicaSet", "canary-1")("c"))
    eventually(lambda: world.own(DEPLOYMENT) == ["a"])


def test_owners_that_cannot_be_read_now_are_no_reason_to_guess(world):
    world.targets = KubeTargets(world.server.api(), (), world.watched, WatchTimings(first_list=0.0))
    world.server.on("GET", REPLICA_SETS, lambda call: call.refuse(503, "ServiceUnavailable"))
    world.pods(by("ReplicaSet", "vllm-1")("a"))
    with pytest.raises(ClusterError, match="replicasets was not read yet"):
        world.found(DEPLOYMENT)


def test_other_kinds_go_on_by_the_selector_and_it_is_said(world):
    world.pods(by("Engine", "vllm", "serving.example/v1")("a"), by("ReplicaSet", "canary-1")("c"))
    assert world.own(ENGINE) == ["a", "c"]
    assert world.found(ENGINE).selector_only == "how a target of the kind Engine has its pods is not known"
