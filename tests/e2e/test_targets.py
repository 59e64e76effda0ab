"""Other targets than a Deployment."""

from __future__ import annotations

import pytest

from tests.e2e.kube_world import install_definition, scalable
from tests.e2e.manifests import deployment, leader_worker_set, pods_of, stateful_set
from tests.e2e.pod_faults import shown
from tests.e2e.policies import HASTY, Policy, spec
from tests.e2e.ranking import is_ready, victims
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

LEADER_WORKER_SET = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "name": "vllm",
}


def test_a_stateful_set_goes_up_and_down(cluster, namespace, script, start):
    start()
    cluster.api.apply(stateful_set(namespace))
    script.change(lambda _: vllm(running=12))
    policy = Policy(cluster, namespace, spec(scaleTargetRef={"kind": "StatefulSet", "name": "vllm"}))
    replicas = Timeline(policy.replicas)
    replicas.reaches(4)
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 4)
    script.change(lambda _: vllm(running=1))
    replicas.reaches(1, within=40)
    eventually(lambda: [pod["metadata"]["name"] for pod in pods_of(cluster, namespace)] == ["vllm-0"])
    assert replicas.values[-4:] == [4, 3, 2, 1]


@pytest.mark.usefixtures("composed")  # who goes first is looked up in our own order
def test_a_scale_down_takes_the_idlest_pods(cluster, namespace, script, prometheus, start):
    cluster.api.apply(deployment(namespace, replicas=3))
    eventually(lambda: len(script.pods) == 3)
    (busy,) = (pod["metadata"]["name"] for pod in victims(pods_of(cluster, namespace), 1))
    script.change(lambda pod: vllm(running=4 if pod == busy else 1))
    eventually(lambda: shown(prometheus, namespace) == [4, 1, 1])
    start("controller", "--no-leader-election", "--deletion-costs")
    policy = Policy(cluster, namespace, spec(behavior=HASTY))
    eventually(lambda: policy.replicas() == 1)
    eventually(lambda: [pod["metadata"]["name"] for pod in pods_of(cluster, namespace)] == [busy])


def test_one_replica_of_a_leader_worker_set_is_a_group(cluster, namespace, script, start):
    install_definition(
        cluster.api, scalable("leaderworkerset.x-k8s.io", "LeaderWorkerSet", ".status.hpaPodSelector")
    )
    start()
    cluster.api.apply(leader_worker_set(namespace, size=2))
    script.change(lambda _: vllm(running=12))
    policy = Policy(cluster, namespace, spec(scaleTargetRef=LEADER_WORKER_SET, maxReplicas=2))
    replicas = Timeline(policy.replicas)
    replicas.reaches(2)
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 4)
    names = sorted(pod["metadata"]["name"] for pod in pods_of(cluster, namespace))
    assert names == ["vllm-0", "vllm-0-1", "vllm-1", "vllm-1-1"]
    script.change(lambda name: vllm(running=1) if name.count("-") == 1 else vllm(running=99))
    replicas.reaches(1, within=40)
