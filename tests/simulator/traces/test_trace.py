"""Traces in every known format: what is read, what is refused, and in which words."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.errors import TraceError
from simulator.traces.formats import FORMATS
from simulator.traces.rows import Request
from simulator.traces.trace import Trace, bundled_trace, resolve_trace

HEADER = "timestamp_s,prompt_tokens,output_tokens\n"
SMALL = HEADER + "0.5,10,1\n0.5,20,2\n7.25,30,3\n"
REQUESTS = [(0.5, 10, 1), (0.5, 20, 2), (7.25, 30, 3)]

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write_trace(content: str | bytes) -> Path:
        path = tmp_path / "trace"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_trace


def error_of(path: Path, **options: str) -> str:
    with pytest.raises(TraceError) as caught:
        list(Trace(path, **options))  # type: ignore[arg-type]
    return str(caught.value).replace(str(path.parent) + os.sep, "")


AZURE_2023 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2023-11-16 23:59:59.6805900,374,44\n"
    "2023-11-17 00:00:03.9951907,396,109\n"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\n"
    "2024-05-10 00:00:00+00:00,9,9\n"
    "2024-05-10 02:00:00.017335+02:00,2399,6\n"
)
BURSTGPT = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n45.5,GPT-4,1087,230,1317,API log\n"
)
BURSTGPT_SESSIONS = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    '5,,1.25,"ChatGPT, old",472,18,490,Conversation log\n'
)
MOONCAKE = (
    '{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1, 2]}\n'
    '{"timestamp": 27482, "input_length": 7322, "output_length": 490, "hash_ids": []}\n'
)
OUR_JSON = (
    '{"timestamp_s": 1, "prompt_tokens": 5, "output_tokens": 6, "model": "a"}\n'
    '{"output_tokens": 8, "prompt_tokens": 7, "timestamp_s": 1.5}\n'
)


@pytest.mark.parametrize(
    ("content", "name", "expected"),
    [
        (SMALL, "vllm-autoscaler", REQUESTS),
        (SMALL.rstrip("\n"), "vllm-autoscaler", REQUESTS),
        (SMALL.replace("\n", "\r\n"), "vllm-autoscaler", REQUESTS),
        ("\ufeff" + SMALL, "vllm-autoscaler", REQUESTS),
        ("\n  \n" + SMALL.replace("\n", "\n\n"), "vllm-autoscaler", REQUESTS),
        (SMALL.replace(",", " , "), "vllm-autoscaler", REQUESTS),
        (
            "output_tokens,model,timestamp_s,,prompt_tokens\n4,nan,1e-1,x_y,6\n",
            "vllm-autoscaler",
            [(0.1, 6, 4)],
        ),
        (
            '"timestamp_s","model","prompt_tokens","output_tokens"\n0,"a ""b"", c",+1,002\n',
            "vllm-autoscaler",
            [(0.0, 1, 2)],
        ),
        (AZURE_2023, "azure", [(0.0, 374, 44), (4.3146007, 396, 109)]),
        (AZURE_2024.replace(".009930", ""), "azure", [(0.0, 2162, 5), (0.0, 9, 9), (0.017335, 2399, 6)]),
        (BURSTGPT, "burstgpt", [(5.0, 472, 18), (45.5, 1087, 230)]),
        (BURSTGPT_SESSIONS, "burstgpt", [(5.0, 472, 18)]),
        (MOONCAKE, "mooncake", [(0.0, 6758, 500), (27.482, 7322, 490)]),
        ("timestamp,input_length,output_length\n3000,5,6\n", "mooncake", [(3.0, 5, 6)]),
        (OUR_JSON, "vllm-autoscaler", [(1.0, 5, 6), (1.5, 7, 8)]),
        (
            '{"TIMESTAMP": "2023-11-16 18:15:46", "ContextTokens": 1, "GeneratedTokens": 2}\n',
            "azure",
            [(0.0, 1, 2)],
        ),
    ],
)
@pytest.mark.parametrize("compress", [False, True])
def test_formats_are_recognised_by_their_columns_whatever_the_name(
    write: Write, content: str, name: str, expected: list[Request], compress: bool
) -> None:
    trace = Trace(write(gzip.compress(content.encode()) if compress else content))
    assert list(trace) == expected
    assert (trace.format, trace.tally.rows, trace.skipped_rows) == (name, len(expected), 0)


RULE = "a token count is a whole number from 1 to 10,000,000"
KNOWN = (
    "known: vllm-autoscaler ('timestamp_s', 'prompt_tokens', 'output_tokens'); "
    "azure ('TIMESTAMP', 'ContextTokens', 'GeneratedTokens'); "
    "burstgpt ('Timestamp', 'Request tokens', 'Response tokens'); "
    "mooncake ('timestamp', 'input_length', 'output_length')"
)

BAD_ROWS = [
    ("1,3.5,1", f"prompt_tokens: '3.5' is not a whole number; {RULE}"),
    ("1,,1", f"prompt_tokens: '' is not a whole number; {RULE}"),
    ("1,5,x", f"output_tokens: 'x' is not a whole number; {RULE}"),
    ("1,1_000,1", f"prompt_tokens: '1_000' is not a whole number; {RULE}"),
    ("1,٣,1", f"prompt_tokens: '٣' is not a whole number; {RULE}"),
    ("1,5,-7", f"output_tokens: '-7' is negative; {RULE}"),
    (
        "1,5,0",
        f"output_tokens: 0 tokens (some sources record failed requests so; leave them out); {RULE}",
    ),
    ("1,10000001,5", f"prompt_tokens: '10000001' is too large; {RULE}"),
    ("1,5," + "9" * 5000, f"output_tokens: '{'9' * 57}...' is not a whole number; {RULE}"),
    ("nan,5,5", "timestamp_s: 'nan' is not finite; write a number like 12.5"),
    ("-inf,5,5", "timestamp_s: '-inf' is not finite; write a number like 12.5"),
    ("1e999,5,5", "timestamp_s: '1e999' is not finite; write a number like 12.5"),
    ("1:05,5,5", "timestamp_s: '1:05' is not a number; write a number like 12.5"),
    (",5,5", "timestamp_s: is empty; a number belongs here"),
    ("-1,5,5", "timestamp_s: '-1' is negative; times count from the trace's start"),
    (
        "1700158546.68,5,5",
        "timestamp_s: '1700158546.68' seconds are too many; "
        "times count from the trace's start, not from 1970",
    ),
    ("0.25,5,5", "timestamp_s: '0.25' is before '0.5' on line 2; rows are sorted by time"),
    ("1,5", "2 fields where the header has 3: '1,5'"),
    ("1,5,5,5", "4 fields where the header has 3: '1,5,5,5'"),
    ('1,5,"5', "'1,5,\"5' is not a valid CSV row: unexpected end of data"),
]


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_stops_with_file_line_column_and_value(write: Write, row: str, message: str) -> None:
    path = write(f"{HEADER}0.5,10,1\n{row}\n9,30,3\n")
    assert error_of(path) == f"trace:3: {message}"


@pytest.mark.parametrize(("row", "message"), BAD_ROWS)
def test_a_bad_row_is_skipped_and_counted_on_request(write: Write, row: str, message: str) -> None:
    trace = Trace(write(f"{HEADER}0.5,10,1\n{row}\n9,30,3\n"), bad_rows="skip")
    assert list(trace) == [(0.5, 10, 1), (9.0, 30, 3)]
    assert (trace.skipped_rows, trace.tally.rows) == (1, 2)
    assert str(trace.tally.first_skipped).endswith(f"trace:3: {message}")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ('{"timestamp_s": 1, "prompt_tokens": 5}', "output_tokens: is missing from this line's object"),
        ("[1, 5, 5]", "'[1, 5, 5]' is not a JSON object; one whole object belongs on each line"),
        (
            '{"timestamp_s": true, "prompt_tokens": 5, "output_tokens": 6}',
            "timestamp_s: true is not a time; a time is a number of seconds",
        ),
        (
            '{"timestamp_s": "1", "prompt_tokens": 5, "output_tokens": 6}',
            "timestamp_s: '1' is not a time; a time is a number of seconds",
        ),
        (
            '{"timestamp_s": NaN, "prompt_tokens": 5, "output_tokens": 6}',
            "timestamp_s: NaN is not finite; a time is a number of seconds",
        ),
        (
            '{"timestamp_s": 1, "prompt_tokens": true, "output_tokens": 6}',
            f"prompt_tokens: true is not a whole number; {RULE}",
        ),
        (
            '{"timestamp_s": 1, "prompt_tokens": 3.0, "output_tokens": 6}',
            f"prompt_tokens: 3.0 is not a whole number; {RULE}",
        ),
        (
            '{"timestamp_s": 1, "prompt_tokens": [5], "output_tokens": 6}',
            f"prompt_tokens: a JSON array is not a whole number; {RULE}",
        ),
        (
            '{"timestamp_s": 1, "prompt_tokens": 5, "output_tokens": null}',
            f"output_tokens: null is not a whole number; {RULE}",
        ),
        (
            '{"timestamp_s": 0.5, "prompt_tokens": 5, "output_tokens": 6}',
            "timestamp_s: '0.5' is before '1' on line 1; rows are sorted by time",
        ),
    ],
)
def test_a_bad_json_line_names_its_key(write: Write, row: str, message: str) -> None:
    good = '{"timestamp_s": 1, "prompt_tokens": 5, "output_tokens": 6}\n'
    path = write(good + row + "\n")
    assert error_of(path) == f"trace:2: {message}"
    assert list(Trace(path, bad_rows="skip")) == [(1.0, 5, 6)]


def test_a_line_that_is_no_json_says_where(write: Write) -> None:
    assert error_of(write('{"timestamp_s": 1,\n"prompt_tokens": 5}\n')).startswith(
        "trace:1: '{\"timestamp_s\": 1,' is not valid JSON ("
    )
    assert "is not valid JSON" in error_of(write("[" * 100_000 + "\n"))


def test_skipping_finds_the_format_on_the_first_line_that_is_an_object(write: Write) -> None:
    trace = Trace(write('{"broken\n\n' + OUR_JSON), bad_rows="skip")
    assert list(trace) == [(1.0, 5, 6), (1.5, 7, 8)]
    assert trace.skipped_rows == 1
    assert "none of the first lines" in error_of(write('{"broken\n{}\n'), bad_rows="skip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "trace: is empty; a header line and at least one row belong here"),
        (" \n\n", "trace: is empty; a header line and at least one row belong here"),
        (gzip.compress(b"", mtime=0), "trace: is empty; a header line and at least one row belong here"),
        (HEADER, "trace: has a header but no rows"),
        (HEADER + "\n\n", "trace: has a header but no rows"),
        (
            "time,tokens\n1,2\n",
            f"trace:1: no trace format has these columns; found: 'time', 'tokens'; {KNOWN}",
        ),
        (
            "\ntimestamp_s,prompt_tokens\n1,2\n",
            "trace:2: 'output_tokens' missing of the vllm-autoscaler format; "
            f"found: 'timestamp_s', 'prompt_tokens'; {KNOWN}",
        ),
        (
            "timestamp_s,prompt_tokens,output_tokens,timestamp_s\n1,2,3,4\n",
            "trace:1: timestamp_s: appears twice in the header; name it once",
        ),
        (
            '{"a": 1}\n',
            f"trace:1: no trace format has these columns; found: 'a'; {KNOWN}",
        ),
        ('timestamp_s,"prompt\n', "trace:1: the header line is not valid CSV: unexpected end of data"),
        (
            SMALL.encode() + b"9,\0,1\n",
            "trace:5: is binary (a zero byte); CSV or JSON lines in UTF-8 are read, plain or gzip",
        ),
        (
            SMALL.encode("utf-16"),
            "trace:1: is binary (a zero byte); CSV or JSON lines in UTF-8 are read, plain or gzip",
        ),
        (
            SMALL.encode() + b"8,1,1\n9,\xe9,1\n",
            "trace:6: is not UTF-8 text (byte 0xe9); save it as UTF-8",
        ),
        (SMALL + "9,1," + "1" * 2_000_000 + "\n", "trace:5: the line is longer than 1,048,576 bytes"),
    ],
)
@pytest.mark.parametrize("bad_rows", ["stop", "skip"])
def test_what_is_wrong_with_the_whole_file_stops_in_either_mode(
    write: Write, content: str | bytes, message: str, bad_rows: str
) -> None:
    assert error_of(write(content), bad_rows=bad_rows) == message


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_another_separator_is_named(write: Write, separator: str) -> None:
    assert error_of(write(HEADER.replace(",", separator) + "\n")).startswith(
        f"trace:1: columns are separated by commas, not by {separator!r}; found: "
    )


def test_a_first_line_of_numbers_is_a_missing_header(write: Write) -> None:
    assert error_of(write("0.0,374,44\n4.3,396,109\n")).startswith(
        "trace:1: the header line is missing (this line is a row)"
    )


def test_a_directory_and_a_missing_file_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "traces"
    folder.mkdir()
    assert error_of(folder) == "traces: is a directory; name one file in it"
    assert error_of(tmp_path / "none.csv") == "none.csv: no such file"
    assert error_of(folder / "a\0b").endswith("cannot be opened: embedded null byte")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(write: Write) -> None:
    path = write(SMALL)
    path.chmod(0)
    assert error_of(path) == "trace: may not be read: permission denied"


def test_a_truncated_gzip_gives_its_requests_and_then_the_line_it_reached(write: Write) -> None:
    rows = [
        f"{number}.{number * 7919 % 1000:03},{number * 31 % 997 + 1},{number % 89 + 1}"
        for number in range(5000)
    ]
    whole = gzip.compress((HEADER + "\n".join(rows) + "\n").encode())
    trace = Trace(write(whole[: len(whole) // 2]), bad_rows="skip")
    seen: list[Request] = []
    with pytest.raises(TraceError, match="the gzip data is truncated: it cannot be read beyond") as caught:
        seen.extend(trace)
    problem = caught.value.problems[0]
    assert 1000 < trace.tally.rows < 4000
    assert problem.line == trace.tally.rows + 2  # the header, and the line that is cut off


@pytest.mark.parametrize("keep", [3, 12])
def test_a_gzip_cut_in_its_first_bytes_is_truncated_not_empty(write: Write, keep: int) -> None:
    path = write(gzip.compress(SMALL.encode())[:keep])
    assert error_of(path).startswith("trace:1: the gzip data is truncated")


def test_a_corrupt_gzip_is_said_to_be_corrupt(write: Write) -> None:
    data = bytearray(gzip.compress(SMALL.encode() * 1))
    data[-8] ^= 0xFF  # the checksum
    assert "the gzip data is corrupt" in error_of(write(bytes(data)))
    assert "the gzip data is corrupt" in error_of(write(gzip.compress(SMALL.encode()) + b"more"))


def test_concatenated_and_padded_gzip_members_are_one_file(write: Write) -> None:
    parts = gzip.compress(SMALL.encode()) + gzip.compress(b"8,1,1\n", mtime=0) + b"\0" * 512
    assert list(Trace(write(parts))) == [*REQUESTS, (8.0, 1, 1)]


def test_if_every_row_is_bad_skipping_is_an_error_with_the_first_of_them(write: Write) -> None:
    message = error_of(write(HEADER + "1,0,1\n2,x,1\n"), bad_rows="skip")
    assert message.splitlines()[0] == "trace: has no good row; all 2 are bad. The first one:"
    assert message.splitlines()[1].startswith("trace:2: prompt_tokens: 0 tokens")


def test_a_row_far_in_the_future_makes_the_rows_after_it_unsorted(write: Write) -> None:
    trace = Trace(write(HEADER + "1,1,1\n500,2,2\n2,3,3\n500,4,4\n"), bad_rows="skip")
    assert list(trace) == [(1.0, 1, 1), (500.0, 2, 2), (500.0, 4, 4)]


def test_the_zero_of_absolute_times_is_the_first_good_row(write: Write) -> None:
    rows = AZURE_2023.replace(",374,", ",0,")
    assert list(Trace(write(rows), bad_rows="skip")) == [(0.0, 396, 109)]
    assert "'2023-11-16 23:59:59.6805900' is before '2023-11-17 00:00:00' on line 2" in error_of(
        write(
            "TIMESTAMP,ContextTokens,GeneratedTokens\n"
            "2023-11-17 00:00:00,1,1\n2023-11-16 23:59:59.6805900,1,1\n"
        )
    )


def test_a_calendar_time_has_to_be_near_the_first_one(write: Write) -> None:
    rows = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46,1,1\n2123-11-16 00:00:00,1,1\n"
    message = "'2123-11-16 00:00:00' is more than 1,000,000,000 s after the trace's start"
    assert error_of(write(rows)) == f"trace:3: TIMESTAMP: {message}"


@pytest.mark.parametrize(
    "time", ["2023-02-30 00:00:00", "16/11/2023 18:15", "2023-11-16 24:00:00", "5", "2023-11-16"]
)
def test_a_calendar_time_has_to_exist(write: Write, time: str) -> None:
    assert "TIMESTAMP: " + repr(time) + " is not a time; write it like" in error_of(
        write(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{time},1,1\n")
    )


def test_both_paths_say_the_same_across_many_blocks(write: Write) -> None:
    """Quotes send a block down the careful path; the requests and the error stay the same."""
    rows = [f"{number / 8},{number % 900 + 1},{number % 70 + 1}" for number in range(30_000)]
    expected = [(number / 8, number % 900 + 1, number % 70 + 1) for number in range(30_000)]
    assert list(Trace(write(HEADER + "\n".join(rows)))) == expected
    quoted = ['"' + row.replace(",", '","') + '"' for row in rows]
    assert list(Trace(write(HEADER + "\n".join(quoted)))) == expected
    for lines in (rows, quoted):
        message = error_of(write(HEADER + "\n".join(lines) + "\n3,1,1"))
        assert (
            message
            == "trace:30002: timestamp_s: '3' is before '3749.875' on line 30001; rows are sorted by time"
        )


def test_reading_stops_where_the_consumer_stops(write: Write) -> None:
    """A reader that held the whole file would meet the bad row at its end."""
    path = write(HEADER + "1,1,1\n" * 100_000 + "bad\n")
    assert len(list(islice(Trace(path), 1000))) == 1000


def test_a_trace_can_be_read_again_and_counts_anew(write: Write) -> None:
    trace = Trace(write(SMALL + "1,1,1\n"), bad_rows="skip")
    assert list(trace) == list(trace) == REQUESTS
    assert (trace.skipped_rows, trace.tally.rows) == (1, 3)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0.0, 2.0, 5.0, 9.0]),
        ({"start_s": 2.0}, [0.0, 3.0, 7.0]),
        ({"span_s": 5.0}, [0.0, 2.0]),
        ({"start_s": 2.0, "span_s": 7.0}, [0.0, 3.0]),
        ({"start_s": 2.0, "span_s": 7.0, "rate_scale": 2.0}, [0.0, 1.5]),
        ({"rate_scale": 0.5}, [0.0, 4.0, 10.0, 18.0]),
    ],
)
def test_a_window_is_cut_half_open_then_shifted_then_scaled(
    write: Write, options: dict[str, float], expected: list[float]
) -> None:
    trace = Trace(write(HEADER + "0,1,1\n2,2,2\n5,3,3\n9,4,4\n"))
    assert [request[0] for request in trace.window(**options)] == expected


def test_a_window_does_not_read_beyond_its_end(write: Write) -> None:
    trace = Trace(write(HEADER + "0,1,1\n" + "9,4,4\n" * 50_000 + "bad\n"))
    assert list(trace.window(span_s=5)) == [(0.0, 1, 1)]


def test_an_empty_window_says_what_is_near(write: Write) -> None:
    trace = Trace(write(HEADER + "1,1,1\n9,4,4\n"))
    with pytest.raises(TraceError, match=r"has no request in 2 s to 5 s; the next one is at 9 s"):
        list(trace.window(start_s=2, span_s=3))
    with pytest.raises(TraceError, match=r"has no request from 20 s on; the last one is at 9 s"):
        list(trace.window(start_s=20))


@pytest.mark.parametrize(
    "options", [{"start_s": -1.0}, {"span_s": 0.0}, {"rate_scale": 0.0}, {"start_s": float("nan")}]
)
def test_a_window_that_cannot_be_is_refused(write: Write, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        Trace(write(SMALL)).window(**options)


def test_the_bundled_trace_is_the_whole_azure_conversation_hour() -> None:
    trace = Trace(bundled_trace("azure-conv"))
    requests = list(trace)
    assert (len(requests), requests[0], requests[-1]) == (19_366, (0.0, 374, 44), (3501.722, 197, 183))
    assert "CC-BY-4.0" in (bundled_trace("azure-conv").parent / "README.md").read_text()


def test_a_file_goes_before_a_bundled_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(SMALL)
    assert resolve_trace(str(path)) == path
    assert resolve_trace("azure-conv") == bundled_trace("azure-conv")
    path.rename(path.with_name("azure-conv"))
    monkeypatch.chdir(path.parent)
    assert resolve_trace("azure-conv") == Path("azure-conv")


def test_a_name_that_is_neither_file_nor_bundled_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match=r"no such file, and no bundled trace \(there are: azure-conv\)"):
        resolve_trace(str(tmp_path / "azure"))
    with pytest.raises(TraceError, match=r"azure: is not a bundled trace; there are: azure-conv"):
        bundled_trace("azure")


def as_ours(request: Request) -> str:
    return "{!r},{},{}".format(*request)


def as_burstgpt(request: Request) -> str:
    return "x,{1},{2},{0!r}".format(*request)


def as_mooncake(request: Request) -> str:
    return json.dumps(
        {"timestamp": request[0] * 1000, "input_length": request[1], "output_length": request[2]}
    )


def as_azure(request: Request) -> str:
    time = datetime(2023, 11, 16, 18, tzinfo=UTC) + timedelta(milliseconds=round(request[0] * 1000))
    return "{},{},{}".format(time, *request[1:])


HEADERS = {
    as_ours: HEADER,
    as_burstgpt: "Model,Request tokens,Response tokens,Timestamp\n",
    as_azure: "TIMESTAMP,ContextTokens,GeneratedTokens\n",
    as_mooncake: "",
}
TOKENS = st.integers(1, 10_000_000)
TRACES = st.lists(st.tuples(st.integers(0, 86_000_000), TOKENS, TOKENS), min_size=1, max_size=30).map(
    lambda rows: [(ms / 1000, prompt, output) for ms, prompt, output in sorted(rows)]
)


@pytest.mark.parametrize("line_of", list(HEADERS))
@given(requests=TRACES)
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, line_of: Callable[[Request], str], requests: list[Request]
) -> None:
    path = tmp_path_factory.getbasetemp() / "round-trip"
    path.write_text(HEADERS[line_of] + "".join(line_of(request) + "\n" for request in requests))
    zero = requests[0][0] if line_of is as_azure else 0.0
    expected = [(pytest.approx(time - zero, abs=1e-9), prompt, output) for time, prompt, output in requests]
    assert list(Trace(path)) == expected


def test_the_guide_lists_every_format_and_quotes_a_true_message(write: Write) -> None:
    guide = (Path(__file__).parents[3] / "docs" / "traces.md").read_text()
    for known in FORMATS:
        assert all(f"`{word}`" in guide for word in (known.name, *known.columns))
    message = error_of(write(HEADER + "1,1,1\n" * 5 + "1,3.5,1\n")).replace("trace:", "my-trace.csv:")
    assert f"\n{message}\n" in guide


FRAGMENTS = st.sampled_from(
    [HEADER, "1,2,3\n", "0.5,7,1\n", ",", "\n", '"', "nan", "-1", "\r", "{", "}", '"a"', "é"]
)


@given(
    content=st.one_of(
        st.binary(max_size=200),
        st.lists(FRAGMENTS, max_size=12).map(lambda parts: (HEADER + "".join(parts)).encode()),
        st.lists(FRAGMENTS, max_size=12).map(lambda parts: (MOONCAKE + "".join(parts)).encode()),
        st.binary(max_size=60).map(lambda tail: gzip.compress(SMALL.encode())[:-8] + tail),
    ),
    bad_rows=st.sampled_from(["stop", "skip"]),
)
def test_any_bytes_give_sorted_requests_or_a_trace_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, bad_rows: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz"
    path.write_bytes(content)
    with suppress(TraceError):
        requests = list(Trace(path, bad_rows=bad_rows))  # type: ignore[arg-type]
        assert requests == sorted(requests, key=lambda request: request[0])
        assert all(1 <= tokens <= 10_000_000 for request in requests for tokens in request[1:])


# -- hashes -----------------------------------------------------------------------------------

HASHED_CSV = HEADER.replace("\n", ",hash_ids\n") + "0.5,10,1,7 8 9\n1,8,2,7 8\n"
HASHED_JSON = (
    '{"timestamp": 500, "input_length": 10, "output_length": 1, "hash_ids": [7, 8, 9]}\n'
    '{"timestamp": 1000, "input_length": 8, "output_length": 2, "hash_ids": [7, 8]}\n'
)
HASHED = [(0.5, 10, 1, (7, 8, 9)), (1.0, 8, 2, (7, 8))]


@pytest.mark.parametrize("text", [HASHED_CSV, HASHED_JSON])
def test_hashes_are_read_where_they_are_wanted(write, text):
    trace = Trace(write(text))
    assert list(trace.hashed_window(4)) == HASHED
    assert list(trace.hashed_window(4, start_s=1.0, rate_scale=2.0)) == [(0.0, 8, 2, (7, 8))]
    assert list(trace) == [request[:3] for request in HASHED]


def test_the_last_piece_of_a_prompt_may_have_no_id(write):
    text = HASHED_JSON.replace("[7, 8, 9]", "[7, 8]")
    assert next(Trace(write(text)).hashed_window(4)) == (0.5, 10, 1, (7, 8))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SMALL, "trace:1: hash_ids: is missing; the prefix cache finds prompts by it"),
        (HASHED_CSV.replace("7 8 9", "7 x 9"), "trace:2: hash_ids: '7 x 9' is not a list of ids"),
        (HASHED_CSV.replace("7 8 9", "7 -8 9"), "trace:2: hash_ids: '7 -8 9' is not a list of ids"),
        (HASHED_CSV.replace("7 8 9", f"7 8 {2**63}"), "is not a list of ids"),
        (HASHED_JSON.replace("[7, 8]", "[7, 8.0]"), "trace:2: hash_ids: '[7, 8.0]' is not a list of ids"),
        (HASHED_JSON.replace("[7, 8]", "null"), "trace:2: hash_ids: 'null' is not a list of ids"),
        (
            HASHED_CSV.replace("7 8 9", "7 8 9 10"),
            "trace:2: hash_ids: 4 ids for 10 tokens; one id for each 4 tokens makes 3 (--hash",
        ),
    ],
)
def test_what_is_wrong_with_hashes_is_said(write, text, message):
    with pytest.raises(TraceError) as caught:
        list(Trace(write(text)).hashed_window(4))
    assert message in str(caught.value)


def test_a_row_with_bad_hashes_can_be_skipped(write):
    trace = Trace(write(HASHED_CSV.replace("7 8 9", "7")), bad_rows="skip")
    assert list(trace.hashed_window(4)) == HASHED[1:]
    assert trace.skipped_rows == 1
