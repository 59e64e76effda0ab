"""Scale subresources, pods and deletion costs of a real API server, as the controller sees them."""

from __future__ import annotations

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.decision.types import PodPhase
from autoscaler.errors import ConflictError, TargetError
from autoscaler.ports.targets import TargetKey
from tests.e2e.kube_world import install_definition, install_policies, pod, scalable, watching, workload
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e

APPS = "/apis/apps/v1/namespaces/{}/{}"
PODS = "/api/v1/namespaces/{}/pods"
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "gpu-node", "annotations": {"kwok.x-k8s.io/node": "fake"}},
}
ENGINES = "/apis/serving.example/v1/namespaces/{}/engines"
GROUPS = "/apis/leaderworkerset.x-k8s.io/v1/namespaces/{}/leaderworkersets"


@pytest.fixture(scope="module")
def api(cluster):
    api = cluster.api
    api.apply(NODE)
    install_policies(api)
    install_definition(api, scalable("serving.example", "Engine"))
    install_definition(api, scalable("leaderworkerset.x-k8s.io", "LeaderWorkerSet", ".status.hpaPodSelector"))
    return api


@pytest.fixture
def namespace(api):
    return api.post("/api/v1/namespaces", {"metadata": {"generateName": "targets-"}})["metadata"]["name"]


@pytest.fixture
def live(cluster, namespace):
    with watching(cluster.kubeconfig, namespace) as watched:
        yield watched


def target(
    namespace: str, kind: str = "Deployment", name: str = "vllm", version: str = "apps/v1"
) -> TargetKey:
    return TargetKey(namespace, ScaleTargetRef(api_version=version, kind=kind, name=name))


def watched(live, key: TargetKey) -> None:
    """Waits until the target is read from its copy and no longer with a call."""
    eventually(lambda: live.targets.workloads(key) is not None)


@pytest.mark.parametrize(("kind", "plural"), [("Deployment", "deployments"), ("StatefulSet", "statefulsets")])
def test_a_workload_is_read_and_written_through_its_scale(api, live, namespace, kind, plural):
    api.post(APPS.format(namespace, plural), workload(kind))
    key = target(namespace, kind)
    asked = live.targets.read(key)
    watched(live, key)
    scale = eventually(lambda: live.targets.read(key))
    assert (scale.replicas, scale.selector, scale.gpus_per_replica) == (2, "app=vllm", 2)
    assert (asked.replicas, asked.selector) == (scale.replicas, scale.selector)

    written = live.targets.write(key, scale, 5)
    assert (written.replicas, written.gpus_per_replica) == (5, 2)
    found = api.get(f"{APPS.format(namespace, plural)}/vllm")
    assert found["spec"]["replicas"] == 5
    assert found["spec"]["template"]["spec"]["containers"][0]["image"] == "vllm"
    managers = {entry["manager"] for entry in found["metadata"]["managedFields"]}
    assert "vllm-autoscaler" in managers
    eventually(lambda: live.targets.read(key).replicas == 5)


def test_a_write_for_a_version_that_has_passed_is_a_conflict(api, live, namespace):
    api.post(APPS.format(namespace, "deployments"), workload())
    key = target(namespace)
    scale = live.targets.read(key)
    api.patch(f"{APPS.format(namespace, 'deployments')}/vllm/scale", {"spec": {"replicas": 7}})
    with pytest.raises(ConflictError, match="has been modified"):
        live.targets.write(key, scale, 1)
    assert api.get(f"{APPS.format(namespace, 'deployments')}/vllm")["spec"]["replicas"] == 7


def test_the_version_that_a_write_returns_is_good_for_the_next_one(api, live, namespace):
    api.post(APPS.format(namespace, "deployments"), workload())
    key = target(namespace)
    scale = live.targets.read(key)
    for replicas in (3, 4, 5):
        scale = live.targets.write(key, scale, replicas)
    assert scale.replicas == 5


def test_any_kind_with_a_scale_subresource_is_a_target(api, live, namespace):
    engine = {
        "apiVersion": "serving.example/v1",
        "kind": "Engine",
        "metadata": {"name": "big"},
        "spec": {"replicas": 1},
        "status": {"replicas": 1, "selector": "app=big"},
    }
    api.post(ENGINES.format(namespace), engine)
    api.patch(f"{ENGINES.format(namespace)}/big/status", {"status": engine["status"]})
    key = target(namespace, "Engine", "big", "serving.example/v1")
    scale = live.targets.read(key)
    assert (scale.replicas, scale.status_replicas, scale.selector) == (1, 1, "app=big")
    assert live.targets.write(key, scale, 4).replicas == 4
    with pytest.raises(ConflictError):
        live.targets.write(key, scale, 2)
    assert api.get(f"{ENGINES.format(namespace)}/big")["spec"]["replicas"] == 4


def test_one_replica_of_a_leader_worker_set_is_a_group(api, live, namespace):
    template = {"spec": {"containers": [{"name": "vllm", "resources": {"limits": {"nvidia.com/gpu": 8}}}]}}
    groups = {
        "apiVersion": "leaderworkerset.x-k8s.io/v1",
        "kind": "LeaderWorkerSet",
        "metadata": {"name": "big"},
        "spec": {"replicas": 1, "leaderWorkerTemplate": {"size": 2, "workerTemplate": template}},
    }
    api.post(GROUPS.format(namespace), groups)
    leaders = "leaderworkerset.sigs.k8s.io/name=big,leaderworkerset.sigs.k8s.io/worker-index=0"
    status = {"replicas": 1, "hpaPodSelector": leaders}
    api.patch(f"{GROUPS.format(namespace)}/big/status", {"status": status})
    key = target(namespace, "LeaderWorkerSet", "big", "leaderworkerset.x-k8s.io/v1")
    asked = live.targets.read(key)
    watched(live, key)
    scale = live.targets.read(key)
    assert (scale.replicas, scale.selector, scale.gpus_per_replica) == (1, leaders, 16)
    assert (scale.selector, scale.resource_version) == (asked.selector, asked.resource_version)
    assert live.targets.write(key, scale, 2).replicas == 2


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ({"name": "nobody"}, "there is no Deployment targets-.*/nobody"),
        ({"kind": "Engine", "version": "serving.example/v1"}, "there is no Engine"),
        ({"kind": "ConfigMap", "version": "v1"}, "ConfigMap of v1 has no scale subresource"),
        ({"kind": "Server", "version": "nowhere.example/v1"}, "the cluster knows no nowhere.example/v1"),
        ({"kind": "Deploymint"}, "apps/v1 has no kind Deploymint"),
    ],
)
def test_a_target_that_is_none_is_named(live, namespace, key, message):
    with pytest.raises(TargetError, match=message):
        live.targets.read(target(namespace, **key))


# Pods


@pytest.mark.usefixtures("composed")  # its nodes are fake
def test_pods_are_seen_as_they_start_and_leave(api, live, namespace):
    for name, after in (("a", "1ms"), ("b", "600s")):
        api.post(PODS.format(namespace), pod(name, ready_after=after))
    api.post(PODS.format(namespace), pod("c", app="other"))

    def seen() -> dict[str, bool]:
        return {one.name: one.ready for one in live.targets.pods(namespace, "app=vllm")}

    eventually(lambda: seen() == {"a": True, "b": False}, within=15)
    assert all(one.phase is not PodPhase.FAILED for one in live.targets.pods(namespace, "app=vllm"))
    api.delete(f"{PODS.format(namespace)}/a")
    eventually(lambda: "a" not in seen(), within=15)


@pytest.mark.usefixtures("composed")  # its nodes are fake
def test_idle_pods_are_marked_to_go_first(api, live, namespace):
    for name in ("a", "b"):
        api.post(PODS.format(namespace), pod(name))
    eventually(lambda: len(live.targets.pods(namespace, "app=vllm")) == 2)
    live.deletion_costs.write(namespace, {"a": 0, "b": 31, "gone": 5})
    costs = {
        one["metadata"]["name"]: one["metadata"]["annotations"]["controller.kubernetes.io/pod-deletion-cost"]
        for one in api.get(PODS.format(namespace))["items"]
    }
    assert costs == {"a": "0", "b": "31"}


@pytest.mark.usefixtures("composed")  # its nodes are fake
def test_a_namespace_that_is_not_watched_does_not_leak_in(api, live, namespace):
    other = api.post("/api/v1/namespaces", {"metadata": {"generateName": "other-"}})["metadata"]["name"]
    api.post(PODS.format(other), pod("stranger"))
    api.post(PODS.format(namespace), pod("a"))
    eventually(lambda: live.targets.pods(namespace, "app=vllm"))
    assert [one.name for one in live.targets.pods(namespace, "app=vllm")] == ["a"]
