"""A background thread that ends by itself is a fault of the process; one that its owner stops is not."""

from __future__ import annotations

import threading

import pytest

from autoscaler.threads import BackgroundThread, ThreadRegistry


def over(work, registry: ThreadRegistry, *, expected: bool = False) -> None:
    thread = BackgroundThread("watch pods", work, registry)
    if expected:
        thread.expect_end()
    thread.start()
    thread.join(10)


def test_while_it_runs_nothing_is_wrong():
    registry, stop = ThreadRegistry(), threading.Event()
    thread = BackgroundThread("events", lambda: stop.wait(30) and None, registry)
    thread.start()
    assert registry.fault() is None
    thread.expect_end()
    stop.set()
    thread.join(10)
    assert registry.fault() is None


def raises() -> None:
    raise OverflowError("timestamp too large to convert to C _PyTime_t")


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (raises, "OverflowError: timestamp too large to convert to C _PyTime_t"),
        (lambda: None, "it returned"),
    ],
    ids=["it raised", "it returned"],
)
def test_one_that_ends_by_itself_is_named_with_the_reason(work, reason):
    registry = ThreadRegistry()
    over(work, registry)
    assert registry.fault() == f"the thread 'watch pods' has ended: {reason}"


def test_one_that_is_stopped_may_end_as_it_likes():
    registry = ThreadRegistry()
    over(raises, registry, expected=True)
    assert registry.fault() is None


def test_the_first_one_is_the_reason():
    registry = ThreadRegistry()
    over(raises, registry)
    registry.ended("events", "it returned")
    assert "watch pods" in str(registry.fault())
