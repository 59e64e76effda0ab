"""Load rises and falls on emulated vLLM servers, and the controller follows, as its policy says."""

from __future__ import annotations

import time

import pytest

from tests.e2e.manifests import deployment, pods_of
from tests.e2e.policies import Policy, spec
from tests.e2e.ranking import is_ready
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


def test_load_rises_and_falls(cluster, namespace, fleet, prometheus, start):
    start()
    cluster.api.apply(deployment(namespace, ready_after="3s"))
    policy = Policy(cluster, namespace, spec())
    replicas = Timeline(policy.replicas)
    eventually(lambda: policy.condition("ScalingActive")[0] == "True", within=30)

    fleet.keep(28)
    replicas.reaches(3)
    ready = f'count(vllm:num_requests_running{{namespace="{namespace}"}})'
    eventually(lambda: prometheus.query(ready)[0][1] == 3, within=30)
    assert replicas.look() == 3, "while replicas start, more are not ordered for the same load"

    fleet.keep(4)
    fell = time.monotonic()
    replicas.reaches(1)
    assert "ScaleDownStabilized" in policy.story()
    assert replicas.values[-3:] == [3, 2, 1], "down by one pod at a time"
    *_, (first, _), (second, _) = replicas.changes
    assert first - fell > 3, "the highest recommendation of the last 5 s, and samples that are up to 2 s old"
    assert second - first > 1, "one pod every 2 s"
    eventually(lambda: [is_ready(pod) for pod in pods_of(cluster, namespace)] == [True], within=30)
    told = [f"New size: {size}" for size in replicas.values[1:]]
    eventually(lambda: sizes(policy) == told)


def sizes(policy):
    scalings = [event for event in policy.events() if event["reason"] == "SuccessfulRescale"]
    return [event["message"].split(";")[0] for event in scalings]
