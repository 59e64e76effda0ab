"""`autoscale completion SHELL`: the script that teaches a shell our commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of SHELL.

    \b
    bash:  autoscale completion bash > ~/.autoscale.bash
           echo '. ~/.autoscale.bash' >> ~/.bashrc
    zsh:   autoscale completion zsh > "${fpath[1]}/_autoscale"
    fish:  autoscale completion fish > ~/.config/fish/completions/autoscale.fish

    The program must be found as autoscale: activate its .venv, or put a link to
    it on the PATH.
    """  # noqa: D301 (click wants the character, not a backslash)
    root = click.get_current_context().find_root().command
    script_class = get_completion_class(shell)
    assert script_class is not None  # SHELLS are those that click knows
    script = script_class(root, {}, "autoscale", "_AUTOSCALE_COMPLETE")
    click.echo(script.source())
