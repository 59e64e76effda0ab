"""A server's Retry-After becomes a time that can be waited for, whatever the server writes."""

from __future__ import annotations

import threading
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.retry_after import LONGEST_SECONDS, retry_after_seconds

NOW = 1_800_000_000.0


def date(seconds_from_now: float) -> str:
    return formatdate(NOW + seconds_from_now, usegmt=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0.5", 0.5),
        ("3600", LONGEST_SECONDS),
        ("9" * 20, LONGEST_SECONDS),
        ("9" * 5000, LONGEST_SECONDS),
        ("1e999", LONGEST_SECONDS),
        ("-5", 0.0),
        ("-" + "9" * 400, 0.0),
        (date(30), 30.0),
        (date(-30), 0.0),
        (date(86400), LONGEST_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_SECONDS),
        ("Fri, 31 Dec 9999 23:59:59 -2359", LONGEST_SECONDS),
        ("Mon, 01 Jan 0001 00:00:00 +2359", 0.0),
        ("Fri, 31 Dec " + "9" * 20 + " 23:59:59 GMT", None),
        ("nan", None),
        ("-nan", None),
        ("", None),
        ("soon", None),
        ("\u00b2", None),
        (None, None),
    ],
)
def test_what_a_server_may_write(header, seconds):
    assert retry_after_seconds(header, NOW) == seconds


HEADERS = st.one_of(st.text(), st.integers().map(str), st.floats().map(str), st.text("0123456789 ,:GMTJan+-"))


@given(HEADERS)
def test_whatever_is_read_can_be_waited_for(header):
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or 0.0 <= seconds <= LONGEST_SECONDS < threading.TIMEOUT_MAX
