"""Metric servers that say too little, too much, or what is not yet: nothing is taken away, nothing stuck."""

from __future__ import annotations

import time

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.policies import HASTY, Policy, decisions, more_decisions, spec
from tests.e2e.scripted import vllm
from tests.servers.eventually import eventually
from tests.servers.prometheus_proxy import PrometheusProxy, says

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

REMARKS = [
    "PromQL info: metric might not be a counter, name does not end in _total: vllm:num_requests_running",
    "PromQL warning: encountered a mix of histograms and floats",
]


@pytest.fixture
def source(prometheus):
    with PrometheusProxy(prometheus.url) as proxy:
        yield proxy


@pytest.fixture
def three(cluster, namespace, script, source, start):
    """Three replicas that are content, and would be two too many if their load were 0."""
    cluster.api.apply(deployment(namespace, replicas=3))
    script.change(lambda _: vllm(running=10))
    controller = start(source=source.url)
    policy = Policy(cluster, namespace, spec(behavior=HASTY, maxReplicas=8))
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
    return policy, controller


def falls_to_one_when_idle(policy, script):
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=60)


def test_an_answer_that_is_partial_by_its_own_word_takes_nothing_away(three, source, script):
    policy, controller = three
    source.lie = says(0, isPartial=True)
    more_decisions(controller, 5)
    assert policy.replicas() == 3
    assert policy.status()["lastDecision"]["reason"] == "IncompleteData"
    source.lie = None
    falls_to_one_when_idle(policy, script)


def test_remarks_about_a_query_are_no_missing_data(three, source, script):
    policy, _ = three
    source.lie = says(infos=REMARKS, warnings=REMARKS)
    falls_to_one_when_idle(policy, script)


def test_samples_from_the_future_are_not_fresh_until_then(three, source, script):
    """They were frozen when nothing ran, by a server whose clock is a minute ahead; data is good for 5 s."""
    policy, controller = three
    source.lie = says(0, time.time() + 55)
    more_decisions(controller, 15)
    assert policy.replicas() == 3
    assert policy.condition("ScalingActive")[0] == "False"
    source.lie = None
    falls_to_one_when_idle(policy, script)


def test_pods_that_two_jobs_scrape_count_once(three, namespace, script, endpoints, prometheus):
    policy, controller = three
    again = [
        {"targets": [pod.address], "labels": {"namespace": namespace, "pod": name, "job": "again"}}
        for name, pod in script.pods.items()
    ]
    endpoints.others += again
    try:
        running = f'vllm:num_requests_running{{namespace="{namespace}"}}'
        eventually(lambda: len(prometheus.query(running)) == 6, within=30)
        more_decisions(controller, 8)
        assert policy.replicas() == 3
    finally:
        for target in again:
            endpoints.others.remove(target)
    falls_to_one_when_idle(policy, script)
