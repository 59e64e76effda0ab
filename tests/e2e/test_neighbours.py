"""What one tenant's trouble costs the others: nothing."""

from __future__ import annotations

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.api_proxy import Fault, Refusal, calls
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

HANGING = calls("GET", "/engines/", "/scale")
DENIED = Refusal(403, "Forbidden")


def test_targets_that_hang_do_not_keep_the_others_waiting(
    cluster, namespace, proxy, through, start, script, engines
):
    """48 of them, three for each worker."""
    cluster.api.apply(deployment(namespace, replicas=2))
    script.change(lambda _: vllm(running=10))
    others = engines(namespace, 48)
    policy = Policy(cluster, namespace, spec())
    with proxy.fault(HANGING, Fault(hangs=True)):
        controller = start(kubeconfig=through)
        eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
        eventually(lambda: len(proxy.seen(HANGING)) >= 16, within=60)
        script.change(lambda _: vllm(running=20))
        eventually(lambda: policy.replicas() == 4, within=15)
        script.change(lambda _: vllm(running=0))
        eventually(lambda: policy.replicas() == 1, within=30)
    others[0].edit(minReplicas=2)
    eventually(lambda: others[0].replicas() == 2, within=60)


def test_statuses_that_are_denied_do_not_keep_the_others_waiting(
    cluster, namespace, proxy, through, start, script
):
    cluster.api.apply(deployment(namespace, replicas=2))
    script.change(lambda _: vllm(running=10))
    nowhere = {"kind": "Deployment", "name": "nowhere"}
    for number in range(60):
        Policy(cluster, namespace, spec(scaleTargetRef=nowhere), f"denied-{number}")
    policy = Policy(cluster, namespace, spec())
    denied = calls("PATCH", "/denied-", "/status")
    with proxy.fault(denied, Fault(refusal=DENIED)):
        start(kubeconfig=through)
        eventually(lambda: len(proxy.seen(denied)) >= 60, within=60)
        for replicas in (3, 4):
            policy.edit(minReplicas=replicas)
            generation = cluster.api.get(policy.path)["metadata"]["generation"]
            eventually(
                lambda generation=generation: policy.status().get("observedGeneration") == generation,
                within=15,
            )
            assert policy.replicas() == replicas
        tried = len(proxy.seen(denied))
    cluster.api.patch(policy.path, {"spec": {"minReplicas": 1}})
    path = policy.path.replace("/chat", "/denied-59")
    eventually(lambda: cluster.api.get(path).get("status", {}).get("conditions"), within=60)
    assert tried < 600
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=60)
