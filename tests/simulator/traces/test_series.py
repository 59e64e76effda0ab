"""Recorded series: a step function with the samples' own times, and exact errors."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from math import inf, isnan
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.decision.types import Sample
from autoscaler.errors import InputError
from simulator.traces.series import read_series
from simulator.traces.trace import Trace

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_series(content: str) -> Path:
        path = tmp_path / "series.csv"
        path.write_text(content)
        return path

    return write_series


STEPS = "timestamp_s,value\n0,1\n10,5.5\n10,6\n20,-2e1\n"


@pytest.mark.parametrize(
    ("time_s", "value", "seen_s"),
    [(0, 1, 0), (9.99, 1, 0), (10, 6, 10), (19, 6, 10), (20, -20, 20), (1e6, -20, 20)],
)
def test_a_value_holds_until_the_next_row_and_keeps_its_own_time(
    write: Write, time_s: float, value: float, seen_s: float
) -> None:
    assert read_series(write(STEPS)).samples(time_s) == (Sample(value, seen_s),)


def test_before_the_first_row_nothing_is_known(write: Write) -> None:
    assert read_series(write(STEPS)).samples(-0.1) == ()


def test_each_pod_has_its_own_steps_in_any_arrangement(write: Write) -> None:
    series = read_series(write("pod,timestamp_s,x,value\na,0,,1\na,30,,2\nb,10,,3\n"))
    assert series.samples(5) == (Sample(1.0, 0.0, "a"),)
    assert series.samples(30) == (Sample(2.0, 30.0, "a"), Sample(3.0, 10.0, "b"))


def test_an_empty_pod_is_a_series_without_one(write: Write) -> None:
    assert read_series(write("timestamp_s,value,pod\n0,1,\n")).samples(0) == (Sample(1.0, 0.0),)


def test_values_may_be_what_prometheus_returns(write: Write) -> None:
    series = read_series(write("timestamp_s,value\n0,NaN\n1,+Inf\n2,-Inf\n"))
    assert isnan(series.samples(0)[0].value)
    assert [series.samples(time)[0].value for time in (1, 2)] == [inf, -inf]


def test_gzip_bom_and_blank_lines_are_read_as_in_traces(tmp_path: Path) -> None:
    path = tmp_path / "series"
    path.write_bytes(gzip.compress(("\ufeff" + STEPS.replace("\n", "\r\n\r\n")).encode()))
    assert read_series(path).samples(12) == (Sample(6.0, 10.0),)


def test_a_shifted_series_follows_the_window_of_its_trace(write: Write, tmp_path: Path) -> None:
    """The value that was recorded at a request's time is seen at that request's replayed time."""
    trace = tmp_path / "trace.csv"
    trace.write_text("timestamp_s,prompt_tokens,output_tokens\n5,1,1\n10,1,1\n20,1,1\n")
    series = read_series(write(STEPS)).shifted(4.0, 2.0)
    window = Trace(trace).window(start_s=4.0, rate_scale=2.0)
    assert [series.samples(time_s) for time_s, _, _ in window] == [
        (Sample(1.0, -2.0),),
        (Sample(6.0, 3.0),),
        (Sample(-20.0, 8.0),),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty; the header timestamp_s,value[,pod] and rows belong here"),
        ("timestamp_s,value\n\n", "has a header but no rows"),
        ("1,2\n", "1: timestamp_s: the column is missing; found: '1', '2'; timestamp_s,value[,pod] is right"),
        (
            "timestamp_s,val\n",
            "1: value: the column is missing; found: 'timestamp_s', 'val'; timestamp_s,value[,pod] is right",
        ),
        ("timestamp_s,value\n0,1\n1,x\n", "3: value: 'x' is not a number; write a number like 12.5"),
        ("timestamp_s,value\n0,\n", "2: value: is empty; a number belongs here"),
        ("timestamp_s,value\nnan,1\n", "2: timestamp_s: 'nan' is not finite; write a number like 12.5"),
        ("timestamp_s,value\n0,1,2\n", "2: 3 fields where the header has 2"),
        ('timestamp_s,value\n0,"1\n', "2: '0,\"1' is not a valid CSV row: unexpected end of data"),
        (
            "timestamp_s,value\n5,1\n4.5,1\n",
            "3: timestamp_s: 4.5 is before 5, the time above it; rows are sorted by time",
        ),
        (
            "timestamp_s,value,pod\n5,1,a\n4,1,b\n4.5,1,a\n",
            "4: timestamp_s: 4.5 is before 5, the time above it of this pod; rows are sorted by time",
        ),
    ],
)
def test_errors_name_line_column_and_value(write: Write, content: str, message: str) -> None:
    path = write(content)
    with pytest.raises(InputError) as caught:
        read_series(path)
    assert str(caught.value) in (f"{path}:{message}", f"{path}: {message}")


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(-9, 9)), min_size=1, max_size=20), st.integers(-5, 60)
)
def test_the_sample_is_the_last_row_at_or_before_the_time(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]], time_s: int
) -> None:
    rows.sort(key=lambda row: row[0])
    path = tmp_path_factory.getbasetemp() / "series"
    path.write_text("timestamp_s,value\n" + "".join(f"{time},{value}\n" for time, value in rows))
    before = [Sample(float(value), float(time)) for time, value in rows if time <= time_s]
    assert read_series(path).samples(time_s) == tuple(before[-1:])
