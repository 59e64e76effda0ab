"""The decision log: whole lines, whatever happens to the file, and each file replays by itself."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.api.vocabulary import Action
from autoscaler.cli.commands.replay import replay_command
from autoscaler.controller.decision_log import DecisionLog
from autoscaler.errors import ClusterError, InputError
from autoscaler.history.explanation import explanation_of_log, render
from autoscaler.history.records import DecisionRecord, LogGap, gap_line, read_decisions_jsonl
from autoscaler.history.replay import replay
from tests.controller.fakes import CHAT, LostAnswerError, World, world
from tests.decision.builders import metric, policy


@contextmanager
def logged(path: Path) -> Iterator[World]:
    with world() as made:
        made.log = DecisionLog(path)
        made.restart()
        yield made
        made.log.close()


def replays(path: Path) -> list[DecisionRecord]:
    """The records of a log, each decided once more to the same."""
    again = list(replay(read_decisions_jsonl(path)))
    assert all(one.decision == one.record.decision for one in again)
    return [one.record for one in again]


def test_a_log_holds_every_decision_and_the_policy_once(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.sync(load=10)
        made.replicas_over(0, 600)
    records = replays(path)
    assert len(records) == 41
    assert [record.policy is not None for record in records] == [True] + [False] * 40
    assert records[0].policy_name == "chat/vllm"
    written = [record for record in records if record.action is Action.SCALED]
    assert [record.decision.desired_replicas for record in written] == [4, 1]


def test_an_edit_a_restart_and_a_jump_of_the_clock_are_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.sync(load=10)
        made.store.put(policy(metric(3, signal="waiting")))
        made.sync(load=10)
        made.restart()
        made.sync(load=1)
        made.time.jumped -= 500
        made.sync(load=1)
        made.sync(load=1)
    records = replays(path)
    assert [record.state is not None for record in records] == [True, True, True, True, False]
    assert records[1].policy is not None


def test_what_was_not_written_says_why(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.targets.faults["write"] = [ClusterError("timed out")]
        made.sync(load=10)
        made.sync(load=10)
    first, second = replays(path)
    assert (first.action, first.note) == (Action.FAILED, "timed out")
    assert second.action is Action.SCALED


Turn = tuple[float, str]
TURNS = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from(
            ["", "restart", "jump", "edit", "conflict", "fail", "lost", "down", "other", "rotate"]
        ),
    ),
    min_size=1,
    max_size=40,
)


@settings(max_examples=25)
@given(TURNS)
def test_whatever_happens_every_file_replays_by_itself(
    tmp_path_factory: pytest.TempPathFactory, turns: list[Turn]
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    path = folder / "decisions.jsonl"
    with logged(path) as made:
        for number, (load, event) in enumerate(turns):
            disturb(made, event, number, path)
            made.sync(load=load)
    assert sum(len(replays(file)) for file in folder.iterdir()) >= len(turns) - sum(
        event == "conflict" for _, event in turns
    )


def disturb(made: World, event: str, number: int, path: Path) -> None:
    made.source.error = "refused" if event == "down" else None
    if event == "restart":
        made.restart()
    elif event == "jump":
        made.time.jumped += 1000 if number % 2 else -1000
    elif event == "edit":
        made.store.put(CHAT if number % 2 else policy(metric(3, signal="waiting")))
    elif event in ("fail", "lost"):
        made.targets.faults["write"] = [
            LostAnswerError("timed out") if event == "lost" else ClusterError("timed out")
        ]
    elif event == "other":
        made.chat.replicas, made.chat.version = 5, made.chat.version + 1
    elif event == "rotate" and path.exists():
        path.rename(path.with_name(f"decisions.{number}.jsonl"))


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path, old = tmp_path / "decisions.jsonl", tmp_path / "decisions.jsonl.1"
    with logged(path) as made:
        made.replicas_over(10, 60)
        assert made.log is not None
        assert made.log.flush(10)
        path.rename(old)
        made.replicas_over(2, 60)
    assert len(replays(old)) == len(replays(path)) == 4


def test_half_a_line_of_a_crash_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.replicas_over(5, 30)
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 3])
    with logged(path) as made:
        made.sync(load=5)
    assert len(replays(path)) == 3
    assert path.read_bytes().startswith(whole)


def test_a_disk_that_is_full_leaves_whole_lines_and_a_log_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.replicas_over(5, 30)
        assert made.log is not None
        assert made.log.flush(10)
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:50]))
        assert made.sync(load=10).outcome.reason == "SucceededRescale"
        assert made.log.flush(10)
        monkeypatch.undo()
        made.sync(load=10)
    assert "the decision log cannot be written" in caplog.messages
    assert len(replays(path)) == 3


def test_a_log_that_cannot_be_opened_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or directory"):
        DecisionLog(tmp_path / "missing" / "decisions.jsonl")


def test_a_pipe_can_be_a_log() -> None:
    log = DecisionLog(Path("/dev/null"))
    with world() as made:
        made.log = log
        made.restart()
        made.sync(load=10)
    log.close()


def test_a_log_that_blocks_holds_up_no_sync_and_replays_behind_its_gap(tmp_path: Path) -> None:
    """The log is a pipe whose reader stands still, and later reads on."""
    path, copied = tmp_path / "pipe", tmp_path / "decisions.jsonl"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    lost: list[int] = []
    with world() as made:
        made.log = DecisionLog(path, limit=4)
        made.log.count_losses(lost.append)
        made.restart()
        for number in range(200):
            assert made.sync(load=number % 20).outcome.action in (Action.HELD, Action.SCALED)
        assert sum(lost) > 0
        text = drained(reader, made.log)
        made.sync(load=3)
        text += drained(reader, made.log)
        made.log.close()
    os.close(reader)
    copied.write_bytes(text)
    lines = list(read_decisions_jsonl(copied))
    gaps = [line for line in lines if isinstance(line, LogGap)]
    assert sum(gap.lost for gap in gaps) == sum(lost)
    assert len(lines) - len(gaps) == 201 - sum(lost)
    assert len(replays(copied)) == len(lines) - len(gaps)
    ended = CliRunner().invoke(replay_command, [str(copied)])
    assert (ended.exit_code, f"{sum(lost)} more lost in" in ended.output) == (0, True)


def drained(reader: int, log: DecisionLog) -> bytes:
    """What comes out of a pipe until the log has written everything."""
    text, is_written = b"", False
    while True:
        try:
            text += os.read(reader, 1 << 16)
        except BlockingIOError:
            if is_written:
                return text
            is_written = log.flush(0.05)


def test_a_log_that_cannot_be_written_is_one_error_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    lost: list[int] = []
    with logged(Path("/dev/full")) as made:
        assert made.log is not None
        made.log.count_losses(lost.append)
        made.replicas_over(10, 300)
        assert made.log.flush(10)
    assert sum(lost) == 20
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert [record.message for record in errors] == ["the decision log cannot be written"]


def test_a_gap_is_part_of_the_story(tmp_path: Path) -> None:
    path = tmp_path / "decisions.jsonl"
    with logged(path) as made:
        made.replicas_over(5, 30)
        assert made.log is not None
        assert made.log.flush(10)
        with path.open("a") as file:
            file.write(gap_line(LogGap(made.time.now(), 7, "no space left on device")) + "\n")
        made.replicas_over(5, 30)
    story = "\n".join(render(explanation_of_log(read_decisions_jsonl(path), "chat/vllm", 10, str(path))))
    assert "the log lost 7 decisions of all policies: no space left on device" in story
    assert story.count("held (2 times") == 2  # decisions on both sides of a gap are not in a row
