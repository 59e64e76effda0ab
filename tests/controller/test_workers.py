"""Threads that are shared: what is slow, and what belongs to one namespace, never has all of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from autoscaler.controller.workers import PATIENCE, Lane, WorkerPool


@pytest.fixture
def release() -> Iterator[threading.Event]:
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def workers(release: threading.Event) -> Iterator[WorkerPool]:
    made = WorkerPool(8)
    yield made
    release.set()
    made.close()


def hang(
    workers: WorkerPool, release: threading.Event, namespace: str, lane: Lane, count: int
) -> list[Future[bool]]:
    return [workers.submit(namespace, lane, release.wait) for _ in range(count)]


def running(futures: list[Future[bool]]) -> int:
    return sum(future.running() for future in futures)


@pytest.mark.parametrize(("lane", "share"), [(Lane.SLOW, 2), (Lane.NEW, 4), (Lane.QUICK, 6)])
def test_jobs_that_hang_leave_threads_to_others(
    workers: WorkerPool, release: threading.Event, lane: Lane, share: int
) -> None:
    hanging = hang(workers, release, "bad", lane, 40)
    assert workers.submit("good", Lane.QUICK, lambda: 7).result(10) == 7
    assert running(hanging) <= share


def test_slow_jobs_of_all_namespaces_together_leave_threads_to_the_quick_ones(
    workers: WorkerPool, release: threading.Event
) -> None:
    for number in range(40):
        hang(workers, release, f"bad-{number}", Lane.SLOW, 1)
        hang(workers, release, f"new-{number}", Lane.NEW, 1)
    assert workers.submit("bad-0", Lane.QUICK, lambda: 7).result(10) == 7


def order(*jobs: tuple[str, Lane]) -> list[str]:
    """The namespaces of jobs in the order in which one thread runs them."""
    workers, release, done = WorkerPool(1), threading.Event(), list[str]()
    workers.submit("first", Lane.QUICK, release.wait)

    def run(namespace: str) -> Callable[[], None]:
        return lambda: done.append(namespace)

    futures = [workers.submit(namespace, lane, run(namespace)) for namespace, lane in jobs]
    release.set()
    for future in futures:
        future.result(10)
    workers.close()
    return done


def test_namespaces_take_turns_and_quick_jobs_go_first() -> None:
    quick = [("a", Lane.QUICK)] * 3 + [("b", Lane.QUICK)]
    assert order(("slow", Lane.SLOW), ("new", Lane.NEW), *quick) == ["a", "b", "a", "a", "new", "slow"]


def test_more_quick_jobs_than_can_be_done_leave_no_other_waiting_for_ever() -> None:
    quick = [("quick", Lane.QUICK)] * 40
    done = order(("new", Lane.NEW), ("slow", Lane.SLOW), *quick)
    assert {"new", "slow"} <= set(done[: PATIENCE + 2])


@pytest.mark.parametrize("count", [1, 2, 3, 16])
def test_however_few_threads_there_are_every_job_runs(count: int) -> None:
    workers = WorkerPool(count)
    jobs = [workers.submit(str(number % 3), Lane(number % 3), lambda: 1) for number in range(60)]
    assert sum(job.result(10) for job in jobs) == 60
    workers.close()


def test_a_job_that_raises_is_its_own_affair() -> None:
    workers = WorkerPool(1)
    with pytest.raises(SystemExit):
        workers.submit("a", Lane.QUICK, lambda: exec("raise SystemExit")).result(10)
    assert workers.submit("a", Lane.QUICK, lambda: 1).result(10) == 1
    workers.close()
    with pytest.raises(RuntimeError, match="no sync can begin"):
        workers.submit("a", Lane.QUICK, lambda: 1)
