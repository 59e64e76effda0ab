"""Metrics that are wrong in every way there is never take a replica away; whole ones do."""

from __future__ import annotations

import time

import pytest

from tests.e2e.manifests import deployment, pods_of
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.ranking import is_ready
from tests.e2e.scripted import vllm
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

MAX_AGE = 5
HASTY = {"scaleDown": {"stabilizationWindowSeconds": 0}}
"""Only the guards are between a bad sample and a lost replica."""


@pytest.fixture
def three(cluster, namespace, script, start):
    """A policy that is content with three replicas, and will not wait before it takes one."""
    cluster.api.apply(deployment(namespace, replicas=3))
    script.change(lambda _: vllm(running=10))
    controller = start()
    policy = Policy(cluster, namespace, spec(behavior=HASTY))
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 3)
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=30)
    assert policy.replicas() == 3
    return policy, controller


def says(text):
    def fault(pod):
        pod.text = text

    return fault


def fails(pod):
    pod.status = 500


def hangs(pod):
    pod.delay = 3.0


def repeats_an_old_sample(pod):
    pod.text = vllm(running=f"0 {int((time.time() - 60) * 1000)}")


FAULTS = {
    "NaN": says(vllm(running="NaN")),
    "infinite": says(vllm(running="-Inf")),
    "no such metric": says("# TYPE other gauge\nother 1\n"),
    "no text": says(""),
    "not the format": says("<html>Bad gateway</html>\n"),
    "stale": repeats_an_old_sample,
    "fails": fails,
    "slow": hangs,
}


def fresh(prometheus, namespace, pod):
    """Samples of a pod's load that a policy may use."""
    series = f'vllm:num_requests_running{{namespace="{namespace}",pod="{pod}"}}'
    return prometheus.query(f"({series} == 10) and (timestamp({series}) > time() - {MAX_AGE})")


def keeps_deciding(controller, policy, replicas):
    """At least three more decisions, none of which changes the replicas."""
    seen = decisions(controller)
    eventually(lambda: decisions(controller) >= seen + 3, within=30)
    assert policy.replicas() == replicas


@pytest.mark.parametrize("fault", FAULTS)
def test_one_bad_pod_of_three_keeps_all_three(fault, three, namespace, script, prometheus):
    policy, controller = three
    bad = min(script.pods)
    FAULTS[fault](script.pods[bad])
    eventually(lambda: not fresh(prometheus, namespace, bad), within=20)
    for name, pod in script.pods.items():
        if name != bad:
            pod.text = vllm(running=0)
    idle = f'count(vllm:num_requests_running{{namespace="{namespace}",pod!="{bad}"}} == 0)'
    eventually(lambda: [value for _, value in prometheus.query(idle)] == [2])
    keeps_deciding(controller, policy, 3)

    script.pods[bad].status, script.pods[bad].delay = 200, 0.0
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=30)


@pytest.mark.parametrize(
    ("wrong", "load"),
    [
        (lambda namespace, pod: {"namespace": namespace, "pod": f"x-{pod}"}, 0),
        (lambda namespace, pod: {"namespace": f"x-{namespace}", "pod": pod}, 99),
        (lambda namespace, _: {"namespace": namespace}, 0),
    ],
    ids=["another pod", "another namespace", "no pod"],
)
def test_samples_with_wrong_labels_count_for_nobody(
    three, namespace, script, endpoints, prometheus, wrong, load
):
    policy, controller = three
    endpoints.labels[namespace] = lambda pod: wrong(namespace, pod["metadata"]["name"])
    eventually(lambda: not any(fresh(prometheus, namespace, pod) for pod in script.pods), within=20)
    script.change(lambda _: vllm(running=load))
    keeps_deciding(controller, policy, 3)
    assert decisions(controller, "FailedGetPodsMetric") >= 3


def test_a_dead_pod_that_is_still_scraped_does_not_count(
    three, cluster, namespace, script, endpoints, prometheus
):
    policy, controller = three
    endpoints.lingering.add(namespace)
    dead = min(script.pods)
    cluster.api.delete(f"/api/v1/namespaces/{namespace}/pods/{dead}", {"gracePeriodSeconds": 0})
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 3 and len(script.pods) == 4)
    script.change(lambda name: vllm(running=10, waiting=500 if name == dead else 0))
    shown = f'vllm:num_requests_waiting{{namespace="{namespace}"}} == 500'
    eventually(lambda: prometheus.query(shown))
    keeps_deciding(controller, policy, 3)
