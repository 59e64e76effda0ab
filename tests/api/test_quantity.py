from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.api.quantity import (
    MAX_QUANTITY_LENGTH,
    QUANTITY_PATTERN,
    from_float,
    from_milli,
    parse_quantity,
    to_float,
    to_milli,
)


@pytest.mark.parametrize(
    ("raw", "number", "stored"),
    [
        ("118m", 0.11800000000000001, "118m"),
        (0.118, 0.11800000000000001, "118m"),
        ("1180e-4", 0.11800000000000001, "118m"),
        ("700m", 0.7000000000000001, "700m"),
        ("0.1", 0.1, "100m"),
        ("0.0001", 9.999999999999999e-05, "100u"),
        ("1234567n", 0.001234567, "1234567n"),
        ("0.12000000000000001", 0.12000000100000001, "120000001n"),
        ("0.00000000012", 1e-09, "1n"),
        ("0.1Ki", 102.4, "102400m"),
        ("1.5k", 1500.0, "1500"),
        (0, 0.0, "0"),
    ],
)
def test_a_float_is_the_one_that_kubernetes_makes_of_what_it_stores(raw, number, stored):
    """As AsApproximateFloat64 of apimachinery 0.35 says, after a way through JSON."""
    assert to_float(raw) == number
    assert from_float(number) == stored


@given(st.integers(0, 10**15))
def test_a_float_is_written_as_the_quantity_that_it_came_from(nano):
    number = to_float(f"{nano}n")
    assert to_float(from_float(number)) == number


@pytest.mark.parametrize(
    ("raw", "milli"),
    [
        (10, 10_000),
        (0.1, 100),
        ("850m", 850),
        ("1.5", 1500),
        (".5", 500),
        ("5.", 5000),
        ("2k", 2_000_000),
        ("1Ki", 1_024_000),
        ("1e3", 1_000_000),
        ("1E", 10**21),
        ("1n", 1),
        ("100u", 1),
        ("1.0001", 1001),
        ("-1.0001", -1000),
    ],
)
def test_milli_units_are_exact_and_rounded_up(raw: object, milli: int) -> None:
    assert to_milli(raw) == milli


@pytest.mark.parametrize(
    "raw",
    ["", "ten", "1.2.3", "1kk", "1K", "1 k", "٣", "1e", "0x10", True, None, [], float("nan"), float("inf")],
)
def test_anything_else_is_refused(raw: object) -> None:
    with pytest.raises(ValueError, match="must be a quantity"):
        parse_quantity(raw)


@given(st.integers(-(10**12), 10**12))
def test_milli_units_survive_a_round_trip(milli: int) -> None:
    assert to_milli(from_milli(milli)) == milli


@given(st.from_regex(QUANTITY_PATTERN, fullmatch=True).filter(lambda text: len(text) <= MAX_QUANTITY_LENGTH))
def test_what_the_schema_allows_parses(text: str) -> None:
    assert isinstance(parse_quantity(text), Fraction)


@given(st.text(alphabet="0123456789.eE+-numkMGKTPi ", max_size=6))
def test_what_parses_is_allowed_by_the_schema(text: str) -> None:
    try:
        parse_quantity(text)
    except ValueError:
        return
    assert re.fullmatch(QUANTITY_PATTERN, text)
