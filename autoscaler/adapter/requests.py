"""A request's path and query -> what is asked for, and what to ask the authorizer. Pure.

Paths and attributes: ``apiserver/pkg/endpoints/request/requestinfo.go`` and the installer of
custom-metrics-apiserver. Segments are decoded one by one, because Go's clients escape ``*`` and
``|`` in them; a segment never contains a slash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias
from urllib.parse import parse_qsl, unquote

from autoscaler.adapter.wire import CUSTOM, EXTERNAL, VERSIONS
from autoscaler.ports.identity import Access

MAX_TARGET = 16_384
MAX_PARAMETERS = 32
ALL = "*"
HEALTH = ("/healthz", "/livez", "/readyz")

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class DiscoveryRequest:
    """Discovery of everything (no group), of a group, or of a version's resources."""

    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class OpenApiRequest:
    """An OpenAPI document: v2, v3, or v3 of one version."""

    form: str
    group: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class CustomMetricRequest:
    """A metric of one object or, with the name ``*``, of all of a resource in a namespace.

    ``namespaces`` is the resource of a metric about the namespace itself.
    """

    version: str
    namespace: str
    resource: str
    name: str
    metric: str
    selector: str = ""
    metric_selector: str = ""


@dataclass(frozen=True, slots=True)
class ExternalMetricRequest:
    """A metric without an object."""

    version: str
    namespace: str
    metric: str
    metric_selector: str = ""


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """Any other path."""

    path: str


ApiRequest: TypeAlias = (
    DiscoveryRequest | OpenApiRequest | CustomMetricRequest | ExternalMetricRequest | PlainRequest
)


def parse_target(target: str) -> ApiRequest:
    """The question in a request's target (path and query, as received).

    Raises ``ValueError`` for a target that is too long or malformed.
    """
    if len(target) > MAX_TARGET:
        raise ValueError(f"the request is longer than {MAX_TARGET} characters")
    try:
        return _parse(target)
    except UnicodeDecodeError:  # whose own text shows the bytes
        raise ValueError("the request's path and query must be UTF-8") from None


def _parse(target: str) -> ApiRequest:
    path, _, query = target.partition("?")
    segments = [_decode(segment) for segment in path.split("/")[1:]]
    asked: ApiRequest | None = None
    if segments[:1] == ["apis"]:
        asked = _api(segments[1:], _parameters(query))
    elif segments[:1] == ["openapi"]:
        asked = _openapi(segments[1:])
    return asked or PlainRequest("/" + "/".join(segments))


def _decode(segment: str) -> str:
    decoded = unquote(segment, errors="strict")
    if "/" in decoded or _CONTROL.search(decoded):
        raise ValueError("the path has a slash or a control character inside a segment")
    return decoded


def _parameters(query: str) -> dict[str, str]:
    """The query's parameters; of several with one name the first counts, as in Go."""
    if query.count("&") >= MAX_PARAMETERS:
        raise ValueError(f"the query has more than {MAX_PARAMETERS} parameters")
    return dict(reversed(parse_qsl(query, keep_blank_values=True, errors="strict")))


def _openapi(segments: list[str]) -> ApiRequest | None:
    if segments in (["v2"], ["v3"]):
        return OpenApiRequest(segments[0])
    if len(segments) == 4 and segments[:2] == ["v3", "apis"] and _is_served(*segments[2:]):
        return OpenApiRequest("v3", *segments[2:])
    return None


def _is_served(group: str, version: str) -> bool:
    return version in VERSIONS.get(group, ())


def _api(segments: list[str], parameters: dict[str, str]) -> ApiRequest | None:
    segments = segments[:-1] if segments[-1:] == [""] else segments
    if not segments or (len(segments) == 1 and segments[0] in VERSIONS):
        return DiscoveryRequest(*segments)
    if len(segments) < 2 or not _is_served(*segments[:2]):
        return None
    (group, version), rest = segments[:2], segments[2:]
    if not rest:
        return DiscoveryRequest(group, version)
    if "" in rest or rest[0] != "namespaces":
        return None
    read = _custom if group == CUSTOM else _external
    return read(version, rest[1:], parameters)


def _custom(version: str, segments: list[str], parameters: dict[str, str]) -> CustomMetricRequest | None:
    selectors = (parameters.get("labelSelector", ""), parameters.get("metricLabelSelector", ""))
    if len(segments) == 3 and segments[1] == "metrics":
        namespace, _, metric = segments
        return CustomMetricRequest(version, namespace, "namespaces", namespace, metric, *selectors)
    if len(segments) == 4:
        namespace, resource, name, metric = segments
        return CustomMetricRequest(version, namespace, resource, name, metric, *selectors)
    return None


def _external(version: str, segments: list[str], parameters: dict[str, str]) -> ExternalMetricRequest | None:
    if len(segments) != 2:
        return None
    return ExternalMetricRequest(version, segments[0], segments[1], parameters.get("labelSelector", ""))


def access(asked: ApiRequest, method: str, target: str) -> Access:
    """The attributes that Kubernetes' own servers would derive from such a request."""
    if isinstance(asked, CustomMetricRequest):
        verb = _VERBS.get(method, "get")
        if asked.resource == "namespaces":
            return Access(verb, CUSTOM, asked.version, asked.namespace, "metrics", name=asked.metric)
        return Access(verb, CUSTOM, asked.version, asked.namespace, asked.resource, asked.metric, asked.name)
    if isinstance(asked, ExternalMetricRequest):
        verb = {**_VERBS, "DELETE": "deletecollection"}.get(method, "list")
        return Access(verb, EXTERNAL, asked.version, asked.namespace, asked.metric)
    path = asked.path if isinstance(asked, PlainRequest) else unquote(target.partition("?")[0])
    return Access(method.lower(), path=path)
