"""Results survive what happens to the process; each row has one."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.batch.journal import Journal, Result
from autoscaler.errors import InputError


def result(row: int, error: str | None = None) -> Result:
    output = None if error else f"said {row} …"
    return Result(row, f"id-{row}", f"key-{row}", output, "stop", 3, 4, 1, error)


def write(path, *results: Result) -> None:
    with Journal(path) as journal:
        for one in results:
            journal.append(one)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "out.jsonl"


def test_a_run_goes_on_where_the_last_ended(path):
    write(path, result(0), result(5, "no"))
    with Journal(path) as journal:
        assert journal.done == {0: "key-0", 5: "key-5"}
        assert journal.failed == 1
        journal.append(result(2))
        assert [one.row for one in journal.results()] == [0, 5, 2]
    assert list(json.loads(path.read_text().splitlines()[0])) == list(Result.__dataclass_fields__)


@given(st.integers(0, 400))
def test_killed_at_any_byte_only_the_torn_line_is_lost(tmp_path_factory, cut):
    path = tmp_path_factory.mktemp("torn") / "out.jsonl"
    write(path, *[result(row) for row in range(3)])
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    complete = whole[:cut].count(b"\n")
    with Journal(path) as journal:
        assert sorted(journal.done) == list(range(complete))
        for row in range(complete, 3):
            journal.append(result(row))
    assert path.read_bytes() == whole


def test_errors_are_sent_again_only_when_asked_for(path):
    write(path, result(0), result(1, "no"), result(2), result(3, "no"))
    with Journal(path) as journal:
        assert sorted(journal.done) == [0, 1, 2, 3]
    with Journal(path, retry_errors=True) as journal:
        assert (sorted(journal.done), journal.failed) == ([0, 2], 0)
        journal.append(result(3))
    rows = [json.loads(line)["row"] for line in path.read_text().splitlines()]
    assert rows == [0, 2, 3]
    assert [file.name for file in path.parent.iterdir()] == ["out.jsonl"]


def test_what_utf_8_cannot_say_costs_a_character_not_the_run(path):
    whole, half = "Ü 日 😀", "\ud83d!"
    with Journal(path) as journal:
        for row, output in enumerate((whole, half)):
            journal.append(replace(result(row), output=output))
        assert [one.output for one in journal.results()] == [whole, "?!"]


def test_two_runs_cannot_write_one_file(path):
    with Journal(path), pytest.raises(InputError, match="another `autoscale batch` writes it right now"):
        Journal(path).__enter__()
    with Journal(path):
        pass


def test_the_lock_goes_along_when_the_file_is_replaced(path):
    write(path, result(0, "no"))
    with Journal(path, retry_errors=True), pytest.raises(InputError, match="right now"):
        Journal(path).__enter__()


def test_a_row_that_was_asked_something_else_is_refused(path):
    write(path, result(0))
    with Journal(path) as journal:
        assert journal.has(0, "key-0")
        assert not journal.has(1, "any")
        with pytest.raises(InputError, match="row 0 was asked something else"):
            journal.has(0, "other")
        journal.check_size(1)
        with pytest.raises(InputError, match="has results of 1 rows that the input has not"):
            journal.check_size(0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a,b\n", r"out.jsonl:1: --output: is no result"),
        ('{"row": 1}\n', "is no result"),
        ("[]\n", "is no result"),
        ("5\n", "is no result"),
    ],
)
def test_another_file_is_never_touched(path, text, says):
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        Journal(path).__enter__()
    assert path.read_text() == text


def test_a_second_result_for_a_row_is_found(path):
    write(path, result(0))
    path.write_bytes(path.read_bytes() * 2)
    with pytest.raises(InputError, match=r"out\.jsonl:2: --output: row 0 has a second result"):
        Journal(path).__enter__()


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="cannot be written: No such file or directory"):
        Journal(tmp_path / "no" / "out.jsonl").__enter__()


def test_a_device_cannot_be_read_again():
    with pytest.raises(InputError, match="is no regular file"):
        Journal(Path("/dev/null")).__enter__()


def test_a_disk_that_takes_no_more_is_one_clear_line(path):
    """The limit of a file's size stands for the disk's; what was kept before stays."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Journal(path) as journal:
        journal.append(result(0))
        size = path.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        try:
            with pytest.raises(InputError, match="cannot be written: File too large"):
                journal.append(result(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Journal(path) as journal:
        assert sorted(journal.done) == [0]
    assert path.stat().st_size == size
