"""Schedules: which windows are open, and whether a cron expression and a time zone make sense.

Cron expressions mean what Debian's cron means by them (cronsim): a time that the clocks skip
when summer begins opens right after the skip, one that they repeat when it ends opens once.
A window lasts ``durationSeconds`` of real time, whatever the clocks do meanwhile.
"""

from __future__ import annotations

import difflib
from datetime import UTC, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from autoscaler.api.models import Schedule, Spec

CRON_FIELDS = "minute (0-59), hour (0-23), day of month (1-31), month (1-12) and day of week (0-7, SUN-SAT)"
_SOME_MONDAY = 1_704_067_200.0  # 2024-01-01, outside of summer time


def active_schedules(spec: Spec, now: float) -> tuple[str, ...]:
    """The names of the schedules whose windows are open at ``now``, in the policy's order.

    ``now`` is in seconds since the epoch. A window includes its first second and not its last.
    Raises ``ValueError`` for a cron expression or time zone that the loader would refuse.
    """
    return tuple(schedule.name for schedule in spec.schedules if _is_open(schedule, now))


def _is_open(schedule: Schedule, now: float) -> bool:
    start = now - schedule.duration_seconds
    opening = _next_time(schedule.cron, schedule.time_zone, start)
    return opening is not None and opening <= now


def _next_time(cron: str, time_zone: str, after: float) -> float | None:
    """The first time of a cron expression later than ``after``; None where there is none for 50 years."""
    from cronsim import CronSim, CronSimError

    begin = datetime.fromtimestamp(int(after // 1), tz=_zone(time_zone))
    try:
        openings = CronSim(cron, begin)
    except CronSimError as error:
        raise ValueError(f"{cron}: {error}") from None
    for opening in openings:
        # In the hour that the clocks repeat, CronSim may answer with a time before `begin`.
        if opening.timestamp() > after:
            return opening.timestamp()
    return None


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name} is not a time zone") from None


def window_seconds(start: str, end: str, time_zone: str) -> int | None:
    """How long a window lasts that one cron expression opens and another closes.

    None where they are not a window: one of them is wrong or never happens, or the window is shorter
    than a minute or longer than a schedule may be.
    """
    try:
        opened = _next_time(start, time_zone, _SOME_MONDAY)
        closed = None if opened is None else _next_time(end, time_zone, opened)
    except ValueError:
        return None
    if opened is None or closed is None or not 60 <= closed - opened <= 31 * 86400:
        return None
    return int(closed - opened)


def cron_fault(cron: str) -> str | None:
    """The fault of a cron expression; None for a valid one."""
    from cronsim import CronSim, CronSimError

    right = f'write five fields: {CRON_FIELDS}, e.g. "0 8 * * MON-FRI"'
    count = len(cron.split())
    if count != 5:
        return f'is not a cron expression, as "{cron}" has {count} field{"" if count == 1 else "s"}: {right}'
    try:
        next(CronSim(cron, datetime(2024, 1, 1, tzinfo=UTC)))
    except CronSimError as error:
        if _is_right_in_some_month(cron):
            return f'"{cron}" never happens, as none of its months has such a day: {right}'
        bad = str(error).removeprefix("Bad ").replace("-", " ")
        return f'has a wrong {bad} field, "{cron}": {right}'
    except StopIteration:
        return f'"{cron}" never happens: {right}'
    return None


def _is_right_in_some_month(cron: str) -> bool:
    """True if a refused expression is right in other months: to CronSim 31 February is a wrong day."""
    from cronsim import CronSim, CronSimError

    *fields, month, day_of_week = cron.split()
    begin = datetime(2024, 1, 1, tzinfo=UTC)
    try:
        CronSim(f"0 0 1 {month} *", begin)
        CronSim(" ".join((*fields, "*", day_of_week)), begin)
    except CronSimError:
        return False
    return True


def time_zone_fault(name: str) -> str | None:
    """The fault of a time zone's name; None for a known zone."""
    try:
        _zone(name)
    except ValueError:
        names = {zone.lower(): zone for zone in available_timezones()}
        close = difflib.get_close_matches(name.lower(), names, n=1)
        hint = f"did you mean {names[close[0]]}?" if close else "e.g. Europe/Berlin or Etc/UTC"
        return f'must be an IANA time zone, not "{name}": {hint}'
    return None
