from __future__ import annotations

import pytest

from autoscaler.kube.workloads import WATCHED_KINDS, Workloads
from autoscaler.ports.targets import Scale

from .objects import deployment

APPS = WATCHED_KINDS["apps/v1", "Deployment"][1]
GROUPS = WATCHED_KINDS["leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"][1]


def test_a_deployments_scale_is_what_its_subresource_would_say():
    workloads = Workloads(APPS)
    expressions = [{"key": "tier", "operator": "In", "values": ["b", "a"]}]
    selector = {"matchLabels": {"app": "vllm"}, "matchExpressions": expressions}
    workloads.put(deployment(replicas=3, version=7, gpus=2, selector=selector))
    assert workloads.scale("chat", "vllm") == Scale(3, 3, "app=vllm,tier in (a,b)", "7", 2)
    assert workloads.scale("elsewhere", "vllm") is None


def test_what_a_new_object_leaves_out_is_what_kubernetes_means_by_it():
    workloads = Workloads(APPS)
    workloads.put({"metadata": {"name": "a", "namespace": "chat", "resourceVersion": "1"}, "spec": {}})
    assert workloads.scale("chat", "a") == Scale(1, 0, "", "1", 0)


def pod_template(gpus: int) -> dict:
    return {"spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": gpus, "cpu": "8"}}}]}}


@pytest.mark.parametrize(
    ("template", "gpus"),
    [
        ({"size": 2, "workerTemplate": pod_template(8)}, 16),
        ({"size": 4, "workerTemplate": pod_template(8), "leaderTemplate": pod_template(4)}, 28),
        ({"workerTemplate": pod_template(8)}, 8),
    ],
)
def test_one_replica_of_a_leader_worker_set_is_a_group(template, gpus):
    workloads = Workloads(GROUPS)
    workloads.put(
        {
            "metadata": {"name": "big", "namespace": "chat", "resourceVersion": "5"},
            "spec": {"replicas": 3, "leaderWorkerTemplate": template},
            "status": {"replicas": 2, "hpaPodSelector": "leaderworkerset.sigs.k8s.io/worker-index=0"},
        }
    )
    leaders = "leaderworkerset.sigs.k8s.io/worker-index=0"
    assert workloads.scale("chat", "big") == Scale(3, 2, leaders, "5", gpus)


def test_a_new_list_forgets_what_is_gone():
    workloads = Workloads(APPS)
    workloads.replace([deployment("a"), deployment("b")])
    workloads.replace([deployment("b", replicas=5)])
    assert workloads.scale("chat", "a") is None
    assert workloads.scale("chat", "b").replicas == 5
    workloads.drop(deployment("b"))
    assert workloads.scale("chat", "b") is None


# Who keeps changing the replicas


class Story:
    """A Deployment at 1 replica, and what happens to it, minute by minute."""

    def __init__(self):
        self.now = 0.0
        self.workloads = Workloads(APPS, clock=lambda: self.now)
        self.workloads.put(deployment(replicas=1))

    def change(self, minute: float, replicas: int, *setters: str):
        self.now = minute * 60
        self.workloads.put(deployment(replicas=replicas, setters=setters))

    def foreign_writers(self, minute: float) -> dict[str, int]:
        self.now = minute * 60
        return self.workloads.foreign_writers("chat", "vllm")


@pytest.fixture
def story():
    return Story()


def test_a_program_that_keeps_changing_the_replicas_is_named_until_it_stops(story):
    for minute, replicas in ((1, 5), (3, 1), (5, 5)):
        story.change(minute, replicas, "gitops")
    assert story.foreign_writers(6) == {"gitops": 3}
    assert story.foreign_writers(11.5) == {}


def test_a_person_who_changes_them_now_and_then_is_not(story):
    for minute, replicas in ((1, 5), (3, 1), (14, 5), (16, 1)):
        story.change(minute, replicas, "kubectl")
    assert story.foreign_writers(16) == {}


def test_nor_are_we_or_another_replica_of_ours(story):
    for minute in range(2, 8):
        story.change(minute, minute, "vllm-autoscaler")
    assert story.foreign_writers(8) == {}


def test_nor_is_who_owns_the_same_value_beside_us(story):
    for minute in range(2, 8):
        story.change(minute, minute, "vllm-autoscaler", "gitops")
    assert story.foreign_writers(8) == {}


def test_nor_is_who_changes_something_else(story):
    for minute in range(2, 8):
        story.change(minute, 1, "gitops")
    assert story.foreign_writers(8) == {}


def test_a_new_list_keeps_who_meddled(story):
    for minute, replicas in ((1, 5), (2, 1)):
        story.change(minute, replicas, "gitops")
    story.workloads.replace([deployment(replicas=7, setters=["gitops"])])
    assert story.foreign_writers(3) == {"gitops": 3}
