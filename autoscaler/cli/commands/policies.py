"""`autoscale policies [NAME]`: the library of bundled policies."""

from __future__ import annotations

import click

from autoscaler.cli.options.shell_completion import complete_library


@click.command()
@click.argument("name", required=False, shell_complete=complete_library)
def policies(name: str | None) -> None:
    """List the bundled policies, or print one as YAML, to be copied and changed.

    \b
    autoscale policies
    autoscale policies chat > my-policy.yaml
    """  # noqa: D301 (click wants the character, not a backslash)
    from autoscaler.documents.library import library_names, library_path

    if name is None:
        for known in library_names():
            click.echo(known)
        return
    if name not in library_names():
        raise click.UsageError(f"no policy is named {name!r}; there are {', '.join(library_names())}")
    click.echo(library_path(name).read_text(encoding="utf-8"), nl=False)
