"""A policy beside the manifests of its workload: what the rules about both look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autoscaler.documents.manifests import Manifest
from autoscaler.documents.policies import LoadedPolicy
from autoscaler.lint.pod_templates import labels_of, templates
from autoscaler.selectors import matches, selector_of

MONITORS = {
    "PodMonitoring": "endpoints",
    "ClusterPodMonitoring": "endpoints",
    "PodMonitor": "podMetricsEndpoints",
}
"""Kinds that say what is scraped, and where in their spec the ports are."""


@dataclass(frozen=True, slots=True)
class Compared:
    """A policy and the manifests that it is compared with."""

    loaded: LoadedPolicy
    manifests: Sequence[Manifest]

    @property
    def targets(self) -> list[Manifest]:
        """The manifests of the workload that the policy scales."""
        ref = self.loaded.policy.spec.scale_target_ref
        kind = (ref.api_version.rpartition("/")[0], ref.kind)
        return [one for one in self.namesakes if (one.group, one.kind) == kind]

    @property
    def namesakes(self) -> list[Manifest]:
        """The manifests that have the workload's name, of whatever kind."""
        name, namespace = self.loaded.policy.spec.scale_target_ref.name, self.loaded.policy.metadata.namespace
        return [one for one in self.manifests if one.name == name and together(namespace, one.namespace)]


@dataclass(frozen=True, slots=True)
class ComparedTarget(Compared):
    """One manifest of the workload, with what it is compared with."""

    target: Manifest

    @property
    def monitors(self) -> list[Manifest]:
        """The monitors that may scrape the target's pods; none where a ServiceMonitor may do so too."""
        if any(one.kind == "ServiceMonitor" for one in self.manifests):
            return []
        return [one for one in self.manifests if one.kind in MONITORS and self._reaches(one)]

    def _reaches(self, monitor: Manifest) -> bool:
        return monitor.kind == "ClusterPodMonitoring" or together(monitor.namespace, self.target.namespace)

    @property
    def selecting(self) -> list[Manifest]:
        """The monitors that select the target's pods."""
        template = next(templates(self.target), None)
        if template is None:
            return []
        labels = labels_of(self.target, template)
        return [
            one for one in self.monitors if matches(selector_of(one.at("spec", "selector") or {}), labels)
        ]


def together(one: str | None, other: str | None) -> bool:
    """True if two objects may be in one namespace; one that names none fits any."""
    return one is None or other is None or one == other
