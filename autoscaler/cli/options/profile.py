"""Which model on which GPU is simulated: the same for a replay and for an emulator."""

from __future__ import annotations

from typing import Any

from autoscaler.cli.options.declared import option
from autoscaler.cli.options.shell_completion import complete_profile


def profile_option() -> Any:
    """The field ``profile`` of a command's options."""
    return option(
        default="gemma2-9b-h100",
        metavar="NAME|FILE",
        shell_complete=complete_profile,
        help="Which model on which GPU.",
    )
