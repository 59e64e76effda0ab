"""Connections of which nothing comes: they cost little, end in time, and keep nobody else out."""

from __future__ import annotations

import ssl

import pytest
import requests
from kubernetes.client import ApiException

from tests.e2e.adapter import export
from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.crowd import MEBIBYTE, crowd, memory, open_ones, threads
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

COUNT = 2000
HALF_A_REQUEST = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "


def answers(url, path):
    return requests.get(f"{url}{path}", verify=False, timeout=2).ok


def served(api, path):
    """The values that the aggregation layer has of the adapter; empty while it has none."""
    try:
        return [one["value"] for one in api.get(path)["items"]]
    except ApiException:
        return []


def test_half_sent_requests_do_not_fill_the_metrics_port(cluster, namespace, start, script):
    cluster.api.apply(deployment(namespace, replicas=1))
    script.change(lambda _: vllm(running=10))
    controller = start()
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
    before = threads(controller)
    with crowd("127.0.0.1", controller.port, COUNT, HALF_A_REQUEST) as connections:
        assert threads(controller) < before + 100
        script.change(lambda _: vllm(running=40))
        eventually(lambda: policy.replicas() == 4, within=30)
        eventually(lambda: answers(controller.url, "/healthz"), within=30)
        eventually(lambda: open_ones(connections) == 0, within=60)
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=60)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_idle_connections_do_not_fill_the_adapter(cluster, adapter, namespace, script):
    cluster.api.apply(deployment(namespace, replicas=1))
    script.change(lambda _: vllm(running=10))
    adapter.serve(export(namespace, {"name": "running", "signal": "running"}))
    pods = f"/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}/pods/*/running"
    eventually(lambda: served(cluster.api, pods) == ["10"], within=60)
    context = ssl._create_unverified_context()
    with crowd(adapter.host, adapter.port, COUNT, tls=context) as connections:
        assert memory(adapter) < 256 * MEBIBYTE
        eventually(lambda: answers(adapter.url, "/livez"), within=30)
        assert served(cluster.api, pods) == ["10"]
        eventually(lambda: open_ones(connections) == 0, within=60)
    with crowd(adapter.host, adapter.port, 300):
        eventually(lambda: answers(adapter.url, "/livez"), within=30)
    script.change(lambda _: vllm(running=7))
    eventually(lambda: served(cluster.api, pods) == ["7"], within=30)
