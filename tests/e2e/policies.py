"""A ScalingPolicy in the API, in seconds where a cluster would have minutes, and what became of it."""

from __future__ import annotations

import requests
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.cluster import Cluster
from tests.e2e.controller import RunningController
from tests.servers.api import JSON
from tests.servers.eventually import eventually

MAX_AGE = 5
"""Seconds that a sample is good for."""

HASTY = {"scaleDown": {"stabilizationWindowSeconds": 0}}
"""A behavior with nothing but the guards between a bad sample and a lost replica."""


class Policy:
    """One ScalingPolicy in the API, and the target that it scales."""

    def __init__(self, cluster: Cluster, namespace: str, spec: JSON, name: str = "chat") -> None:
        self._api = cluster.api
        self.namespace = namespace
        collection = f"/apis/vllm-autoscaler.io/v1alpha1/namespaces/{namespace}/scalingpolicies"
        self.name = name
        self.path = f"{collection}/{name}"
        ref = spec["scaleTargetRef"]
        version, plural = ref.get("apiVersion", "apps/v1"), f"{ref['kind'].lower()}s"
        self.target = f"/apis/{version}/namespaces/{namespace}/{plural}/{ref['name']}"
        self._api.apply(
            {
                "apiVersion": "vllm-autoscaler.io/v1alpha1",
                "kind": "ScalingPolicy",
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            }
        )

    def edit(self, **spec: object) -> None:
        """Changes fields of the spec."""
        self._api.patch(self.path, {"spec": spec})

    def replicas(self) -> int:
        """What the target is told to have."""
        return self._api.get(f"{self.target}/scale")["spec"].get("replicas", 0)

    def status(self) -> JSON:
        """What the controller says; empty before its first word."""
        return self._api.get(self.path).get("status", {})

    def story(self) -> list[str]:
        """The reasons of the last decisions, oldest first; a status is not written for each."""
        return [past["reason"] for past in self.status().get("pastDecisions", [])]

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        for condition in self.status().get("conditions", []):
            if condition["type"] == kind:
                return condition["status"], condition["reason"]
        return "", ""

    def events(self) -> list[JSON]:
        """The Events about the policy, oldest first."""
        found = self._api.get(f"/api/v1/namespaces/{self.namespace}/events")["items"]
        about = [event for event in found if event["involvedObject"]["name"] == self.name]
        return sorted(about, key=lambda event: event["firstTimestamp"] or "")


def spec(**more: object) -> JSON:
    """1 to 4 replicas on 10 requests a pod; more fields replace these."""
    return {
        "scaleTargetRef": {"kind": "Deployment", "name": "vllm"},
        "minReplicas": 1,
        "maxReplicas": 4,
        "syncPeriodSeconds": 1,
        "metrics": [
            {
                "signal": "running+waiting",
                "target": {"type": "PodsAverage", "averageValue": 10},
                "maxAgeSeconds": MAX_AGE,
            }
        ],
        "behavior": {
            "scaleUp": {"policies": [{"type": "Pods", "value": 4, "periodSeconds": 1}]},
            "scaleDown": {
                "stabilizationWindowSeconds": 5,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 2}],
            },
        },
        **more,
    }


def decisions(controller: RunningController, *reasons: str) -> float:
    """How many decisions a controller has made; only those for one of the reasons, if any are given."""
    page = requests.get(f"{controller.url}/metrics", timeout=5).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "vllm_autoscaler_decisions_total"
        and (not reasons or sample.labels["reason"] in reasons)
    )


def more_decisions(controller: RunningController, count: int = 3) -> None:
    """Waits for that many more."""
    seen = decisions(controller)
    eventually(lambda: decisions(controller) >= seen + count)
