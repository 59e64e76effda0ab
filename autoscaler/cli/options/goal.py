"""The goal that runs are held against, and how many replicas they begin with."""

from __future__ import annotations

from typing import Any, Literal

import click

from autoscaler.cli.options.declared import option
from autoscaler.cli.options.percent import PercentType


def goal_option() -> Any:
    """The field ``goal`` of a command's options."""
    return option(
        type=PercentType(),
        default="99%",
        metavar="SHARE",
        help="The share of requests that must meet the SLO.",
    )


class InitialReplicas(click.ParamType["int | str"]):
    """``auto``, ``min`` or a number of replicas."""

    name = "replicas"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> int | Literal["auto", "min"]:
        """Text to a number or one of the words; a usage error says what is wrong."""
        if isinstance(value, int):
            return value
        if value == "auto" or value == "min":
            return value  # type: ignore[no-any-return]
        if not (value.isascii() and value.isdigit() and int(value) <= 10_000):
            self.fail(f"{value!r} is not auto, min or a number from 0 to 10000", param, ctx)
        return int(value)
