"""The options of every command that talks to a cluster."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

_CONNECTION = (
    click.option(
        "--kubeconfig",
        type=click.Path(),
        metavar="FILE",
        help="How to reach the cluster.  [default: $KUBECONFIG, the cluster this runs in, ~/.kube/config]",
    ),
    click.option("--context", metavar="NAME", help="Which context of the kubeconfig."),
)
_NAMESPACES = click.option(
    "--namespace",
    "-n",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Only this namespace; may be repeated.  [default: all]",
)
_FOLDER = click.option(
    "--policies",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Take the policies from the YAML files of this folder instead of from the cluster.",
)


def connection_options(command: _Command) -> _Command:
    """Adds ``kubeconfig`` and ``context`` to a click command."""
    for option in reversed(_CONNECTION):
        command = option(command)
    return command


def cluster_options(command: _Command) -> _Command:
    """Adds ``kubeconfig``, ``context`` and ``namespaces`` to a click command."""
    return connection_options(_NAMESPACES(command))


def folder_option(command: _Command) -> _Command:
    """Adds ``folder`` to a click command."""
    return _FOLDER(command)
