"""Policies that change while they are in force, and targets that somebody else scales."""

from __future__ import annotations

import pytest

from tests.e2e.manifests import deployment
from tests.e2e.policies import Policy, decisions, spec
from tests.e2e.scripted import vllm
from tests.e2e.timeline import Timeline
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("crd")]


def message(policy, kind):
    return next(c["message"] for c in policy.status()["conditions"] if c["type"] == kind)


def test_an_edit_is_in_force_without_a_restart(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    script.change(lambda _: vllm(running=50))
    start()
    policy = Policy(cluster, namespace, spec(maxReplicas=3))
    replicas = Timeline(policy.replicas)
    replicas.reaches(3)
    policy.edit(maxReplicas=5)
    replicas.reaches(5)
    policy.edit(mode="Paused", maxReplicas=9)
    generation = cluster.api.get(policy.path)["metadata"]["generation"]
    eventually(lambda: policy.status()["observedGeneration"] == generation, within=40)
    assert replicas.look() == 5
    policy.edit(mode="Active", maxReplicas=2)
    replicas.reaches(2)
    cluster.api.delete(policy.path)
    Policy(cluster, namespace, spec(maxReplicas=6))
    replicas.reaches(6)


def test_a_broken_edit_leaves_the_last_good_policy_in_force(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    controller = start()
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: policy.condition("Accepted")[0] == "True", within=30)
    broken = {"name": "night", "cron": "0 25 * * *", "durationSeconds": 3600, "minReplicas": 2}
    policy.edit(minReplicas=3, schedules=[broken])
    eventually(lambda: policy.condition("Accepted")[0] == "False", within=40)
    assert "25" in message(policy, "Accepted")
    script.change(lambda _: vllm(running=50))
    eventually(lambda: policy.replicas() == 4, within=30)
    seen = decisions(controller)
    policy.edit(minReplicas=1, maxReplicas=2, schedules=None)
    eventually(lambda: policy.replicas() == 2, within=30)
    assert decisions(controller) > seen


def test_what_an_hpa_scales_is_left_to_it(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    hpas = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}
    hpa = {"metadata": {"name": "rival"}, "spec": {"scaleTargetRef": target, "maxReplicas": 1}}
    cluster.api.post(hpas, hpa)
    script.change(lambda _: vllm(running=50))
    controller = start()
    policy = Policy(cluster, namespace, spec())
    eventually(lambda: policy.condition("Contested") == ("True", "AnotherOwner"), within=30)
    assert f"HorizontalPodAutoscaler {namespace}/rival" in message(policy, "Contested")
    eventually(
        lambda: decisions(controller, "AboveTarget", "ScaleUpLimit", "TooManyReplicas") >= 3, within=30
    )
    assert policy.replicas() == 1
    eventually(lambda: "AnotherOwner" in {event["reason"] for event in policy.events()})
    cluster.api.delete(f"{hpas}/rival")
    eventually(lambda: policy.replicas() == 4, within=30)


def test_a_dry_run_beside_an_hpa_compares_and_warns_of_nothing(cluster, namespace, script, start):
    cluster.api.apply(deployment(namespace))
    hpas = f"/apis/autoscaling/v2/namespaces/{namespace}/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}
    hpa = {"metadata": {"name": "live"}, "spec": {"scaleTargetRef": target, "maxReplicas": 1}}
    cluster.api.post(hpas, hpa)
    script.change(lambda _: vllm(running=30))
    controller = start()
    policy = Policy(cluster, namespace, spec(mode="DryRun"))
    eventually(lambda: policy.condition("Contested") == ("False", "LookingOn"), within=30)
    assert f"HorizontalPodAutoscaler {namespace}/live" in message(policy, "Contested")
    labels = f'policy="chat",policy_namespace="{namespace}"'
    difference = f"vllm_autoscaler_dry_run_difference_replicas{{{labels}}}"
    eventually(lambda: controller.metric(difference) == 2, within=30)
    assert policy.replicas() == 1
    assert "AnotherOwner" not in {event["reason"] for event in policy.events()}


GPUS = {
    "signal": "gpuUtilization",
    "target": {"type": "PodsAverage", "averageValue": "0.5"},
    "maxAgeSeconds": 10,
}


def test_a_policy_on_the_gpus_metrics(cluster, namespace, fleet, endpoints, prometheus, start):
    start()
    cluster.api.apply(deployment(namespace))
    exporter = fleet.export_gpus(namespace)
    scraped = {"namespace": "gpu-operator", "pod": "dcgm-exporter"}
    endpoints.others.append({"targets": [exporter], "labels": scraped})
    try:
        guards = {"remainingCapacity": {"enabled": False}}
        policy = Policy(cluster, namespace, spec(metrics=[GPUS], maxReplicas=2, guards=guards))
        series = f'DCGM_FI_DEV_GPU_UTIL{{exported_namespace="{namespace}"}}'
        eventually(lambda: prometheus.query(series), within=30)
        assert policy.replicas() == 1
        fleet.keep(4)
        eventually(lambda: policy.replicas() == 2, within=40)
        fleet.keep(0)
        eventually(lambda: policy.replicas() == 1, within=60)
    finally:
        endpoints.others.clear()
