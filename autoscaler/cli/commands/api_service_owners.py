"""The Services behind a cluster's metrics APIs, in words, and which of them is ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from autoscaler.adapter.wire import VERSIONS
from autoscaler.cli.options.declared import option
from autoscaler.kube.api_services import ApiService, ApiServices, ServiceRef
from autoscaler.kube.controller_ports import own_namespace

NAMES = tuple(f"{version}.{group}" for group, versions in VERSIONS.items() for version in sorted(versions))
"""The APIServices of the metrics APIs: one version of a group has one owner in a cluster."""

SERVICE = "vllm-autoscaler-adapter"
HOME = "vllm-autoscaler"
"""The namespace of our manifests."""


def _service(_context: click.Context, _parameter: click.Parameter, value: str) -> ServiceRef:
    namespace, slash, name = value.partition("/")
    found = ServiceRef(namespace, name) if slash else ServiceRef(own_namespace(outside=HOME), value)
    if not found.namespace or not found.name or "/" in found.name:
        raise click.BadParameter(f"{value} must have the form NAMESPACE/NAME")
    return found


def service_option() -> Any:
    """The field ``service`` of a command's options."""
    return option(
        callback=_service,
        metavar="[NAMESPACE/]NAME",
        default=SERVICE,
        help="The Service in front of the adapter; its namespace is this pod's or, outside of a cluster, "
        f"{HOME}.",
    )


def owner_lines(services: ApiServices, ours: ServiceRef) -> Iterator[str]:
    """One line for each of NAMES. Raises ``ClusterError`` where the cluster cannot be read."""
    for name in NAMES:
        yield f"{name}: {described(services.find(name), ours)}"


def described(found: ApiService | None, ours: ServiceRef) -> str:
    """The Service behind a metrics API, in words."""
    if found is None:
        return "not served"
    state = "" if found.available else ", not available"
    if found.service == ours:
        return f"ours{state}"
    where = f" ({found.service})" if found.service else ""
    return f"served by {found.owner}{where}{state}: left alone"
