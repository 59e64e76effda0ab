"""A query of one's own can read every tenant's metrics: only where an administrator allows it."""

from __future__ import annotations

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, more_decisions, spec
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

ALONE = "--no-leader-election"


def asking(namespace):
    query = f'sum(vllm:num_requests_running{{namespace="{namespace}"}})'
    target = {"type": "AverageValue", "averageValue": 10}
    return spec(metrics=[{"name": "mine", "query": query, "target": target, "maxAgeSeconds": 5}])


def said(policy):
    return next(c["message"] for c in policy.status()["conditions"] if c["type"] == "ScalingActive")


def test_a_query_where_none_is_allowed_is_refused_and_changes_nothing(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace, replicas=2))
    script.change(lambda _: vllm(running=15))
    controller = start("elsewhere", ALONE, f"--allow-queries-in=not-{namespace}")
    policy = Policy(cluster, namespace, asking(namespace))
    replicas = Timeline(policy.replicas)
    eventually(lambda: policy.condition("ScalingActive") == ("False", "FailedGetExternalMetric"))
    reason = f"only signals may be asked from namespace {namespace}: see run --allow-queries-in"
    assert reason in said(policy)
    eventually(lambda: any(reason in event["message"] for event in policy.events()))
    more_decisions(controller)
    assert replicas.look() == 2

    controller.stop()
    start("here", ALONE, f"--allow-queries-in={namespace}")
    replicas.reaches(3)
    eventually(lambda: policy.condition("ScalingActive")[0] == "True")
