"""Seconds since the epoch as RFC 3339, which is how Kubernetes writes times, and back; and a steady clock."""

from __future__ import annotations

import re
import time
from calendar import timegm
from math import floor

_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,9})?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII
)
MAX_SECONDS = 253402300799
"""9999-12-31T23:59:59Z: a later time has no form of RFC 3339."""


def running_seconds() -> float:
    """A clock that is never set and that continues while the machine is suspended, where there is one."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


def to_rfc3339(seconds: float, digits: int = 0) -> str:
    """A time in UTC: ``2026-03-01T08:30:00Z``; ``digits`` (at most 9) of the second follow.

    Nine digits distinguish any two floats of this century, so ``from_rfc3339`` gives back exactly
    what was written. With fewer the time is cut, not rounded: it is never in the future.
    """
    whole = floor(seconds)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    if not digits:
        return f"{text}Z"
    nanos = min(round((seconds - whole) * 1e9), 999_999_999)
    return f"{text}.{nanos:09d}"[: len(text) + 1 + digits] + "Z"


def from_rfc3339(text: str) -> float:
    """Seconds since the epoch. Raises ``ValueError`` for anything that is not an RFC 3339 time."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError("must be a time such as 2026-03-01T08:30:00Z")
    date, clock, fraction, sign, hours, minutes = match.groups()
    seconds = timegm(time.strptime(f"{date}T{clock}", "%Y-%m-%dT%H:%M:%S"))
    if sign:
        offset = int(hours) * 3600 + int(minutes) * 60
        seconds += -offset if sign == "+" else offset
    return seconds + float(fraction or 0)
