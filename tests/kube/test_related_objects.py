from __future__ import annotations

import pytest

from autoscaler.api.models import ScaleTargetRef
from autoscaler.kube.client.api import ApiError
from autoscaler.kube.related_objects import surroundings
from tests.kube.objects import deployment

REF = ScaleTargetRef(kind="Deployment", name="vllm")
TARGET = "/apis/apps/v1/namespaces/chat/deployments/vllm"
CLAIMS = "/api/v1/namespaces/chat/persistentvolumeclaims"
MONITORS = "/apis/monitoring.googleapis.com/v1/namespaces/chat/podmonitorings"


@pytest.fixture
def server(double):
    resources = [{"name": name, "kind": "Deployment"} for name in ("deployments", "deployments/scale")]
    double.on("GET", "/apis/apps/v1", lambda call: call.json({"resources": resources}))
    double.on("GET", TARGET, lambda call: call.json(deployment()))
    return double


def found(server) -> list[str]:
    return [manifest.source for manifest in surroundings(server.api(), "chat", REF)]


def test_the_target_comes_with_its_volumes_and_who_scrapes_it(server):
    for path in (CLAIMS, MONITORS):
        items = [{"metadata": {"name": "one", "namespace": "chat"}, "spec": {}}]
        server.on("GET", path, lambda call, items=items: call.json({"items": items}))
    assert found(server) == [
        "Deployment chat/vllm",
        "PersistentVolumeClaim chat/one",
        "PodMonitoring chat/one",
    ]


def test_other_workloads_of_the_namespace_are_there_to_compare(server):
    items = [deployment(), deployment("canary")]
    server.on("GET", "/apis/apps/v1/namespaces/chat/deployments", lambda call: call.json({"items": items}))
    assert found(server) == ["Deployment chat/vllm", "Deployment chat/canary"]


def test_what_may_not_be_read_is_left_out(server):
    server.on("GET", CLAIMS, lambda call: call.refuse(403, "Forbidden"))
    assert found(server) == ["Deployment chat/vllm"]


def test_a_target_that_is_not_there_has_no_surroundings(server):
    server.instead("GET", TARGET, lambda call: call.refuse(404, "NotFound"))
    assert found(server) == []


def test_a_kind_that_is_not_there_neither(double):
    assert surroundings(double.api(), "chat", REF) == []


@pytest.mark.parametrize(("path", "status"), [(TARGET, 403), (TARGET, 503), (CLAIMS, 503)])
def test_a_cluster_that_will_not_tell_is_an_error(server, path, status):
    server.instead("GET", path, lambda call: call.refuse(status, "Because", "not now"))
    with pytest.raises(ApiError, match="not now"):
        found(server)
