from __future__ import annotations

from functools import partial

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.client.informer import Informer
from autoscaler.kube.client.references import WorkloadRef
from autoscaler.kube.conflicts import HPA_COLLECTION, KEDA_COLLECTION, KubeScalerConflicts, ScalerObjects
from autoscaler.kube.watched_policies import COLLECTION, KubePolicies, PolicyObjects
from autoscaler.ports.policies import Conflict, StoredPolicy
from tests.kube.objects import policy, scaler

VLLM = WorkloadRef("chat", "apps", "Deployment", "vllm")
DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "vllm"}


def test_an_hpa_claims_the_workload_that_it_refers_to():
    hpas = ScalerObjects("HorizontalPodAutoscaler")
    hpas.put(scaler("a", **DEPLOYMENT))
    assert hpas.scaling(VLLM) == ["HorizontalPodAutoscaler chat/a"]


@pytest.mark.parametrize(
    ("namespace", "changed"),
    [
        ("code", {}),
        ("chat", {"kind": "StatefulSet"}),
        ("chat", {"apiVersion": "example.com/v1"}),
        ("chat", {"name": "other"}),
    ],
)
def test_what_only_looks_alike_is_no_claim(namespace, changed):
    hpas = ScalerObjects("HorizontalPodAutoscaler")
    hpas.put(scaler("a", namespace, **{**DEPLOYMENT, **changed}))
    assert hpas.scaling(VLLM) == []


def test_two_versions_of_a_kind_are_one():
    hpas = ScalerObjects("HorizontalPodAutoscaler")
    hpas.put(scaler("a", **{**DEPLOYMENT, "apiVersion": "apps/v1beta2"}))
    assert hpas.scaling(VLLM) == ["HorizontalPodAutoscaler chat/a"]


def test_keda_means_a_deployment_when_it_says_nothing_else():
    objects = ScalerObjects("ScaledObject")
    objects.put(scaler("a", name="vllm"))
    assert objects.scaling(VLLM) == ["ScaledObject chat/a"]


def test_an_object_that_says_nothing_claims_nothing_and_harms_nobody():
    objects = ScalerObjects("ScaledObject")
    objects.replace([{"metadata": {"name": "empty", "namespace": "chat"}}, scaler("a", name="vllm")])
    assert objects.scaling(VLLM) == ["ScaledObject chat/a"]


def test_a_claim_ends_with_its_object_or_its_reference():
    hpas = ScalerObjects("HorizontalPodAutoscaler")
    hpas.replace([scaler("a", **DEPLOYMENT), scaler("b", **DEPLOYMENT)])
    hpas.put(scaler("a", **{**DEPLOYMENT, "name": "other"}))
    assert hpas.scaling(VLLM) == ["HorizontalPodAutoscaler chat/b"]
    hpas.drop(scaler("b", **DEPLOYMENT))
    hpas.replace([scaler("a", **DEPLOYMENT)])
    assert hpas.scaling(VLLM) == ["HorizontalPodAutoscaler chat/a"]
    hpas.replace([])
    assert hpas.scaling(VLLM) == []


# Policies of one workload


def older(name: str, *objects: dict) -> list[str]:
    found = PolicyObjects()
    found.replace(objects)
    (stored,) = [one for one in found.all() if one.name == name]
    assert isinstance(stored, StoredPolicy)
    return found.older(stored, VLLM)


FIRST = policy("b", created="2026-03-01T08:30:00Z")
LATER = policy("a", created="2026-03-01T09:30:00Z")


def test_of_two_policies_the_older_one_owns_the_workload():
    assert older("a", FIRST, LATER) == ["b"]
    assert older("b", FIRST, LATER) == []


def test_of_two_of_one_age_the_first_by_name_does():
    assert older("b", FIRST, policy("a", created="2026-03-01T08:30:00Z")) == ["a"]


@pytest.mark.parametrize(
    "spec",
    [
        {"mode": "DryRun"},
        {"mode": "Paused"},
        {"minReplicas": 11},
        {"scaleTargetRef": {"kind": "Deployment", "name": "other"}},
    ],
)
def test_an_older_policy_that_does_not_write_it_is_no_rival(spec):
    assert older("a", policy("b", created="2026-03-01T08:30:00Z", spec=spec), LATER) == []


# All together


class Meddled:
    """Targets whose replicas somebody else changes."""

    def workloads(self, _target):
        return self

    def foreign_writers(self, *_):
        return {"gitops": 4}


class Unwatched:
    def workloads(self, _target):
        return None


def serve(double, path, *objects):
    body = {"metadata": {"resourceVersion": "1"}, "items": list(objects)}
    double.on("GET", path, lambda call: call.json(body))


def watch(double, path, sink, **options):
    watched = Informer(double.api(), path, (), sink, **options)
    watched.start()
    assert watched.wait(30)
    return watched


def test_everybody_who_scales_it_is_named(double):
    serve(double, HPA_COLLECTION, scaler("h", **DEPLOYMENT))
    serve(double, KEDA_COLLECTION, scaler("k", name="vllm"))
    serve(double, COLLECTION, FIRST, LATER)
    scalers = [
        watch(double, HPA_COLLECTION, partial(ScalerObjects, "HorizontalPodAutoscaler")),
        watch(double, KEDA_COLLECTION, partial(ScalerObjects, "ScaledObject")),
    ]
    policies = watch(double, COLLECTION, PolicyObjects)
    owners = KubeScalerConflicts(scalers, KubePolicies(double.api(), policies), Meddled())
    stored, _ = policies.at("chat").all()
    assert owners.conflicts(stored) == [
        Conflict("HorizontalPodAutoscaler chat/h", "its scaleTargetRef is the same workload"),
        Conflict("ScaledObject chat/k", "its scaleTargetRef is the same workload"),
        Conflict("ScalingPolicy chat/b", "it comes first and scales the same workload"),
        Conflict("field manager gitops", "it changed the replicas 4 times recently"),
    ]
    for watched in (*scalers, policies):
        watched.stop()


def test_without_keda_and_without_rivals_nobody_claims_it(double):
    serve(double, HPA_COLLECTION)
    serve(double, COLLECTION, FIRST)
    scalers = [
        watch(double, HPA_COLLECTION, partial(ScalerObjects, "HorizontalPodAutoscaler")),
        watch(double, KEDA_COLLECTION, partial(ScalerObjects, "ScaledObject"), optional=True),
    ]
    policies = watch(double, COLLECTION, PolicyObjects)
    (stored,) = policies.at("chat").all()
    owners = KubeScalerConflicts(scalers, KubePolicies(double.api(), policies), Unwatched())
    assert owners.conflicts(stored) == []
    for watched in (*scalers, policies):
        watched.stop()


def test_nobody_knows_before_the_first_list(double):
    watched = Informer(double.api(), HPA_COLLECTION, (), partial(ScalerObjects, "HorizontalPodAutoscaler"))
    policies = KubePolicies(double.api(), Informer(double.api(), COLLECTION, (), PolicyObjects))
    objects = PolicyObjects()
    objects.put(FIRST)
    with pytest.raises(ClusterError, match="was not read yet"):
        KubeScalerConflicts([watched], policies, Unwatched()).conflicts(objects.all()[0])
    with pytest.raises(ClusterError, match="was not read yet"):
        KubeScalerConflicts([], policies, Unwatched()).conflicts(objects.all()[0])
