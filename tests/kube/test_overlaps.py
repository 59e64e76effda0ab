"""HPA's AmbiguousSelector: who else selects the same pods."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from autoscaler.errors import ClusterError
from autoscaler.kube.conflicts import ScalerObjects
from autoscaler.kube.overlaps import LOOK_SECONDS, Overlaps
from autoscaler.kube.pods import PodIndex
from autoscaler.kube.watched_policies import PolicyObjects
from autoscaler.kube.workloads import WATCHED_KINDS, Workloads
from autoscaler.ports.policies import StoredPolicy

from .objects import deployment, pod, policy, scaler

SELECTOR = "app=vllm"
HPA = {"semantics": "HPA"}


@dataclass
class World:
    """A namespace with pods, Deployments, HPAs and policies; ``trouble``: its copies cannot be relied on."""

    hpas: ScalerObjects = field(default_factory=lambda: ScalerObjects("HorizontalPodAutoscaler"))
    objects: PolicyObjects = field(default_factory=PolicyObjects)
    deployments: Workloads = field(
        default_factory=lambda: Workloads(WATCHED_KINDS["apps/v1", "Deployment"][1])
    )
    pods: PodIndex = field(default_factory=PodIndex)
    now: float = 0.0
    trouble: bool = False

    def at(self, _namespace: str) -> ScalerObjects:
        if self.trouble:
            raise ClusterError("the copy is too old")
        return self.hpas

    def policies(self) -> list[StoredPolicy]:
        return [one for one in self.objects.all() if isinstance(one, StoredPolicy)]

    def workloads(self, _target: Any) -> Workloads:
        return self.deployments

    def labels(self, namespace: str, selector: str) -> list[Any]:
        return [entry.labels for entry in self.pods.entries(namespace, selector)]


@pytest.fixture
def world() -> World:
    made = World()
    made.objects.put(policy("chat", spec=HPA))
    made.deployments.replace(
        [deployment("vllm"), deployment("canary", selector={"matchLabels": {"track": "canary"}})]
    )
    made.pods.replace([pod("a"), pod("b", labels={"app": "vllm", "track": "canary"})])
    return made


def found(world: World, overlaps: Overlaps | None = None) -> list[str]:
    overlaps = overlaps or Overlaps(world, world, world, lambda: world.now)  # type: ignore[arg-type]
    stored = next(one for one in world.policies() if one.name == "chat")
    return list(overlaps.selecting(stored, SELECTOR))


def canary(own_name: str = "other", **changed: str) -> dict[str, Any]:
    return scaler(own_name, **{"apiVersion": "apps/v1", "kind": "Deployment", "name": "canary", **changed})


def canary_policy(**spec: Any) -> dict[str, Any]:
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "canary"}
    return policy("second", spec={"scaleTargetRef": ref, **spec})


def test_alone_it_is_alone(world):
    assert found(world) == []


def test_an_hpa_whose_target_selects_one_of_the_pods_is_found(world):
    world.hpas.put(canary())
    assert found(world) == ["HorizontalPodAutoscaler chat/other"]


def test_so_is_an_active_policy_of_its_kind(world):
    world.objects.put(canary_policy(**HPA))
    assert found(world) == ["ScalingPolicy chat/second"]


@pytest.mark.parametrize("spec", [{}, {**HPA, "mode": "DryRun"}, {**HPA, "mode": "Paused"}])
def test_a_policy_that_an_hpa_would_not_stop_for_is_none(world, spec):
    world.objects.put(canary_policy(**spec))
    assert found(world) == []


@pytest.mark.parametrize(
    "changed",
    [{"name": "vllm"}, {"name": "gone"}, {"kind": "Rollout", "apiVersion": "argoproj.io/v1alpha1"}],
    ids=["the same workload", "a workload that is not there", "a kind that is not watched"],
)
def test_what_selects_none_of_the_pods_of_another_workload_is_none(world, changed):
    world.hpas.put(canary(**changed))
    assert found(world) == []


def test_without_a_pod_of_both_nothing_overlaps(world):
    world.hpas.put(canary())
    world.pods.replace([pod("a"), pod("b", labels={"track": "canary"})])
    assert found(world) == []


def test_a_selector_without_a_plain_label_is_compared_as_well(world):
    expressions = [{"key": "app", "operator": "In", "values": ["vllm", "x"]}]
    world.deployments.put(deployment("canary", selector={"matchExpressions": expressions}))
    world.hpas.put(canary())
    assert found(world) == ["HorizontalPodAutoscaler chat/other"]


def test_a_look_is_good_for_a_while_and_an_old_one_better_than_none(world):
    overlaps = Overlaps(world, world, world, lambda: world.now)
    assert found(world, overlaps) == []
    world.hpas.put(canary())
    assert found(world, overlaps) == []
    world.now += LOOK_SECONDS + 1
    assert found(world, overlaps) == ["HorizontalPodAutoscaler chat/other"]
    world.hpas.replace([])
    world.trouble = True
    world.now += LOOK_SECONDS + 1
    assert found(world, overlaps) == ["HorizontalPodAutoscaler chat/other"]
    assert found(world) == [], "and where nothing was ever known, nothing is"
