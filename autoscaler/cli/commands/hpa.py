"""``autoscale hpa``: the HPA manifests for policies."""

from __future__ import annotations

import click

from autoscaler.cli.options.shell_completion import complete_policy
from autoscaler.documents.library import find_policy
from autoscaler.documents.policies import duplicates, load_policies
from autoscaler.errors import PolicyError
from autoscaler.exchange.to_hpa import hpa_of_policy
from autoscaler.ports.policies import StoredPolicy

_NAMESPACE = "default"


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    metavar="FILE|NAME...",
    shell_complete=complete_policy,
)
@click.option(
    "--object",
    "as_object",
    is_flag=True,
    help="Values without pods as Object metrics of the target: needs no external.metrics.k8s.io, which KEDA "
    "may own.",
)
def hpa(files: tuple[str, ...], as_object: bool) -> None:
    """Write the HorizontalPodAutoscalers for policies, for an HPA that decides on its own.

    NAME is one of `autoscale policies`.

    \b
    autoscale hpa chat.yaml | kubectl apply -f -

    They read the policies' metrics from `autoscale adapter`. What an HPA cannot do goes to standard
    error. Do not run the controller for the same workloads: keep the policies as they are, with mode
    DryRun, for the adapter to read.
    """  # noqa: D301 (click wants the character, not a backslash)
    import yaml

    policies = [loaded for file in files for loaded in load_policies(find_policy(file))]
    if twice := duplicates(policies, _NAMESPACE):
        raise PolicyError(twice)
    documents = []
    for loaded in policies:
        metadata = loaded.policy.metadata
        stored = StoredPolicy(metadata.namespace or _NAMESPACE, metadata.name, loaded.policy)
        written = hpa_of_policy(stored, external=not as_object)
        documents.append(written.hpa)
        for remark in written.remarks:
            click.echo(f"{loaded.file}:{loaded.line}: {remark}", err=True)
    click.echo(yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True), nl=False)
