"""Two controllers: when the one that leads is killed, the other goes on, and only one ever writes."""

from __future__ import annotations

import json
import time

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.outages import hanging, stopped
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

ELECTED = "--lease-seconds=10"
CLIMB = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 1, "periodSeconds": 4}]},
    "scaleDown": {"stabilizationWindowSeconds": 0},
}
GROUPS = ("system:masters", "system:serviceaccounts")
"""The second has the API server note what they do."""


def writers(plane, namespace):
    """Who wrote the replicas of a namespace, in the order of the writes."""
    events = [json.loads(line) for line in plane.apiserver.audit.read_text().splitlines()]
    return [event["user"]["username"] for event in events if is_scaling(event, namespace)]


def is_scaling(event, namespace):
    about = event.get("objectRef", {})
    done = event["stage"] == "ResponseComplete" and event["responseStatus"]["code"] == 200
    scale = about.get("subresource") == "scale" and event["verb"] in ("patch", "update")
    return done and scale and about.get("namespace") == namespace


def leads(controller):
    return controller.metric("vllm_autoscaler_leading") == 1


def test_killed_while_it_scales(cluster, composed, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    first = start("first", ELECTED, kubeconfig=composed.kubeconfig_of("first", GROUPS))
    eventually(lambda: leads(first), within=20)
    second = start("second", ELECTED, kubeconfig=composed.kubeconfig_of("second", GROUPS))
    script.change(lambda _: vllm(running=50))
    policy = Policy(cluster, namespace, spec(behavior=CLIMB, maxReplicas=5))
    replicas = Timeline(policy.replicas)
    replicas.reaches(3)
    first.kill()
    assert not leads(second), "the lease is the first one's until it ends"
    replicas.reaches(5, within=60)
    assert leads(second)
    assert replicas.values == [1, 2, 3, 4, 5]
    assert writers(composed, namespace) == ["first", "first", "second", "second"]


def test_stopped_it_hands_over_at_once(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    first = start("first", "--lease-seconds=120")
    eventually(lambda: leads(first), within=20)
    second = start("second", "--lease-seconds=120")
    first.stop()
    eventually(lambda: leads(second), within=60)
    script.change(lambda _: vllm(running=50))
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: policy.replicas() == 4, within=30)


@pytest.mark.parametrize("outage", [stopped, hanging])
def test_stopped_while_it_waits_for_metrics_it_hands_over_before_the_round_is_over(
    cluster, namespace, script, prometheus, start, outage
):
    """A round may take 60 s here, and a dead leader's lease two minutes: neither is waited for."""
    cluster.api.apply(deployment(namespace, replicas=3))
    script.change(lambda _: vllm(running=10))
    patient = ("--lease-seconds=120", "--metrics-deadline=60")
    first = start("first", *patient)
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: decisions(first, "WithinTolerance") >= 1)
    second = start("second", *patient)
    with outage(prometheus):
        eventually(lambda: waits_for_metrics(first))
        asked = first.process
        asked.terminate()
        eventually(lambda: leads(second), within=25)
    asked.wait(60)
    assert asked.returncode == 0
    first.stop()
    assert policy.replicas() == 3


def waits_for_metrics(controller):
    """Whether it has decided nothing for a while."""
    seen = decisions(controller)
    time.sleep(3)
    return decisions(controller) == seen


def test_cut_off_from_the_api_it_stops_leading_before_another_may(cluster, composed, namespace, start):
    first = start("first", ELECTED)
    eventually(lambda: leads(first), within=20)
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/vllm-autoscaler"
    holder = cluster.api.get(lease)["spec"]["holderIdentity"]
    composed.apiserver.pause()
    try:
        eventually(lambda: not leads(first), within=20)
    finally:
        composed.apiserver.resume()
    assert cluster.api.get(lease)["spec"]["holderIdentity"] == holder
    eventually(lambda: leads(first), within=20)
