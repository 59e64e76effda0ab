"""``autoscale schema``: the JSON Schema of a policy, for editors."""

from __future__ import annotations

import click

from autoscaler.policy.schema import schema_text


@click.command()
def schema() -> None:
    """Print the JSON Schema of a policy.

    Save it next to your policies and begin each with
    "# yaml-language-server: $schema=./scalingpolicy.schema.json" to have an editor check and
    complete them.
    """
    click.echo(schema_text(), nl=False)
