"""Results survive what happens to the process; each row has one."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.batch.journal import Journal
from autoscaler.batch.results import RowResult
from autoscaler.errors import InputError


def result(row: int, error: str | None = None) -> RowResult:
    output = None if error else f"said {row} …"
    return RowResult(row, f"id-{row}", f"key-{row}", output, "stop", 3, 4, 1, error)


def write(path, *results: RowResult) -> None:
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
    line = json.loads(path.read_text().splitlines()[0])
    assert list(line) == [*RowResult.__dataclass_fields__, "custom_id"]
    assert (line["id"], line["custom_id"]) == ("id-0", "id-0")


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


def old_line(row: int, **given) -> str:
    """As versions wrote it that kept the text of the first choice alone."""
    named = {"row": row, "id": f"id-{row}", "key": f"key-{row}", "output": "said", "finish_reason": "stop"}
    return json.dumps(
        {**named, "prompt_tokens": 3, "completion_tokens": 4, "attempts": 1, "error": None, **given}
    )


@pytest.mark.parametrize("retry_errors", [False, True])
def test_rows_of_older_journals_whose_answers_were_lost_count_as_never_sent(path, retry_errors):
    """Aborted ones, whether they have text or not, and those without text, such as tool calls."""
    lost = [
        old_line(1, output="", finish_reason="abort", completion_tokens=0),
        old_line(2, output="said so", finish_reason="abort"),
        old_line(3, output=None, finish_reason="tool_calls"),
    ]
    kept = [old_line(0), old_line(4, output="", finish_reason="length")]
    error = old_line(5, output=None, finish_reason=None, error="500 Internal Server Error")
    path.write_text("".join(line + "\n" for line in [kept[0], *lost, error, kept[1]]))
    kept.insert(1, error)
    with Journal(path, retry_errors=retry_errors) as journal:
        assert journal.lost == 3
        assert sorted(journal.done) == ([0, 4] if retry_errors else [0, 4, 5])
        assert journal.failed == (not retry_errors)
    lines = path.read_text().splitlines()
    assert lines == [line for line in kept if not (retry_errors and line == error)]
    with Journal(path) as journal:
        assert journal.lost == 0


def test_a_result_without_text_has_its_answer_beside_it(path):
    body = {"choices": [{"message": {"content": None, "tool_calls": [{"id": "1"}]}}]}
    response = {"status_code": 200, "request_id": "x", "body": body}
    write(path, replace(result(0), output=None, finish_reason="tool_calls", response=response))
    with Journal(path) as journal:
        assert (journal.lost, sorted(journal.done)) == (0, [0])
        assert next(journal.results()).response == response


def test_results_by_row_whatever_their_order_in_the_file(path):
    write(path, *[result(row) for row in (3, 0, 12, 7)])
    with Journal(path) as journal:
        assert [one.row for one in journal.ordered()] == [0, 3, 7, 12]


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
        ("a,b\n", r"out.jsonl:1: --output: is not a result"),
        ('{"row": 1}\n', "is not a result"),
        ("[]\n", "is not a result"),
        ("5\n", "is not a result"),
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
    with pytest.raises(InputError, match="is not a regular file"):
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
