"""``autoscale schema``: the JSON Schema of a policy for editors, or its definition for a cluster."""

from __future__ import annotations

import click


@click.command()
@click.option("--crd", is_flag=True, help="Print the CustomResourceDefinition instead.")
@click.option("--exports", is_flag=True, help="Print the schema of a MetricExport instead.")
def schema(crd: bool, exports: bool) -> None:
    """Print the JSON Schema of a policy.

    Save it next to your policies and begin each with
    "# yaml-language-server: $schema=./scalingpolicy.schema.json" to have an editor check and
    complete them.

    A cluster learns what a ScalingPolicy is by

    \b
        autoscale schema --crd | kubectl apply --server-side -f -
    """  # noqa: D301 (click wants the character, not a backslash)
    if crd and exports:
        raise click.UsageError("--crd or --exports, not both: a MetricExport is not an object of the cluster")
    if crd:
        from autoscaler.api.crd import crd_text

        click.echo(crd_text(), nl=False)
        return
    if exports:
        from autoscaler.documents.exports import export_schema_text

        click.echo(export_schema_text(), nl=False)
        return
    from autoscaler.api.schema import schema_text

    click.echo(schema_text(), nl=False)
