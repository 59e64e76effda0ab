"""The shipped rights are those that the controller's calls need: none is missing, none is left over."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from kubernetes import config
from kubernetes.client import Configuration

from autoscaler.api.models import ScaleTargetRef
from autoscaler.errors import ClusterError, TargetError
from autoscaler.kube.client.api import Api as KubeApi
from autoscaler.kube.client.lease import LeaderElection, LeaseSettings
from autoscaler.kube.controller_ports import ControllerPorts
from autoscaler.ports.targets import TargetKey
from tests.deploy.kustomize import DEPLOY, objects
from tests.e2e.kube_world import KEDA, POLICIES, install_definition, is_there, pod, policy, scalable, workload
from tests.servers.api import Api
from tests.servers.eventually import eventually

pytestmark = pytest.mark.e2e

HOME = "vllm-autoscaler"
GROUPS = scalable("leaderworkerset.x-k8s.io", "LeaderWorkerSet", ".status.hpaPodSelector")
TARGETS = (
    ("apps/v1", "Deployment", "deployments"),
    ("apps/v1", "StatefulSet", "statefulsets"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet", "leaderworkersets"),
)

Right = tuple[str, str, str]
"""API group, resource (with its subresource) and verb."""


class Noted(KubeApi):
    """Calls, and what RBAC calls them."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__(configuration)
        self.used: set[Right] = set()

    def _send(self, method: str, path: str, query: Any, *rest: Any, **more: Any) -> Any:
        right = right_of(method, path, "watch" in (query or {}))
        if right is not None:
            self.used.add(right)
        return super()._send(method, path, query, *rest, **more)


def right_of(method: str, path: str, watch: bool) -> Right | None:
    """What a request needs; None for discovery, which everybody may."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    if rest[:1] == ["namespaces"]:
        rest = rest[2:]
    if not rest:
        return None
    resource = "/".join([rest[0], *rest[2:]])
    read = "watch" if watch else "get" if len(rest) > 1 else "list"
    verbs = {"GET": read, "POST": "create", "PUT": "update", "PATCH": "patch"}
    return group, resource, verbs[method]


def granted(manifests: list[dict[str, Any]]) -> set[Right]:
    return {
        (group, resource, verb)
        for manifest in manifests
        if manifest["kind"] in ("Role", "ClusterRole")
        for rule in manifest["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture(scope="module")
def shipped() -> list[dict[str, Any]]:
    """The base with the opt-in rights on top."""
    folder = DEPLOY.parent / ".pytest-rbac"
    folder.mkdir(exist_ok=True)
    try:
        (folder / "kustomization.yaml").write_text(
            "resources: [../deploy/base]\ncomponents: [../deploy/components/pod-deletion-cost]\n"
        )
        return objects(folder)
    finally:
        (folder / "kustomization.yaml").unlink()
        folder.rmdir()


@pytest.fixture(scope="module")
def api(cluster, shipped) -> Api:
    api = cluster.api
    for manifest in sorted(
        shipped, key=lambda one: one["kind"] not in ("Namespace", "CustomResourceDefinition")
    ):
        if manifest["kind"] not in ("PodDisruptionBudget", "Deployment"):
            api.apply(manifest)
    eventually(lambda: is_there(api, POLICIES.format("default")), within=20)
    for definition in (KEDA, GROUPS):
        install_definition(api, definition)
    return api


@pytest.fixture
def identity(cluster) -> Noted:
    configuration = Configuration()
    kubeconfig = cluster.account(HOME, "vllm-autoscaler")
    config.load_kube_config(str(kubeconfig), client_configuration=configuration, persist_config=False)
    return Noted(configuration)


def everything_it_does(identity: Noted, api: Api, namespace: str, needed: set[Right]) -> None:
    """Each call that a controller may come to make, once; ``needed``: what they come to, at the latest."""
    api.post(f"/api/v1/namespaces/{namespace}/pods", of_replica_set(pod("vllm-0")))
    api.post(POLICIES.format(namespace), policy())
    template = {"size": 2, "workerTemplate": {"spec": {"containers": []}}}
    for version, kind, plural in TARGETS:
        made = {**workload(kind), "apiVersion": version}
        if kind == "LeaderWorkerSet":
            made["spec"] = {"replicas": 1, "leaderWorkerTemplate": template}
        api.post(f"/apis/{version}/namespaces/{namespace}/{plural}", made)

    cluster = ControllerPorts(identity, "autoscaler-0")
    keys = [TargetKey(namespace, ScaleTargetRef(api_version=v, kind=k, name="vllm")) for v, k, _ in TARGETS]
    for key, (version, _, plural) in zip(keys, TARGETS, strict=True):
        right = version.partition("/")[0], f"{plural}/scale", "get"
        eventually(partial(reads_with_a_call, identity, key, right))
    cluster.start()
    assert cluster.wait(20)
    for key in keys:
        eventually(partial(cluster.targets.workloads, key))
        cluster.targets.write(key, cluster.targets.read(key), 4)
    stored = eventually(lambda: [one for one in cluster.policies.policies() if one.namespace == namespace])[0]
    cluster.policies.write_status(stored, {"mode": "Active"})
    for _ in range(2):
        cluster.events.emit(stored, "Normal", "SuccessfulRescale", "New size: 4; reason: above target")
    eventually(lambda: cluster.targets.own_pods(keys[0], "app=vllm").pods)
    cluster.deletion_costs.write(namespace, {"vllm-0": 1})
    assert cluster.owners.conflicts(stored) == []
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{HOME}/leases/vllm-autoscaler"
    if is_there(api, lease):
        api.delete(lease)  # another test's; this one has to create its own
    election = LeaderElection(identity, LeaseSettings(HOME, "vllm-autoscaler", "one", seconds=10))
    election.start()
    eventually(election.may_write)
    eventually(lambda: needed - identity.used == set())
    eventually(lambda: counts(api, namespace) == [2])
    election.stop()
    cluster.stop()


def of_replica_set(pod: dict[str, Any]) -> dict[str, Any]:
    """The pod with a ReplicaSet as its controller, which has to be read to know whose the pod is."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "vllm-1", "uid": "1", "controller": True}
    return {**pod, "metadata": {**pod["metadata"], "ownerReferences": [owner]}}


def reads_with_a_call(identity: Noted, key: TargetKey, right: Right) -> bool:
    """Reads a target that nothing watches yet; the watch that begins with it may still be faster."""
    cluster = ControllerPorts(identity, "autoscaler-0")
    cluster.targets.read(key)
    cluster.targets.stop()
    return right in identity.used


def test_every_right_is_used_and_every_call_allowed(identity, api, shipped):
    namespace = api.post("/api/v1/namespaces", {"metadata": {"generateName": "rbac-"}})["metadata"]["name"]
    everything_it_does(identity, api, namespace, granted(shipped))
    assert identity.used == granted(shipped)


def counts(api: Api, namespace: str) -> list[int]:
    """How often each Event happened."""
    return [event["count"] for event in api.get(f"/api/v1/namespaces/{namespace}/events")["items"]]


def test_without_the_opt_in_pods_cannot_be_changed():
    assert ("", "pods", "patch") not in granted(objects("base"))


@pytest.mark.parametrize(
    "path",
    [
        "/apis/apps/v1/namespaces/default/deployments/x",
        "/api/v1/namespaces/default/secrets",
        "/apis/coordination.k8s.io/v1/namespaces/vllm-autoscaler/leases/another",
        "/apis/coordination.k8s.io/v1/namespaces/default/leases/vllm-autoscaler",
    ],
)
@pytest.mark.usefixtures("api")
def test_what_is_none_of_its_business_it_cannot_read(identity, path):
    with pytest.raises(ClusterError, match=r"cannot (get|list) resource"):
        identity.get(path)


def test_a_kind_that_nobody_granted_is_a_forbidden_target(identity, api):
    install_definition(api, scalable("serving.example", "Engine"))
    ref = ScaleTargetRef(api_version="serving.example/v1", kind="Engine", name="big")
    with pytest.raises(TargetError, match="cannot get resource"):
        ControllerPorts(identity, "autoscaler-0").targets.read(TargetKey("default", ref))
