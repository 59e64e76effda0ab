"""Figures as people read them; the terminal summary and the HTML report share these."""

from __future__ import annotations

from typing import Any

NOTHING = "-"


_DECIMALS = 6
"""Decimals of the figures in JSON: microseconds; further digits are noise of the arithmetic."""


def rounded(value: float | None) -> float | None:
    """A figure as the JSON files hold it."""
    return None if value is None else round(value, _DECIMALS)


def count(value: float | None) -> str:
    """A whole number with thousands separators."""
    return NOTHING if value is None else f"{value:,.0f}"


def decimal(value: float | None) -> str:
    """Two decimals with thousands separators."""
    return NOTHING if value is None else f"{value:,.2f}"


def dollars(value: float | None) -> str:
    """Cents, with thousands separators."""
    return NOTHING if value is None else f"${value:,.2f}"


def share(value: float | None, decimals: int = 2) -> str:
    """A share of 1 in percent; 100% and 0% only when the share is exactly 1 or 0."""
    if value is None:
        return NOTHING
    least = 10.0 ** -(decimals + 2)
    if 1.0 - least < value < 1.0:
        return f">{1.0 - least:.{decimals}%}"
    if 0.0 < value < least:
        return f"<{least:.{decimals}%}"
    return f"{value:.0%}" if value in {0.0, 1.0} else f"{value:.{decimals}%}"


def goal(value: float) -> str:
    """A goal as it was written: ``99%``, ``99.9%``; never rounded up to 100%, which is not a goal."""
    short = f"{value * 100:.10g}"
    return f"{value * 100:.15g}%" if short == "100" else f"{short}%"


def counted(number: float, thing: str) -> str:
    """A whole number of things: ``1 minute``, ``1,200 minutes``."""
    whole = f"{number:,.0f}"
    return f"{whole} {thing}" if whole == "1" else f"{whole} {thing}s"


def latency(seconds: float | None) -> str:
    """Three significant digits or more, in milliseconds below a second."""
    if seconds is None:
        return NOTHING
    if seconds < 1.0:
        return f"{seconds * 1000:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 100.0 else f"{seconds:,.0f} s"


def limit(seconds: float) -> str:
    """A limit as a user writes it: ``2 s``, ``100 ms``."""
    return f"{seconds * 1000:g} ms" if seconds < 1.0 else f"{seconds:g} s"


def clock(seconds: float) -> str:
    """A time of the run as hours, minutes and seconds: ``1:02:30``."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def rejection_remark(limit: dict[str, Any]) -> str:
    """Names the limit that rejected requests; a trace with longer contexts needs another profile."""
    if "queued" in limit:
        full = f"{limit['name']} ({limit['queued']:,}) requests, running and waiting together"
        return f"{limit['requests']:,} by replicas that had {full}"
    text = f"{limit['requests']:,} with more tokens than {limit['name']} ({limit['tokens']:,})"
    return f"{text}, prompt and output together"


def cost_remark(summary: dict[str, Any]) -> str:
    """The price and what it pays for besides replicas, or the option that gives one."""
    idle = summary["idle_node_hours"]
    priced = _price_remark(summary["price"])
    return f"{priced}; {decimal(idle)} hours of idle nodes included" if idle and summary["price"] else priced


def _price_remark(price: dict[str, Any] | None) -> str:
    if price is None:
        return "no price is known for this GPU; give one with --price"
    usd = f"{dollars(price['usd_per_gpu_hour'])} a GPU-hour"
    if price["machine"] is None:
        return f"{usd}, as given"
    return f"{usd}, {price['kind']} {price['machine']}, list price of {price['as_of']}"
