"""Times as options: ISO 8601 with a zone."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click


class TimeType(click.ParamType[float]):
    """An ISO 8601 time with its zone, as an epoch second."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text to seconds since 1970; a usage error says what is wrong."""
        if isinstance(value, float):
            return value
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time: write it like 2024-01-01T00:00:00Z", param, ctx)
        if time.tzinfo is None:
            self.fail(f"{value!r} has no time zone: add Z for UTC, or an offset like +01:00", param, ctx)
        return time.timestamp()
