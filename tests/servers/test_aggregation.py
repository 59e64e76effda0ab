"""The aggregation layer and the HPA's clients reach an API server that a test starts."""

from __future__ import annotations

import json
import ssl

import pytest

from tests.servers.aggregation import MetricsOfAnHPA, aggregate, available
from tests.servers.api import Api
from tests.servers.certificates import Authority
from tests.servers.eventually import eventually
from tests.servers.loopback import LoopbackServer, Request

pytestmark = pytest.mark.e2e

GROUP = "custom.metrics.k8s.io"
HPA = "horizontal-pod-autoscaler"
DISCOVERY = {
    "kind": "APIResourceList",
    "apiVersion": "v1",
    "groupVersion": f"{GROUP}/v1beta2",
    "resources": [
        {
            "name": "pods/running",
            "singularName": "",
            "namespaced": True,
            "kind": "MetricValueList",
            "verbs": ["get"],
        }
    ],
}
VALUES = {
    "kind": "MetricValueList",
    "apiVersion": f"{GROUP}/v1beta2",
    "metadata": {},
    "items": [
        {
            "describedObject": {"kind": "Pod", "namespace": "chat", "name": "vllm-0", "apiVersion": "v1"},
            "metric": {"name": "running", "selector": None},
            "timestamp": "2026-01-02T03:04:05Z",
            "value": "7",
        }
    ],
}


class MetricsServer(LoopbackServer):
    """A metrics API of one metric, which notes who asks for what."""

    def __init__(self, authority: Authority, clients: Authority) -> None:
        pair = authority.issue("metrics", hosts=(f"{GROUP.replace('.', '-')}.kube-system.svc",))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        context.load_verify_locations(clients.certificate)
        context.verify_mode = ssl.CERT_REQUIRED
        super().__init__(self._answer, context)
        self.asked: list[tuple[str, str | None]] = []

    def _answer(self, request: Request) -> None:
        self.asked.append((request.path, request.headers["X-Remote-User"]))
        answer = VALUES if "/pods/" in request.path else DISCOVERY
        request.reply(200, "application/json", json.dumps(answer).encode())


def versions(api):
    """The group in discovery, which follows the APIService a moment later."""
    groups = api.get("/apis")["groups"]
    return [version["version"] for group in groups if group["name"] == GROUP for version in group["versions"]]


@pytest.fixture
def metrics(control_plane, tmp_path):
    authority = Authority(tmp_path, "metrics-ca")
    api = Api(control_plane.kubeconfig)
    with MetricsServer(authority, control_plane.apiserver.front_proxy) as server:
        aggregate(api, GROUP, "v1beta2", server.port, authority.certificate)
        eventually(lambda: available(api, GROUP, "v1beta2") and versions(api) == ["v1beta2"], within=120)
        yield server
        api.delete(f"/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.{GROUP}")


def test_the_hpas_client_reads_through_the_aggregation_layer(control_plane, metrics):
    hpa = MetricsOfAnHPA(control_plane.kubeconfig_of_service_account("kube-system", HPA))
    assert hpa.pods("chat", "running", "app=vllm")["items"][0]["value"] == "7"
    path = f"/apis/{GROUP}/v1beta2/namespaces/chat/pods/%2A/running?labelSelector=app%3Dvllm"
    assert (path, f"system:serviceaccount:kube-system:{HPA}") in metrics.asked


@pytest.mark.usefixtures("metrics")
def test_the_api_server_lets_only_those_with_the_right_through(control_plane):
    outsider = MetricsOfAnHPA(control_plane.kubeconfig_of_service_account("chat", "outsider"))
    with pytest.raises(RuntimeError, match=r"forbidden: User .*outsider.* cannot"):
        outsider.pods("chat", "running", "app=vllm")
