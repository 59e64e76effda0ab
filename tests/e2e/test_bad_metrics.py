"""Samples that are about nobody, or about the dead, change nothing. More faults: test_fault_matrix."""

from __future__ import annotations

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.pod_faults import one_is_busy, shown
from tests.e2e.policies import HASTY, MAX_AGE, Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


@pytest.fixture
def three(cluster, namespace, script, prometheus, start):
    """A policy that is content with three replicas, its controller, and the one pod that is busy."""
    cluster.api.apply(deployment(namespace, replicas=3))
    (busy,) = one_is_busy(prometheus, namespace, script, ["vllm"])
    controller = start()
    policy = Policy(cluster, namespace, spec(behavior=HASTY))
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=30)
    assert policy.replicas() == 3
    return policy, controller, busy


def keeps_deciding(controller, policy, replicas):
    """At least three more decisions, none of which changes the replicas."""
    seen = decisions(controller)
    eventually(lambda: decisions(controller) >= seen + 3, within=30)
    assert policy.replicas() == replicas


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
    policy, controller, _ = three
    endpoints.labels[namespace] = lambda pod: wrong(namespace, pod["metadata"]["name"])
    right = f'vllm:num_requests_running{{namespace="{namespace}",pod=~"{"|".join(script.pods)}"}}'
    eventually(lambda: not prometheus.query(f"timestamp({right}) > time() - {MAX_AGE}"), within=20)
    script.change(lambda _: vllm(running=load))
    keeps_deciding(controller, policy, 3)


def test_a_pod_that_is_scraped_twice_counts_once(three, namespace, script, endpoints, prometheus):
    """By two Services, as a ServiceMonitor that selects both does: twice the load would be 6 replicas."""
    policy, controller, busy = three
    once = {"namespace": namespace, "pod": busy}
    group = {"targets": [script.pods[busy].address], "labels": once | {"service": "vllm-headless"}}
    endpoints.others.append(group)
    try:
        eventually(lambda: len(shown(prometheus, namespace)) == 4, within=30)
        keeps_deciding(controller, policy, 3)
    finally:
        endpoints.others.remove(group)


def test_a_dead_pod_that_is_still_scraped_does_not_count(
    three, cluster, namespace, script, endpoints, prometheus
):
    policy, controller, busy = three
    endpoints.lingering.add(namespace)
    dead = max(script.pods.keys() - {busy})
    cluster.api.delete(f"/api/v1/namespaces/{namespace}/pods/{dead}", {"gracePeriodSeconds": 0})
    eventually(lambda: len(script.pods) == 4)
    script.pods[dead].text = vllm(waiting=500)
    eventually(lambda: prometheus.query(f'vllm:num_requests_waiting{{namespace="{namespace}"}} == 500'))
    eventually(lambda: len(shown(prometheus, namespace)) == 4)
    keeps_deciding(controller, policy, 3)
