"""HTTP's Retry-After, as a time that can be waited for: the only place that reads this header."""

from __future__ import annotations

import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from math import isnan

LONGEST_SECONDS = 120.0
"""However long a server asks for: a load balancer's page for an hour of maintenance may be over in a
minute, and one question in two minutes overloads nothing."""


def retry_after_seconds(header: str | None, now: float | None = None) -> float | None:
    """The pause that a server asks for, from 0 to ``LONGEST_SECONDS``; None for a missing or bad one.

    ``header``: seconds (RFC 9110 wants whole ones, some servers send fractions) or a date. ``now``: seconds
    since the epoch, which a date is counted from; the present time where it is not given.
    """
    if header is None:
        return None
    seconds = _seconds(header.strip(), time.time() if now is None else now)
    return None if seconds is None or isnan(seconds) else min(max(seconds, 0.0), LONGEST_SECONDS)


def _seconds(text: str, now: float) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        date = parsedate_to_datetime(text)
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
