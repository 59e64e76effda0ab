"""Watches that are open and say nothing, or say it late: what is believed, and how work goes on."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.client.reflector import WatchTimings
from tests.e2e.kube_world import pod, watching
from tests.e2e.manifests import deployment, pods_of
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.ranking import is_ready
from tests.e2e.scripted import vllm
from tests.servers.api_proxy import Fault, Refusal, calls, watches
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]

QUICK = WatchTimings(watch=3, silence=6.0, max_age=4.0, longest_backoff=1.0)
FAST = {
    "scaleUp": {"policies": [{"type": "Pods", "value": 5, "periodSeconds": 1}]},
    "scaleDown": {
        "stabilizationWindowSeconds": 5,
        "policies": [{"type": "Pods", "value": 5, "periodSeconds": 1}],
    },
}
WRITES = calls("PATCH", "/deployments/", "/scale")


@pytest.fixture
def controller(cluster, namespace, through, start, script):
    """Behind the proxy; two pods have the load that two pods should have."""
    script.change(lambda _: vllm(running=10))
    cluster.api.apply(deployment(namespace, replicas=2))
    eventually(lambda: ready(cluster, namespace) == 2, within=60)
    return start(kubeconfig=through)


def ready(cluster, namespace):
    return sum(map(is_ready, pods_of(cluster, namespace)))


def content(cluster, namespace, controller, **more):
    """A policy that has looked twice and leaves the two replicas as they are."""
    policy = Policy(cluster, namespace, spec(maxReplicas=6, behavior=FAST, **more))
    eventually(lambda: decisions(controller, "WithinTolerance") >= 2, within=60)
    return policy


@contextmanager
def touched(cluster, policy, seconds):
    """Somebody else writes the target's status again and again."""
    over = threading.Event()

    def touch():
        number = 1000
        while not over.wait(seconds):
            number += 1
            cluster.api.patch(f"{policy.target}/status", {"status": {"observedGeneration": number}})

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def falls_to_one_when_idle(policy, script):
    script.change(lambda _: vllm(running=0))
    eventually(lambda: policy.replicas() == 1, within=60)


def test_new_pods_of_which_a_silent_watch_says_nothing_are_not_taken_away(
    cluster, namespace, proxy, controller, script
):
    """The old pods are idle and the new ones full; who knows the old ones alone takes three away."""
    policy = content(cluster, namespace, controller, guards={"pendingReplicas": {"timeoutSeconds": 8}})
    old = set(script.pods)
    with proxy.fault(watches("pods"), Fault(silent=True)):
        script.change(lambda name: vllm(running=25 if name in old else 20))
        eventually(lambda: policy.replicas() >= 5, within=30)
        eventually(lambda: ready(cluster, namespace) >= 5, within=30)
        script.change(lambda name: vllm(running=1 if name in old else 20))
        enough = decisions(controller) + 20
        eventually(lambda: decisions(controller) >= enough, within=60)
        assert policy.replicas() >= 5
        assert policy.condition("PodsKnown") == ("False", "FewerPodsThanReplicas")
        assert "FewerPodsThanReplicas" in {event["reason"] for event in policy.events()}
    falls_to_one_when_idle(policy, script)


def test_after_a_conflict_a_silent_watch_of_the_targets_is_not_asked_again(
    cluster, namespace, proxy, controller, script
):
    policy = content(cluster, namespace, controller)
    with proxy.fault(watches("deployments"), Fault(silent=True)):
        cluster.api.patch(policy.target, {"metadata": {"annotations": {"touched": "once"}}})
        script.change(lambda _: vllm(running=25))
        eventually(lambda: policy.replicas() == 5, within=30)
        assert len(proxy.seen(WRITES)) <= 6
    falls_to_one_when_idle(policy, script)


def test_a_target_that_changes_faster_than_its_watch_is_scaled_all_the_same(
    cluster, namespace, proxy, controller, script
):
    policy = content(cluster, namespace, controller)
    with (
        proxy.fault(watches("deployments"), Fault(lag=2.0)),
        touched(cluster, policy, seconds=1.0),
    ):
        script.change(lambda _: vllm(running=25))
        eventually(lambda: policy.replicas() == 5, within=30)
        falls_to_one_when_idle(policy, script)
        assert len(proxy.seen(WRITES)) <= 20
    script.change(lambda _: vllm(running=20))
    eventually(lambda: policy.replicas() == 2, within=30)


def test_what_a_silent_watch_does_not_say_a_list_does(cluster, namespace, proxy, through):
    """And where neither says anything, the copy is as old as the last word, however new its connections."""
    path = f"/api/v1/namespaces/{namespace}/pods"
    lists = calls("GET", path, "/pods")
    with watching(through, namespace, pace=QUICK) as copies:
        eventually(lambda: names(copies, namespace) == set())
        with proxy.fault(watches("pods"), Fault(silent=True)):
            cluster.api.post(path, pod("unheard"))
            eventually(lambda: names(copies, namespace) == {"unheard"}, within=30)
            with proxy.fault(lists, Fault(refusal=Refusal(503, "ServiceUnavailable"))):
                cluster.api.post(path, pod("unseen"))
                eventually(lambda: names(copies, namespace) is None, within=30)
                asked = len(proxy.calls)
                eventually(lambda: len(proxy.calls) >= asked + 3, within=30)
                assert names(copies, namespace) is None
        eventually(lambda: names(copies, namespace) == {"unheard", "unseen"}, within=30)
        cluster.api.delete(path)
        eventually(lambda: names(copies, namespace) == set(), within=30)


def names(copies, namespace):
    """The pods that are known; None where none can be relied on."""
    try:
        return {one.name for one in copies.targets.pods(namespace, "app=vllm")}
    except ClusterError:
        return None
