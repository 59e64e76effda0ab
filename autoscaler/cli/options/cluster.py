"""The options of every command that talks to a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.cli.options.option_group import option_group

connection_options = option_group(
    click.option(
        "--kubeconfig",
        type=click.Path(),
        metavar="FILE",
        help="How to reach the cluster.  [default: $KUBECONFIG, the cluster this runs in, ~/.kube/config]",
    ),
    click.option("--context", metavar="NAME", help="Which context of the kubeconfig."),
)
"""Adds ``kubeconfig`` and ``context`` to a click command."""

cluster_options = option_group(
    connection_options,
    click.option(
        "--namespace",
        "-n",
        "namespaces",
        multiple=True,
        metavar="NAME",
        help="Only this namespace; may be repeated.  [default: all]",
    ),
)
"""Adds ``kubeconfig``, ``context`` and ``namespaces`` to a click command."""

folder_option = click.option(
    "--policies",
    "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Take the policies from the YAML files of this folder instead of from the cluster.",
)
"""Adds ``folder`` to a click command."""
