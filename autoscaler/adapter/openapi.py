"""Small and valid OpenAPI documents, so that ``kubectl explain`` and the aggregator find some. Pure."""

from __future__ import annotations

import json
from functools import cache
from hashlib import sha256
from typing import Any

from autoscaler import __version__
from autoscaler.adapter.wire import CUSTOM, EXTERNAL, LIST_KINDS, VERSIONS

_INFO = {"title": "vllm-autoscaler metrics", "version": __version__}
_TEXT: dict[str, Any] = {"type": "string"}
_LABELS = {"type": "object", "additionalProperties": _TEXT}
_SECONDS = {"type": "integer", "format": "int64"}
_TIME = {"type": "string", "format": "date-time"}
_QUANTITY = {"type": "string", "description": "A quantity in whole milli units, e.g. 850m."}
_SELECTOR = {"type": "object", "description": "The metric selector of the request, if it had one."}
_DESCRIBED = {
    "type": "object",
    "properties": {"kind": _TEXT, "namespace": _TEXT, "name": _TEXT, "apiVersion": _TEXT},
}


def _item_properties(group: str, version: str) -> dict[str, Any]:
    shared = {"timestamp": _TIME, "value": _QUANTITY}
    if group == EXTERNAL:
        return {"metricName": _TEXT, "metricLabels": _LABELS, "window": _SECONDS, **shared}
    if version == "v1beta1":
        own = {"metricName": _TEXT, "window": _SECONDS, "selector": _SELECTOR}
    else:
        metric = {"type": "object", "properties": {"name": _TEXT, "selector": _SELECTOR}}
        own = {"metric": metric, "windowSeconds": _SECONDS}
    return {"describedObject": _DESCRIBED, **own, **shared}


def _definition(group: str, version: str) -> tuple[str, dict[str, Any]]:
    """A list type's name, as Kubernetes' own documents call it, and its schema."""
    kind = LIST_KINDS[group]
    package = group.partition(".")[0] + "_metrics"
    item = {"type": "object", "properties": _item_properties(group, version)}
    schema = {
        "type": "object",
        "description": f"Values of {package.replace('_', ' ')} as they were sampled.",
        "required": ["items"],
        "properties": {
            "apiVersion": _TEXT,
            "kind": _TEXT,
            "metadata": {"type": "object"},
            "items": {"type": "array", "items": item},
        },
        "x-kubernetes-group-version-kind": [{"group": group, "version": version, "kind": kind}],
    }
    return f"io.k8s.metrics.pkg.apis.{package}.{version}.{kind}", schema


_SEGMENTS = {
    CUSTOM: "namespaces/{namespace}/{resource}/{name}/{metric}",
    EXTERNAL: "namespaces/{namespace}/{metric}",
}
_SELECTORS = {CUSTOM: ("labelSelector", "metricLabelSelector"), EXTERNAL: ("labelSelector",)}


def _path(group: str, version: str) -> str:
    return f"/apis/{group}/{version}/{_SEGMENTS[group]}"


def _parameters(group: str) -> list[tuple[str, str]]:
    names = [word[1:-1] for word in _SEGMENTS[group].split("/") if word.startswith("{")]
    return [(name, "path") for name in names] + [(name, "query") for name in _SELECTORS[group]]


@cache
def v2() -> bytes:
    """``/openapi/v2``."""
    definitions, paths = {}, {}
    for group, versions in VERSIONS.items():
        for version in versions:
            name, schema = _definition(group, version)
            definitions[name] = schema
            answer = {"description": "OK", "schema": {"$ref": f"#/definitions/{name}"}}
            parameters = [
                {"name": parameter, "in": place, "required": place == "path", **_TEXT}
                for parameter, place in _parameters(group)
            ]
            operation = _operation(group, version, {**answer})
            paths[_path(group, version)] = {"get": {**operation, "parameters": parameters}}
    return _bytes({"swagger": "2.0", "info": _INFO, "paths": paths, "definitions": definitions})


@cache
def v3() -> bytes:
    """``/openapi/v3``: where the documents of each version are."""
    paths = {}
    for group, versions in VERSIONS.items():
        for version in versions:
            place = f"apis/{group}/{version}"
            digest = sha256(v3_of(group, version)).hexdigest().upper()
            paths[place] = {"serverRelativeURL": f"/openapi/v3/{place}?hash={digest}"}
    return _bytes({"paths": paths})


@cache
def v3_of(group: str, version: str) -> bytes:
    """``/openapi/v3/apis/GROUP/VERSION``."""
    name, schema = _definition(group, version)
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    parameters = [
        {"name": parameter, "in": place, "required": place == "path", "schema": _TEXT}
        for parameter, place in _parameters(group)
    ]
    operation = _operation(group, version, {"description": "OK", "content": content})
    return _bytes(
        {
            "openapi": "3.0.0",
            "info": _INFO,
            "paths": {_path(group, version): {"get": {**operation, "parameters": parameters}}},
            "components": {"schemas": {name: schema}},
        }
    )


def _operation(group: str, version: str, answer: dict[str, Any]) -> dict[str, Any]:
    words = group.partition(".")[0].capitalize() + version.capitalize()
    return {"operationId": f"read{words}Metric", "responses": {"200": answer}}


def _bytes(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()
