from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.decision.types import Pod
from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.kube.client.api import ApiError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.targets import KubeTargets, _is_older
from autoscaler.ports.targets import Scale, TargetKey
from tests.servers.eventually import eventually

from .double import Call, Double
from .objects import deployment, pod

VLLM = TargetKey("chat", ScaleTargetRef(kind="Deployment", name="vllm"))
CUSTOM = TargetKey("chat", ScaleTargetRef(api_version="serving.example/v1", kind="Engine", name="big"))
SCALE_PATH = "/apis/apps/v1/namespaces/chat/deployments/vllm/scale"
LIST_PATH = "/apis/apps/v1/deployments"


def resources(*names: str, kind: str) -> dict[str, Any]:
    return {"resources": [{"name": name, "kind": "Scale" if "/" in name else kind} for name in names]}


def scale(replicas: int, version: int = 5) -> dict[str, Any]:
    return {
        "metadata": {"resourceVersion": str(version)},
        "spec": {"replicas": replicas},
        "status": {"replicas": replicas, "selector": "app=vllm"},
    }


@pytest.fixture
def server(double: Double) -> Double:
    apps = resources("deployments", "deployments/scale", "deployments/status", kind="Deployment")
    engines = resources("engines", "engines/scale", kind="Engine")
    double.on("GET", "/apis/apps/v1", lambda call: call.json(apps))
    double.on("GET", "/apis/serving.example/v1", lambda call: call.json(engines))
    return double


@pytest.fixture
def targets(server: Double) -> Iterator[KubeTargets]:
    api = server.api()
    found = KubeTargets(api, (), Informer(api, "/api/v1/pods", (), PodIndex))
    yield found
    server.over.set()
    found.stop()


def serve_list(server: Double, collection: str, *objects: dict[str, Any]) -> None:
    def stay_open(call: Call) -> None:
        call.begin_stream()
        server.until_over(call)

    body = {"metadata": {"resourceVersion": "9"}, "items": list(objects)}
    server.on("GET", collection, lambda call: call.json(body))
    server.on("GET", collection, stay_open, watch=True)


def test_a_kind_that_is_not_watched_is_asked_for(server, targets):
    path = "/apis/serving.example/v1/namespaces/chat/engines/big/scale"
    server.on("GET", path, lambda call: call.json(scale(3)))
    assert targets.read(CUSTOM) == Scale(3, 3, "app=vllm", "5")
    assert len(server.seen("GET", "/apis/serving.example/v1")) == 2
    targets.read(CUSTOM)
    assert len(server.seen("GET", "/apis/serving.example/v1")) == 3, "the kind is known by now"


def test_a_deployment_is_asked_for_until_its_copy_is_complete_and_then_no_more(server, targets):
    server.on("GET", SCALE_PATH, lambda call: call.json(scale(3)))
    assert targets.read(VLLM) == Scale(3, 3, "app=vllm", "5")
    serve_list(server, LIST_PATH, deployment(replicas=4, version=8, gpus=1))
    eventually(lambda: targets.workloads(VLLM))
    asked = len(server.seen("GET", SCALE_PATH))
    assert targets.read(VLLM) == Scale(4, 4, "app=vllm", "8", 1)
    assert len(server.seen("GET", SCALE_PATH)) == asked


def test_without_the_right_to_watch_a_deployment_is_asked_for(server, targets):
    server.on("GET", LIST_PATH, lambda call: call.refuse(403, "Forbidden"))
    server.on("GET", SCALE_PATH, lambda call: call.json(scale(3)))
    targets.read(VLLM)
    eventually(lambda: server.seen("GET", LIST_PATH))
    assert targets.read(VLLM).replicas == 3


def test_a_target_that_is_missing_from_a_complete_copy_does_not_exist(server, targets):
    serve_list(server, LIST_PATH)
    eventually(lambda: targets.workloads(VLLM))
    with pytest.raises(TargetError, match="there is no Deployment chat/vllm"):
        targets.read(VLLM)


def test_a_write_is_for_the_version_that_was_read(server, targets):
    server.on("PATCH", SCALE_PATH, lambda call: call.json(scale(4, version=6)))
    written = targets.write(VLLM, Scale(3, 3, "app=vllm", "5", gpus_per_replica=2), 4)
    assert written == Scale(4, 4, "app=vllm", "6", 2)
    (request,) = server.seen("PATCH")
    assert request.body == {"metadata": {"resourceVersion": "5"}, "spec": {"replicas": 4}}


def calls(server: Double) -> int:
    return len(server.seen("GET", SCALE_PATH))


def test_after_a_write_the_copy_counts_once_it_is_as_new(server, targets):
    now_told = threading.Event()

    def tell_later(call: Call) -> None:
        call.begin_stream()
        now_told.wait(30)
        call.send({"type": "MODIFIED", "object": deployment(replicas=5, version=21)})
        server.until_over(call)

    body = {"metadata": {"resourceVersion": "9"}, "items": [deployment(replicas=3, version=8, gpus=1)]}
    server.on("GET", LIST_PATH, lambda call: call.json(body))
    server.on("GET", LIST_PATH, tell_later, watch=True)
    server.on("PATCH", SCALE_PATH, lambda call: call.json(scale(5, version=20)))
    server.on("GET", SCALE_PATH, lambda call: call.json(scale(5, version=20)))
    eventually(lambda: targets.workloads(VLLM))
    targets.write(VLLM, targets.read(VLLM), 5)
    asked = calls(server)
    assert targets.read(VLLM) == Scale(5, 5, "app=vllm", "20", 1), "the copy still says 3"
    assert calls(server) == asked + 1
    now_told.set()
    eventually(lambda: targets.read(VLLM).resource_version == "21")
    asked = calls(server)
    assert targets.read(VLLM).replicas == 5
    assert calls(server) == asked


def test_a_fresh_scale_is_a_call_however_new_the_copy_seems_to_be(server, targets):
    serve_list(server, LIST_PATH, deployment(replicas=3, version=8, gpus=1))
    server.on("GET", SCALE_PATH, lambda call: call.json(scale(4, version=100)))
    eventually(lambda: targets.workloads(VLLM))
    assert targets.read(VLLM).resource_version == "8"
    assert targets.read(VLLM, fresh=True) == Scale(4, 4, "app=vllm", "100", 1)
    assert targets.read(VLLM).resource_version == "100", "from now on the copy is known to lag"


@pytest.mark.parametrize(
    ("one", "other", "older"),
    [
        ("8", "100", True),
        ("100", "8", False),
        ("8", "8", False),
        ("9" * 30, "1" + "0" * 30, True),
        ("a8", "100", False),
        ("", "1", False),
    ],
)
def test_which_of_two_versions_is_older(one, other, older):
    assert _is_older(one, other) is older


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, TargetError),
        (403, TargetError),
        (422, TargetError),
        (409, ConflictError),
        (429, ApiError),
        (503, ApiError),
        (500, ApiError),
    ],
)
def test_what_a_refusal_means(server, targets, status, error):
    server.on("PATCH", SCALE_PATH, lambda call: call.refuse(status, "Because", "of this"))
    with pytest.raises(error) as caught:
        targets.write(VLLM, Scale(3, 3, "app=vllm", "5"), 4)
    assert type(caught.value) is error
    assert len(server.seen("PATCH")) == 1


def test_a_write_of_which_nobody_knows_whether_it_arrived_is_a_cluster_error(server, targets):
    server.on("PATCH", SCALE_PATH, Call.reset)
    with pytest.raises(ClusterError, match="did not answer"):
        targets.write(VLLM, Scale(3, 3, "app=vllm", "5"), 4)


@pytest.mark.parametrize(
    ("ref", "message"),
    [
        ({"api_version": "nowhere/v1", "kind": "Engine"}, "the cluster knows no nowhere/v1"),
        ({"api_version": "apps/v1", "kind": "Engine"}, "apps/v1 has no kind Engine"),
        ({"api_version": "v1", "kind": "ConfigMap"}, "ConfigMap of v1 has no scale subresource"),
    ],
)
def test_a_kind_that_cannot_be_scaled_is_named(server, targets, ref, message):
    server.on("GET", "/api/v1", lambda call: call.json(resources("configmaps", kind="ConfigMap")))
    with pytest.raises(TargetError, match=message):
        targets.read(TargetKey("chat", ScaleTargetRef(name="x", **ref)))


def test_discovery_that_fails_is_no_verdict_on_the_kind(double):
    targets = KubeTargets(double.api(), (), Informer(double.api(), "/api/v1/pods", (), PodIndex))
    double.on("GET", "/apis/serving.example/v1", lambda call: call.refuse(503))
    with pytest.raises(ApiError):
        targets.read(CUSTOM)


# Pods


def test_pods_come_from_the_copy_of_their_namespace_alone(server):
    api = server.api()
    pods = Informer(api, "/api/v1/pods", ("chat", "code"), PodIndex)
    targets = KubeTargets(api, ("chat", "code"), pods)
    for namespace in ("chat", "code"):
        serve_list(server, f"/api/v1/namespaces/{namespace}/pods", pod(f"{namespace}-0", namespace))
    with pytest.raises(ClusterError, match="was not read yet"):
        targets.pods("chat", "app=vllm")
    pods.start()
    assert pods.wait(30)
    assert targets.pods("chat", "app=vllm") == [Pod("chat-0")]
    assert targets.pods("code", "app=vllm") == [Pod("code-0")]
    with pytest.raises(ClusterError, match="the namespace default is not watched"):
        targets.pods("default", "app=vllm")
    server.over.set()
    pods.stop()
