"""The known trace formats, and how one value of each is read.

A format is known by its columns (CSV) or keys (JSON lines), never by the file's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from math import isfinite

MAX_TOKENS = 10_000_000
MAX_TIME_S = 1_000_000_000.0
"""Some 31 years: a larger relative time is a time since 1970, and a replay of it would never end."""

_NANOSECONDS = 1_000_000_000
_TOKENS_RULE = f"a token count is a whole number from 1 to {MAX_TOKENS:,}"
_WHOLE = re.compile(r"[+-]?[0-9]{1,400}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_OTHER_SEPARATOR = re.compile(r"[;\t|]")
_SECOND = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([01][0-9]|2[0-3]):([0-5][0-9]):([0-5][0-9])")
_TAIL = re.compile(r"(?:\.([0-9]{1,9}))?(?:Z|([+-])([0-9]{2}):?([0-9]{2}))?")


class BadValueError(ValueError):
    """One value of a row is wrong; the text says what would be right."""


@dataclass(frozen=True, slots=True)
class TraceFormat:
    """Where a format keeps its three columns and how it counts time.

    ``parse_time`` turns a text into ticks and raises ValueError. ``absolute``: ticks are counted
    from a calendar's zero, and the first row's time becomes the trace's zero.
    """

    name: str
    time: str
    prompt: str
    output: str
    ticks_per_second: int = 1
    absolute: bool = False
    parse_time: Callable[[str], float] = float

    @property
    def columns(self) -> tuple[str, str, str]:
        """The columns that a file must have, in any order."""
        return self.time, self.prompt, self.output


def calendar_nanoseconds(text: str) -> int:
    """Nanoseconds of a time such as ``2023-11-16 18:15:46.6805900`` (UTC unless it has an offset).

    Integers, because nanoseconds since year 1 do not fit a float's 53 bits.

    Raises:
        ValueError: the text is not such a time.
    """
    tail = _TAIL.fullmatch(text, 19)
    if tail is None:
        raise ValueError(text)
    fraction, sign, hours, minutes = tail.groups()
    ticks = _calendar_seconds(text[:19]) * _NANOSECONDS
    if sign:
        offset = (int(hours) * 3600 + int(minutes) * 60) * _NANOSECONDS
        ticks -= offset if sign == "+" else -offset
    return ticks + (int(fraction.ljust(9, "0")) if fraction else 0)


@lru_cache(maxsize=1024)  # sorted traces name the same second many times in a row
def _calendar_seconds(text: str) -> int:
    match = _SECOND.fullmatch(text)
    if match is None:
        raise ValueError(text)
    day, hour, minute, second = match.groups()
    return date.fromisoformat(day).toordinal() * 86_400 + int(hour) * 3600 + int(minute) * 60 + int(second)


OURS = TraceFormat("vllm-autoscaler", "timestamp_s", "prompt_tokens", "output_tokens")
AZURE = TraceFormat(
    "azure",
    "TIMESTAMP",
    "ContextTokens",
    "GeneratedTokens",
    ticks_per_second=_NANOSECONDS,
    absolute=True,
    parse_time=calendar_nanoseconds,
)
BURSTGPT = TraceFormat("burstgpt", "Timestamp", "Request tokens", "Response tokens")
MOONCAKE = TraceFormat("mooncake", "timestamp", "input_length", "output_length", ticks_per_second=1000)
FORMATS = (OURS, AZURE, BURSTGPT, MOONCAKE)


def recognise(columns: Iterable[str]) -> TraceFormat:
    """The format that has these columns. Their order is free, and further columns may be among them.

    Raises:
        BadValueError: no format has them; the message names the columns found, missing and known.
    """
    found = list(columns)
    nearest = max(FORMATS, key=lambda known: len(set(known.columns) & set(found)))
    missing = [column for column in nearest.columns if column not in found]
    if not missing:
        return nearest
    raise BadValueError(
        f"{_what_is_missing(nearest, missing, found)}; found: {_listed(found)}; known: {_known()}"
    )


def _what_is_missing(nearest: TraceFormat, missing: list[str], found: list[str]) -> str:
    if all(_NUMBER.fullmatch(name) for name in found):
        return "the header line is missing (this line is a row)"
    if len(found) == 1 and (other := _OTHER_SEPARATOR.search(found[0])):
        return f"columns are separated by commas, not by {other[0]!r}"
    if len(missing) == len(nearest.columns):
        return "no trace format has these columns"
    return f"{_listed(missing)} missing of the {nearest.name} format"


def _known() -> str:
    return "; ".join(f"{known.name} ({_listed(known.columns)})" for known in FORMATS)


def _listed(names: Iterable[str]) -> str:
    shown = [shorten(name) for name in names]
    return ", ".join(shown[:20]) + (f" and {len(shown) - 20} more" if len(shown) > 20 else "")


def shorten(text: str) -> str:
    """At most 60 characters, printable and quoted, for a message."""
    return repr(text if len(text) <= 60 else text[:57] + "...")


def token_count(value: object) -> int:
    """A token count from a CSV field or a JSON value.

    Raises:
        BadValueError: the value is not a whole number from 1 to 10,000,000.
    """
    shown = _shown(value)
    count = _whole_number(value)
    if count is None:
        raise BadValueError(f"{shown} is not a whole number; {_TOKENS_RULE}")
    if count < 0:
        raise BadValueError(f"{shown} is negative; {_TOKENS_RULE}")
    if count == 0:
        raise BadValueError(
            f"0 tokens (some sources record failed requests so; leave them out); {_TOKENS_RULE}"
        )
    if count > MAX_TOKENS:
        raise BadValueError(f"{shown} is too large; {_TOKENS_RULE}")
    return count


def _whole_number(value: object) -> int | None:
    if isinstance(value, str):
        text = value.strip()
        return int(text) if _WHOLE.fullmatch(text) else None
    return value if type(value) is int else None  # not a bool, which is an int to Python


def csv_time(known: TraceFormat, value: str) -> float:
    """Ticks from a CSV field.

    Raises:
        BadValueError: the field is not a time of this format.
    """
    text = value.strip()
    if known.absolute:
        return _calendar_time(text)
    number = finite_number(text)
    return _relative_time(known, number, shorten(text))


def json_time(known: TraceFormat, value: object) -> float:
    """Ticks from a JSON value.

    Raises:
        BadValueError: the value is not a time of this format.
    """
    if known.absolute and isinstance(value, str):
        return _calendar_time(value)
    if known.absolute or isinstance(value, bool) or not isinstance(value, int | float):
        wanted = (
            "a text such as '2023-11-16 18:15:46.68'" if known.absolute else "a number of " + _unit(known)
        )
        raise BadValueError(f"{_shown(value)} is not a time; a time is {wanted}")
    return _relative_time(known, value, _shown(value))


def _calendar_time(text: str) -> int:
    try:
        return calendar_nanoseconds(text)
    except ValueError:
        message = f"{shorten(text)} is not a time; write it like '2023-11-16 18:15:46.6805900'"
        raise BadValueError(message) from None


def _relative_time(known: TraceFormat, ticks: float, shown: str) -> float:
    if isinstance(ticks, float) and not isfinite(ticks):
        raise BadValueError(f"{shown} is not finite; a time is a number of {_unit(known)}")
    if ticks < 0:
        raise BadValueError(f"{shown} is negative; times count from the trace's start")
    if ticks > MAX_TIME_S * known.ticks_per_second:
        raise BadValueError(
            f"{shown} {_unit(known)} are too many; times count from the trace's start, not from 1970"
        )
    return ticks


def finite_number(text: str) -> float:
    """A plain decimal number: neither ``1_000`` nor ``nan``, which Python would accept.

    Raises:
        BadValueError: the text is not such a number.
    """
    if not text:
        raise BadValueError("is empty; a number belongs here")
    if not _NUMBER.fullmatch(text):
        not_finite = text.lstrip("+-").lower() in {"nan", "inf", "infinity"}
        raise BadValueError(
            f"{shorten(text)} is not {'finite' if not_finite else 'a number'}; write a number like 12.5"
        )
    number = float(text)
    if not isfinite(number):
        raise BadValueError(f"{shorten(text)} is not finite; write a number like 12.5")
    return number


def _unit(known: TraceFormat) -> str:
    return "milliseconds" if known.ticks_per_second == 1000 else "seconds"


def _shown(value: object) -> str:
    if isinstance(value, str):
        return shorten(value)
    if isinstance(value, dict | list):
        return "a JSON object" if isinstance(value, dict) else "a JSON array"
    return json.dumps(value)[:60]
