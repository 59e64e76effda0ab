"""Logs, statuses and results that earlier versions wrote are read, explained, replayed and resumed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import isinf, isnan
from pathlib import Path

import pytest

from autoscaler.batch.journal import Journal
from autoscaler.batch.results import RowResult
from autoscaler.cli.main import main
from autoscaler.documents.text_lines import Lines
from autoscaler.errors import InputError
from autoscaler.history.records import DecisionRecord, LogGap, gap_line, read_decisions_jsonl, record_line
from tests.controller.fakes import CHAT, START, world

EARLIER = Path(__file__).parent / "golden" / "earlier"
FOLDERS = sorted(path for path in EARLIER.iterdir() if path.is_dir())
LOGS = sorted(EARLIER.glob("*/*.jsonl.gz"))

folders = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
logs = pytest.mark.parametrize("log", LOGS, ids=lambda log: f"{log.parent.name}-{log.stem}")


def ran(*argv: str) -> None:
    """One command, which succeeds."""
    try:
        status = main(argv)
    except SystemExit as error:
        status = error.code
    assert not status


@logs
def test_a_log_replays_to_what_was_decided(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran("replay", str(log))
    assert " as logged" in capsys.readouterr().out


@folders
def test_a_log_tells_the_same_story(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = folder / "controller.jsonl.gz"
    ran("explain", "chat/vllm", "--last", "100", "--log", str(log))
    # The older explain printed the line break that ends a logged error; now it is spelled out.
    story = (folder / "story.txt").read_text().replace("“quoted”\n", r"“quoted”\n")
    assert capsys.readouterr().out.replace(str(log), "LOG") == story


@logs
def test_a_log_that_is_written_again_says_the_same_and_what_is_new(log: Path) -> None:
    before = [line for _, text in Lines(log, InputError).blocks() for line in text.splitlines()]
    for line, read in zip(before, read_decisions_jsonl(log), strict=True):
        again = gap_line(read) if isinstance(read, LogGap) else record_line(read)
        assert covers(json.loads(again), json.loads(line))


def covers(new: object, old: object) -> bool:
    """Whether all that ``old`` says is in ``new``, which may have further fields."""
    if isinstance(old, Mapping):
        return isinstance(new, Mapping) and all(covers(new.get(key), value) for key, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) == len(old) and all(map(covers, new, old))
    return new == old


@folders
def test_values_that_are_no_finite_numbers_are_read(folder: Path) -> None:
    values = [
        sample.value
        for line in read_decisions_jsonl(folder / "controller.jsonl.gz")
        if isinstance(line, DecisionRecord)
        for reading in line.observation.readings
        for sample in reading.samples
    ]
    assert any(map(isnan, values))
    assert any(map(isinf, values))
    assert 1 / 3 in values


@folders
def test_a_status_is_taken_up_again(folder: Path) -> None:
    status = json.loads((folder / "statuses.json").read_text())["chat/vllm"]
    with world() as made:
        made.store.put(CHAT, status=status)
        made.chat.replicas = 1
        made.time.passed = 465.0  # when the status was written
        made.restart()
        sync = made.sync(load=0)
        assert sync.made is not None
        assert sync.now == START + 480.0
        before = sync.made.before
        saved = status["history"]
        assert [one.change for one in before.down_events] == [one["change"] for one in saved["downEvents"]]
        assert {one["replicas"] for one in saved["recommendations"]} <= {
            one.replicas for one in before.recommendations
        }
    assert len(made.status["pastDecisions"]) == len(status["pastDecisions"])


@folders
def test_a_batch_goes_on_behind_the_torn_line(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "batch.jsonl"
    whole = (folder / "batch.jsonl").read_bytes()
    path.write_bytes(whole)
    with Journal(path) as journal:
        kept = len(journal.done)
        assert (journal.done[0], journal.failed) == ("key-0", 1)
        journal.append(RowResult(7, "id-7", "key-7", "7", "stop", 1, 1, 1, None))
    assert path.read_bytes().startswith(whole[: whole.rindex(b"\n") + 1])
    assert len(path.read_bytes().splitlines()) == kept + 1
