"""Every fault of a pod's metrics, alone and with every outage of a server: 56 cases, no replica lost.

In each round one server is away, or none, and eight workloads have one faulty pod each, which carries all of
their load. Whoever believed the idle ones would take replicas away at once; when the load is gone, it does.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, nullcontext

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.outages import hanging, stopped
from tests.e2e.pod_faults import FAULTS, one_is_busy
from tests.e2e.policies import HASTY, Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

OUTAGE_SECONDS = 4.0


@contextmanager
def killed(server):
    server.kill()
    try:
        yield
    finally:
        server.start()


OUTAGES = {
    "nothing else": lambda *_servers: nullcontext(),
    "Prometheus is stopped": lambda _plane, prometheus, _controller: stopped(prometheus),
    "Prometheus hangs": lambda _plane, prometheus, _controller: hanging(prometheus),
    "the API server is stopped": lambda plane, _prometheus, _controller: stopped(plane.apiserver),
    "the API server hangs": lambda plane, _prometheus, _controller: hanging(plane.apiserver),
    "etcd hangs": lambda plane, _prometheus, _controller: hanging(plane.etcd),
    "the controller is killed": lambda _plane, _prometheus, controller: killed(controller),
}


@pytest.fixture
def busy(cluster, namespace, script, prometheus):
    """A workload of three pods for each fault; the pod of each that is busy."""
    for number, _ in enumerate(FAULTS):
        cluster.api.apply(deployment(namespace, replicas=3, name=f"vllm-{number}"))
    return one_is_busy(prometheus, namespace, script, [f"vllm-{number}" for number, _ in enumerate(FAULTS)])


@pytest.mark.parametrize("outage", OUTAGES)
def test_a_bad_pod_and_an_outage(outage, cluster, composed, namespace, prometheus, script, busy, start):
    controller = start()
    policies = [policy_for(cluster, namespace, f"vllm-{number}") for number, _ in enumerate(FAULTS)]
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2 * len(policies), within=60)
    for break_it, pod in zip(FAULTS.values(), busy, strict=True):
        break_it(script.pods[pod])
    with OUTAGES[outage](composed, prometheus, controller):
        time.sleep(OUTAGE_SECONDS)
    enough = decisions(controller) + 5 * len(policies)
    eventually(lambda: decisions(controller) >= enough, within=60)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    found = eventually(lambda: cluster.api.get(path)["items"], within=30)
    assert {one["spec"]["replicas"] for one in found} == {3}
    assert {one["metadata"]["generation"] for one in found} == {1}, "nor was one lost meanwhile"

    for pod in script.pods.values():
        pod.status, pod.delay = 200, 0.0
    script.change(lambda _: vllm(running=0))
    eventually(lambda: all(one.replicas() == 1 for one in policies), within=60)


def policy_for(cluster, namespace, name):
    return Policy(
        cluster, namespace, spec(behavior=HASTY, scaleTargetRef={"kind": "Deployment", "name": name}), name
    )
