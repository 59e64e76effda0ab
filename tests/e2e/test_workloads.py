"""Pods follow replicas, get ready late, and Prometheus scrapes those that are ready."""

from __future__ import annotations

import pytest

from tests.e2e.manifests import deployment, pods_of, stateful_set
from tests.e2e.ranking import DELETION_COST, condition, is_ready
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e


def ready(cluster, namespace):
    return [pod["metadata"]["name"] for pod in pods_of(cluster, namespace) if is_ready(pod)]


def scale(cluster, namespace, kind, replicas):
    path = f"/apis/apps/v1/namespaces/{namespace}/{kind}/vllm/scale"
    cluster.api.patch(path, {"spec": {"replicas": replicas}})


def why_not_placed(pod):
    return condition(pod, "PodScheduled").get("reason")


def test_a_deployment_has_as_many_pods_as_replicas(cluster, namespace):
    cluster.api.apply(deployment(namespace, replicas=2))
    eventually(lambda: len(ready(cluster, namespace)) == 2)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/vllm"
    eventually(lambda: cluster.api.get(path)["status"].get("readyReplicas") == 2)
    scale(cluster, namespace, "deployments", 3)
    eventually(lambda: len(ready(cluster, namespace)) == 3)
    eventually(lambda: cluster.api.get(path)["status"]["observedGeneration"] == 2)
    scale(cluster, namespace, "deployments", 0)
    eventually(lambda: pods_of(cluster, namespace) == [])


def test_the_cheapest_pod_goes_first(cluster, namespace):
    cluster.api.apply(deployment(namespace, replicas=3))
    first = eventually(lambda: sorted(found) if len(found := ready(cluster, namespace)) == 3 else None)
    cost = {"metadata": {"annotations": {DELETION_COST: "-5"}}}
    cluster.api.patch(f"/api/v1/namespaces/{namespace}/pods/{first[1]}", cost)
    scale(cluster, namespace, "deployments", 2)
    eventually(lambda: sorted(ready(cluster, namespace)) == [first[0], first[2]])


def test_a_stateful_set_gives_up_its_highest_number(cluster, namespace):
    cluster.api.apply(stateful_set(namespace, replicas=3))
    eventually(lambda: sorted(ready(cluster, namespace)) == ["vllm-0", "vllm-1", "vllm-2"])
    scale(cluster, namespace, "statefulsets", 2)
    eventually(lambda: sorted(ready(cluster, namespace)) == ["vllm-0", "vllm-1"])


@pytest.mark.usefixtures("composed")
def test_without_a_free_gpu_a_pod_waits(cluster, workloads, namespace):
    workloads.places = 1
    try:
        cluster.api.apply(deployment(namespace, replicas=2))
        eventually(lambda: len(ready(cluster, namespace)) == 1)
        eventually(
            lambda: [why_not_placed(pod) for pod in pods_of(cluster, namespace)].count("Unschedulable") == 1
        )
    finally:
        workloads.places = None
    eventually(lambda: len(ready(cluster, namespace)) == 2)


def test_prometheus_scrapes_the_pods_that_are_ready(cluster, namespace, fleet, prometheus):
    running = f'sum(vllm:num_requests_running{{namespace="{namespace}"}})'
    cluster.api.apply(deployment(namespace, replicas=2))
    eventually(lambda: len(prometheus.query(f'up{{namespace="{namespace}"}} == 1')) == 2, within=20)
    fleet.keep(6)
    eventually(lambda: prometheus.query(running)[0][1] == 6, within=20)
    fleet.keep(0)
    eventually(lambda: prometheus.query(running)[0][1] == 0, within=20)
    assert fleet.answered > 0
