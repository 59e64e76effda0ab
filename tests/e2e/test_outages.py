"""The API server, etcd and Prometheus stop, hang and come back: no replica is lost, and work goes on."""

from __future__ import annotations

import pytest
import requests
import urllib3
from kubernetes.client import ApiException

from tests.e2e.manifests import deployment, pods_of
from tests.e2e.outages import hanging, slowed, stopped
from tests.e2e.policies import HASTY, Policy, decisions, spec
from tests.e2e.ranking import is_ready
from tests.e2e.scripted import vllm
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


@pytest.fixture
def busy(cluster, namespace, script, start):
    """Three replicas that are content, and would be two too many if their load were 0."""
    cluster.api.apply(deployment(namespace, replicas=3))
    script.change(lambda _: vllm(running=10))
    controller = start()
    policy = Policy(cluster, namespace, spec(behavior=HASTY, maxReplicas=8))
    eventually(lambda: sum(map(is_ready, pods_of(cluster, namespace))) == 3)
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=30)
    return policy, controller


def ordered(policy):
    """The replicas; 0 while the API server cannot say."""
    try:
        return policy.replicas()
    except (ApiException, urllib3.exceptions.HTTPError):
        return 0


OUTAGES = {"stopped": stopped, "hanging": hanging}


@pytest.mark.parametrize("outage", OUTAGES)
def test_without_prometheus_replicas_stay_and_then_follow_again(busy, prometheus, script, outage):
    policy, controller = busy
    with OUTAGES[outage](prometheus):
        script.change(lambda _: vllm(running=0))
        eventually(lambda: decisions(controller, "StaleMetric", "FailedGetPodsMetric") >= 5, within=60)
        assert policy.replicas() == 3
        eventually(lambda: policy.condition("ScalingActive")[0] == "False", within=40)
        script.change(lambda _: vllm(running=20))
    eventually(lambda: policy.replicas() >= 6, within=60)


@pytest.mark.parametrize("outage", OUTAGES)
def test_without_the_api_server_it_waits_and_then_follows_again(busy, composed, script, outage):
    policy, controller = busy
    with OUTAGES[outage](composed.apiserver):
        script.change(lambda _: vllm(running=20))
        eventually(
            lambda: controller.metric('vllm_autoscaler_errors_total{reason="FailedUpdateScale"}'), within=60
        )
        assert requests.get(f"{controller.url}/healthz", timeout=5).ok
    eventually(lambda: ordered(policy) >= 6, within=90)


def test_while_the_store_hangs_nothing_is_lost(busy, composed, script):
    policy, controller = busy
    with hanging(composed.etcd):
        script.change(lambda _: vllm(running=20))
        eventually(
            lambda: controller.metric('vllm_autoscaler_errors_total{reason="FailedUpdateScale"}'), within=60
        )
    eventually(lambda: ordered(policy) >= 6, within=90)


def test_a_watch_that_has_expired_is_begun_anew(busy, composed):
    policy, controller = busy
    composed.apiserver.watch_cache = False
    composed.apiserver.restart()
    try:
        for replicas in (4, 5):
            policy.edit(minReplicas=replicas)
        composed.etcd.compact()
        composed.apiserver.restart()
        eventually(lambda: ordered(policy) == 5, within=60)
        seen = decisions(controller)
        policy.edit(minReplicas=6)
        eventually(lambda: ordered(policy) == 6, within=60)
        assert decisions(controller) > seen
    finally:
        composed.apiserver.watch_cache = True
        composed.apiserver.restart()


def test_a_controller_that_is_started_anew_takes_nothing_away(busy, script, prometheus):
    policy, controller = busy
    prometheus.stop()
    try:
        controller.kill()
        script.change(lambda _: vllm(running=0))
        controller.start()
        eventually(lambda: decisions(controller) >= 3, within=60)
        assert policy.replicas() == 3
    finally:
        prometheus.start()
    eventually(lambda: policy.replicas() == 1, within=60)


@pytest.mark.parametrize("which", ["prometheus", "apiserver", "etcd"])
def test_what_is_slow_is_waited_for(busy, composed, prometheus, script, which):
    policy, _ = busy
    with slowed(prometheus if which == "prometheus" else getattr(composed, which)):
        script.change(lambda _: vllm(running=20))
        eventually(lambda: ordered(policy) >= 6, within=60)
