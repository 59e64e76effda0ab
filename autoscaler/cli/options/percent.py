"""A share of requests as an option: ``99%`` or ``0.99``."""

from __future__ import annotations

import re
from typing import Any

import click

_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*(%?)")


class PercentType(click.ParamType[float]):
    """``99%`` or ``0.99`` as 0.99; more than 0 and less than 100 %."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to a share of 1; a usage error says what is wrong."""
        if isinstance(value, float):
            return value
        match = _SHARE.fullmatch(value.strip())
        if match is None:
            self.fail(f"{value!r} is not a share: write it like 99% or 0.99", param, ctx)
        share = float(match[1]) / (100.0 if match[2] else 1.0)
        if not match[2] and 1.0 <= share < 100.0:
            self.fail(f"{value!r} has no unit: write {match[1]}% or a number below 1", param, ctx)
        if not 0.0 < share < 1.0:
            self.fail(f"{value!r} is out of range: more than 0 and less than 100%", param, ctx)
        return share
