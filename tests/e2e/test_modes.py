"""A pause, a freeze of one direction, and a fallback after metrics have failed for a while."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.outages import stopped
from tests.e2e.pod_faults import shown
from tests.e2e.policies import HASTY, Policy, decisions, more_decisions, spec
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


@pytest.fixture
def begin(cluster, namespace, script, prometheus, start):
    """Starts a controller with two replicas that are content, each with a load of 10."""

    def begun(**fields):
        cluster.api.apply(deployment(namespace, replicas=2))
        script.change(lambda _: vllm(running=10))
        eventually(lambda: shown(prometheus, namespace) == [10, 10])
        controller = start()
        policy = Policy(cluster, namespace, spec(behavior=HASTY, **fields))
        eventually(lambda: policy.condition("ScalingActive")[1] in ("ValidMetricFound", "Paused"))
        return controller, policy, Timeline(policy.replicas)

    return begun


def decided_last(policy):
    return policy.status()["lastDecision"]["reason"]


def test_a_pause_keeps_the_replicas_whatever_the_load(begin, script):
    controller, policy, replicas = begin(mode="Paused")
    eventually(lambda: policy.condition("ScalingActive") == ("False", "Paused"))
    script.change(lambda _: vllm(running=20))
    more_decisions(controller, 6)
    assert replicas.look() == 2
    policy.edit(mode="Active")
    replicas.reaches(4)

    policy.edit(mode="Paused")
    eventually(lambda: policy.condition("ScalingActive") == ("False", "Paused"))
    script.change(lambda _: vllm(running=0))
    more_decisions(controller, 6)
    assert replicas.look() == 4
    policy.edit(mode="Active")
    replicas.reaches(1)
    assert "Paused" not in {event["reason"] for event in policy.events()}, "a pause is no problem"


@pytest.mark.parametrize(("freeze", "load", "then"), [("ScaleUp", 20, 4), ("ScaleDown", 0, 1)])
def test_a_freeze_forbids_one_direction(begin, script, freeze, load, then):
    controller, policy, replicas = begin(freeze=freeze)
    script.change(lambda _: vllm(running=load))
    eventually(lambda: decisions(controller, "Frozen") >= 3)
    assert replicas.look() == 2
    eventually(lambda: decided_last(policy) == "Frozen")
    policy.edit(freeze="None")
    replicas.reaches(then)


@pytest.mark.parametrize(("freeze", "load", "then"), [("ScaleUp", 0, 1), ("ScaleDown", 20, 4)])
def test_a_freeze_leaves_the_other_direction_free(begin, script, freeze, load, then):
    _, _, replicas = begin(freeze=freeze)
    script.change(lambda _: vllm(running=load))
    replicas.reaches(then)


AFTER = 3


@pytest.mark.parametrize(
    ("fallback", "then", "load", "at_last"),
    [
        ({"replicas": 4}, 4, 0, 1),
        ({"replicas": 1}, 2, 0, 1),
        ({"replicas": 1, "behavior": "Static"}, 1, 20, 4),
    ],
    ids=["more", "never less", "less where that is asked for"],
)
def test_a_fallback_after_metrics_have_failed_for_a_while(
    begin, prometheus, script, fallback, then, load, at_last
):
    controller, policy, replicas = begin(fallback=fallback | {"afterSeconds": AFTER})
    with stopped(prometheus):
        script.change(lambda _: vllm(running=load))
        eventually(lambda: decisions(controller, *FAILED) >= 1)
        replicas.reaches(then)
        more_decisions(controller, AFTER + 2)  # at most one a second
        assert replicas.values == ([2] if then == 2 else [2, then])
        if then != 2:
            eventually(lambda: "Fallback" in policy.story())
            assert waited_s(policy) >= AFTER - 1
        eventually(lambda: policy.condition("ScalingActive")[0] == "False")
    replicas.reaches(at_last, within=60)
    eventually(lambda: policy.condition("ScalingActive")[0] == "True")  # written after the replicas


FAILED = ("StaleMetric", "FailedGetPodsMetric")


def waited_s(policy):
    """From the first decision without a metric to the fallback; a status has whole seconds."""
    past = policy.status()["pastDecisions"]
    failed, fell_back = (
        next(one["since"] for one in past if one["reason"] in reasons) for reasons in (FAILED, ("Fallback",))
    )
    return (datetime.fromisoformat(fell_back) - datetime.fromisoformat(failed)).total_seconds()
