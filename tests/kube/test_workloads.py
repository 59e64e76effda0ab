from __future__ import annotations

import pytest

from autoscaler.kube.workloads import WATCHED_KINDS, Workloads
from autoscaler.ports import Scale
from autoscaler.timestamps import from_rfc3339

from .objects import deployment

APPS = WATCHED_KINDS["apps/v1", "Deployment"][1]
GROUPS = WATCHED_KINDS["leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"][1]
NOON = from_rfc3339("2026-03-01T12:00:00Z")


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


def test_a_new_list_forgets_what_is_gone_and_keeps_who_meddled():
    workloads = Workloads(APPS)
    workloads.replace([deployment("a"), deployment("b")])
    workloads.replace([deployment("b", replicas=5)])
    assert workloads.scale("chat", "a") is None
    assert workloads.scale("chat", "b").replicas == 5
    workloads.drop(deployment("b"))
    assert workloads.scale("chat", "b") is None


# Who keeps changing the replicas


def watched(*changes: tuple[int, str, str]) -> Workloads:
    """A Deployment at 1 replica, then changes (replicas, field manager, time of the day)."""
    workloads = Workloads(APPS)
    workloads.put(deployment(replicas=1))
    for replicas, manager, clock in changes:
        workloads.put(deployment(replicas=replicas, setters=[(manager, f"2026-03-01T{clock}Z")]))
    return workloads


def test_a_program_that_keeps_changing_the_replicas_is_named():
    workloads = watched((5, "gitops", "11:55:00"), (1, "gitops", "11:57:00"), (5, "gitops", "11:59:00"))
    assert workloads.meddlers("chat", "vllm", NOON) == {"gitops": 3}


@pytest.mark.parametrize(
    ("story", "changes"),
    [
        ("a person, twice", [(5, "kubectl", "11:55:00"), (1, "kubectl", "11:59:00")]),
        ("too long ago", [(5, "gitops", "11:30:00"), (1, "gitops", "11:49:00"), (5, "gitops", "11:59:00")]),
        ("ourselves", [(n, "vllm-autoscaler", f"11:5{n}:00") for n in range(2, 8)]),
        ("other fields", [(1, "gitops", f"11:5{n}:00") for n in range(2, 8)]),
    ],
)
def test_who_changes_them_now_and_then_is_not(story, changes):
    assert watched(*changes).meddlers("chat", "vllm", NOON) == {}, story


def test_the_last_setter_is_blamed_and_not_whoever_set_them_before():
    workloads = Workloads(APPS)
    workloads.put(deployment(replicas=1))
    early = ("gitops", "2026-03-01T11:50:00Z")
    for minute, replicas in ((55, 2), (57, 3), (59, 4)):
        late = ("vllm-autoscaler", f"2026-03-01T11:{minute}:00Z")
        workloads.put(deployment(replicas=replicas, setters=[early, late]))
    assert workloads.meddlers("chat", "vllm", NOON) == {}
