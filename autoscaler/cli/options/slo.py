"""A service level objective on the command line."""

from __future__ import annotations

import re
from typing import Any

import click

USUAL_SLO = "ttft=2s,tpot=100ms"
"""The default SLO of a request, in the simulator and against a real server."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m)?")
_SECONDS = {"ms": 1e-3, "s": 1.0, "m": 60.0}


class SloType(click.ParamType[dict[str, float]]):
    """``ttft=2s,tpot=100ms`` as ``{"ttft_s": 2.0, "tpot_s": 0.1}``."""

    name = "slo"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[str, float]:
        """Text to seconds; a usage error says what is wrong."""
        if isinstance(value, dict):
            return value
        given: dict[str, float] = {}
        for part in value.split(","):
            name, _, duration = part.strip().partition("=")
            if f"{name}_s" in given:
                self.fail(f"{value!r} names {name} twice: write each once, like {USUAL_SLO}", param, ctx)
            match = _DURATION.fullmatch(duration.strip())
            if name not in ("ttft", "tpot") or match is None or float(match[1]) == 0.0:
                self.fail(f"{value!r} is not an SLO: write it like {USUAL_SLO}", param, ctx)
            if match[2] is None:  # 50 alone would be 50 s to one reader and 50 ms to another
                self.fail(f"{part.strip()!r} has no unit: write ms, s or m, like {USUAL_SLO}", param, ctx)
            given[f"{name}_s"] = float(match[1]) * _SECONDS[match[2]]
        if len(given) < 2:
            self.fail(f"{value!r} names one of two: write both, like {USUAL_SLO}", param, ctx)
        return given
