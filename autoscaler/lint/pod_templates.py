"""The pods that a workload makes, as its manifest has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.api.rules import FieldPath
from autoscaler.documents.manifests import Manifest
from autoscaler.workload_kinds import WORKLOAD_KINDS

_TEMPLATES = {kind.name: kind.templates for kind in WORKLOAD_KINDS}
_USUAL_TEMPLATE: tuple[FieldPath, ...] = (("spec", "template"),)


def templates(manifest: Manifest) -> Iterator[FieldPath]:
    """Where the pod templates are; of a group those of leader and workers."""
    for path in _TEMPLATES.get(manifest.kind, _USUAL_TEMPLATE):
        if manifest.at(*path) is not None:
            yield path


def containers(manifest: Manifest) -> Iterator[tuple[FieldPath, Mapping[str, Any]]]:
    """The containers of every template, with the path of each."""
    for template in templates(manifest):
        path = (*template, "spec", "containers")
        for index, container in enumerate(manifest.at(*path) or ()):
            if isinstance(container, dict):
                yield (*path, index), container


def labels_of(manifest: Manifest, template: FieldPath) -> dict[str, Any]:
    """The labels of a template's pods."""
    labels = manifest.at(*template, "metadata", "labels")
    return {**(labels if isinstance(labels, dict) else {}), **_given_labels(manifest)}


def _given_labels(manifest: Manifest) -> dict[str, str]:
    """The labels that the controller of a kind adds to the pods that serve."""
    if manifest.kind != "LeaderWorkerSet":
        return {}
    return {
        "leaderworkerset.sigs.k8s.io/name": manifest.name,
        "leaderworkerset.sigs.k8s.io/worker-index": "0",
    }
