"""Which model on which GPU is simulated: the same for a replay and for an emulator."""

from __future__ import annotations

import click

from autoscaler.cli.options.shell_completion import complete_profile

profile_option = click.option(
    "--profile",
    default="gemma2-9b-h100",
    metavar="NAME|FILE",
    shell_complete=complete_profile,
    help="Which model on which GPU.",
)
"""Adds ``profile`` to a click command."""
