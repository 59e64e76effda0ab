"""How clients find the metrics: group lists, resource lists, and both in one document. Pure.

Legacy discovery is what every client understands; the aggregated form (apidiscovery.k8s.io)
saves the aggregator its requests per version.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from autoscaler.adapter.wire import CUSTOM, LIST_KINDS, PODS, VERSIONS, GroupResource

AGGREGATED = "apidiscovery.k8s.io"
AGGREGATED_VERSIONS = ("v2", "v2beta1")

MetricNames = Mapping[str, Iterable[tuple[GroupResource | None, str]]]
"""By group: (the resource that a metric describes, its name). External metrics describe none."""


@dataclass(frozen=True, slots=True)
class Document:
    """A discovery document, with its media type and its entity tag."""

    body: bytes
    media_type: str = "application/json"

    @property
    def etag(self) -> str:
        """Changes when the document does."""
        return f'"{sha256(self.body).hexdigest()[:32].upper()}"'


def group_list(groups: Iterable[str]) -> Document:
    """``/apis``."""
    return _document({"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(g) for g in groups]})


def group(name: str) -> Document:
    """``/apis/GROUP``."""
    return _document({"kind": "APIGroup", "apiVersion": "v1", **_group(name)})


def _group(name: str) -> dict[str, Any]:
    versions = [{"groupVersion": f"{name}/{version}", "version": version} for version in VERSIONS[name]]
    return {"name": name, "versions": versions, "preferredVersion": versions[0]}


def resource_list(name: str, version: str, metrics: MetricNames) -> Document:
    """``/apis/GROUP/VERSION``: one resource for each metric, e.g. ``pods/waiting``."""
    resources = [
        {
            "name": f"{described.plural}/{metric}" if described else metric,
            "singularName": "",
            "namespaced": described.namespaced if described else True,
            "kind": LIST_KINDS[name],
            "verbs": ["get"],
        }
        for described, metric in _listed(name, metrics)
    ]
    body = {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{name}/{version}",
        "resources": resources or [_placeholder(name)],
    }
    return _document(body)


def _listed(name: str, metrics: MetricNames) -> list[tuple[GroupResource | None, str]]:
    """Each metric once, sorted, so that the same metrics give the same document."""
    found = set(metrics.get(name, ()))
    return sorted(found, key=lambda pair: (pair[0].plural if pair[0] else "", pair[1]))


def _placeholder(name: str) -> dict[str, Any]:
    """Some clients report an empty list as an error. A resource without verbs can be asked nothing."""
    return {
        "name": PODS.plural if name == CUSTOM else "externalmetrics",
        "singularName": "",
        "namespaced": True,
        "kind": LIST_KINDS[name],
        "verbs": [],
    }


def aggregated(groups: Iterable[str], metrics: MetricNames, version: str) -> Document:
    """``/apis`` for clients that accept ``as=APIGroupDiscoveryList``."""
    items = [
        {
            "metadata": {"name": name, "creationTimestamp": None},
            "versions": [_aggregated_version(name, each, metrics) for each in VERSIONS[name]],
        }
        for name in groups
    ]
    kind = "APIGroupDiscoveryList"
    body = {"kind": kind, "apiVersion": f"{AGGREGATED}/{version}", "metadata": {}, "items": items}
    return _document(body, f"application/json;g={AGGREGATED};v={version};as={kind}")


def _aggregated_version(name: str, version: str, metrics: MetricNames) -> dict[str, Any]:
    kind = {"group": name, "version": version, "kind": LIST_KINDS[name]}
    parents: dict[GroupResource, list[dict[str, Any]]] = defaultdict(list)
    resources: list[dict[str, Any]] = []
    for described, metric in _listed(name, metrics):
        if described is None:
            resources.append(_discovered(metric, "Namespaced", kind, ["get"]))
        else:
            parents[described].append({"subresource": metric, "responseKind": kind, "verbs": ["get"]})
    for parent, subresources in parents.items():
        scope = "Namespaced" if parent.namespaced else "Cluster"
        entry = _discovered(parent.plural, scope, kind, [])
        resources.append({**entry, "subresources": subresources})
    if not resources:
        placeholder = _placeholder(name)
        resources = [_discovered(placeholder["name"], "Namespaced", kind, [])]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _discovered(resource: str, scope: str, kind: dict[str, str], verbs: list[str]) -> dict[str, Any]:
    return {
        "resource": resource,
        "responseKind": kind,
        "scope": scope,
        "singularResource": "",
        "verbs": verbs,
    }


def _document(body: dict[str, Any], media_type: str = "application/json") -> Document:
    return Document(json.dumps(body, separators=(",", ":")).encode(), media_type)


def wants_aggregated(accept: str) -> str | None:
    """The version of aggregated discovery that an Accept header asks for first, if any."""
    for choice in accept.split(",")[:8]:
        media, *parameters = (part.strip() for part in choice.split(";"))
        given = dict(part.split("=", 1) for part in parameters if "=" in part)
        if media == "application/json" and given.get("g") == AGGREGATED:
            version = given.get("v", "")
            if version in AGGREGATED_VERSIONS and given.get("as") == "APIGroupDiscoveryList":
                return version
        elif media in ("application/json", "*/*") and "as" not in given:
            return None
    return None
