"""The options of every command that talks to a cluster."""

from __future__ import annotations

from pathlib import Path

import click

from autoscaler.cli.options.declared import Options, option


class ConnectionOptions(Options):
    """How to reach a cluster."""

    kubeconfig: str | None = option(
        type=click.Path(),
        metavar="FILE",
        help="How to reach the cluster.  [default: $KUBECONFIG, the cluster this runs in, ~/.kube/config]",
    )
    context: str | None = option(metavar="NAME", help="Which context of the kubeconfig.")


class ClusterOptions(ConnectionOptions):
    """A cluster, and which of its namespaces."""

    namespaces: tuple[str, ...] = option(
        "--namespace",
        "-n",
        multiple=True,
        metavar="NAME",
        help="Only this namespace; may be repeated.  [default: all]",
    )


class WatchOptions(ClusterOptions):
    """A cluster that is watched, and the folder of its policies if they are not in the cluster."""

    folder: Path | None = option(
        "--policies",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="Take the policies from the YAML files of this folder instead of from the cluster.",
    )
