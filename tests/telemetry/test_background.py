"""A queue before a thread that writes: no caller waits, and what is lost is counted and marked."""

from __future__ import annotations

import threading

from autoscaler.telemetry.background import FULL, BackgroundWriter
from tests.servers.eventually import eventually


class Sink:
    """An output that a test blocks or breaks."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.goes_on.set()
        self.begun = threading.Event()
        self.fault: Exception | None = None
        self.written: list[object] = []
        self.lost = 0

    def write(self, item: int | None, lost: int, reason: str) -> None:
        self.begun.set()
        self.goes_on.wait()
        if self.fault is not None:
            raise self.fault
        if lost:
            self.written.append((lost, reason))
        if item is not None:
            self.written.append(item)

    def lose(self, count: int, reason: str) -> None:  # noqa: ARG002 (the protocol's)
        self.lost += count


def blocked(sink: Sink, limit: int) -> BackgroundWriter[int]:
    """A writer whose thread waits in the write of 0."""
    writer: BackgroundWriter[int] = BackgroundWriter("test", sink, limit)
    sink.goes_on.clear()
    writer.put(0)
    assert sink.begun.wait(10)
    return writer


def test_a_write_that_blocks_holds_up_no_caller_and_leaves_a_mark_where_items_are_missing() -> None:
    sink = Sink()
    writer = blocked(sink, limit=2)
    for number in range(1, 6):
        writer.put(number)
    assert sink.lost == 3
    sink.goes_on.set()
    assert writer.flush(10)
    writer.put(6)
    assert writer.close(10)
    assert sink.written == [0, 1, 2, (3, FULL), 6]


def test_items_whose_write_failed_are_marked_before_the_next_that_succeeds() -> None:
    sink = Sink()
    writer: BackgroundWriter[int] = BackgroundWriter("test", sink, 10)
    sink.fault = OSError("no space left on device")
    for number in range(3):
        writer.put(number)
    eventually(lambda: sink.lost == 3)
    assert writer.flush(10)
    sink.fault = None
    writer.put(3)
    assert writer.close(10)
    assert sink.written == [(3, "no space left on device"), 3]


def test_what_is_missing_at_the_end_is_marked_at_the_end() -> None:
    sink = Sink()
    writer = blocked(sink, limit=1)
    for number in range(1, 4):
        writer.put(number)
    sink.goes_on.set()
    assert writer.close(10)
    assert sink.written == [0, 1, (2, FULL)]


def test_the_end_does_not_wait_for_a_write_that_never_ends() -> None:
    sink = Sink()
    writer = blocked(sink, limit=1)
    assert not writer.flush(0.01)
    assert not writer.close(0.01)
    sink.goes_on.set()
