from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.timestamps import from_rfc3339, to_rfc3339


@pytest.mark.parametrize(
    ("seconds", "digits", "text"),
    [
        (0, 0, "1970-01-01T00:00:00Z"),
        (1_772_353_800.75, 0, "2026-03-01T08:30:00Z"),
        (1_772_353_800.75, 6, "2026-03-01T08:30:00.750000Z"),
        (1_772_353_800.999999, 3, "2026-03-01T08:30:00.999Z"),
        (0.9999999999, 9, "1970-01-01T00:00:00.999999999Z"),
    ],
)
def test_times_are_written_as_kubernetes_writes_them(seconds: float, digits: int, text: str) -> None:
    assert to_rfc3339(seconds, digits) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-01T08:30:00Z", 1_772_353_800),
        ("2026-03-01T09:30:00+01:00", 1_772_353_800),
        ("2026-03-01T02:00:00.5-06:30", 1_772_353_800.5),
    ],
)
def test_times_are_read_from_any_zone(text: str, seconds: float) -> None:
    assert from_rfc3339(text) == seconds


@pytest.mark.parametrize("text", ["", "2026-03-01", "2026-03-01T08:30:00", "2026-13-01T08:30:00Z", "soon"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must be a time|does not match"):
        from_rfc3339(text)


@given(st.floats(min_value=1e9, max_value=4e9))
def test_nine_digits_lose_nothing(seconds: float) -> None:
    assert from_rfc3339(to_rfc3339(seconds, digits=9)) == seconds
