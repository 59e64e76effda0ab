"""A fixed number of threads for syncs, with shares: what is slow never takes all of them.

Jobs whose last run was quick go first. A namespace never holds all threads, so that the hanging
targets of one tenant leave some to the others; jobs that were slow last time have a quarter of the
threads together, and jobs that never ran have half. Within these shares namespaces take turns. Where
there are more quick jobs than the threads can do, the others still get some.

The threads are started at once: a process that has no more threads later still has these. They do
not hold up the end of the process.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import IntEnum
from typing import Any, TypeVar

from autoscaler.threads import BackgroundThread

PATIENCE = 8
"""So many jobs of other lanes in a row may go before one that waits."""

_Result = TypeVar("_Result")


class Lane(IntEnum):
    """How long a job is expected to run, by its last run. The lowest go first."""

    QUICK = 0
    NEW = 1
    SLOW = 2


class _Job:
    """Something to run, and the future that waits for it."""

    __slots__ = ("future", "lane", "namespace", "work")

    def __init__(self, namespace: str, lane: Lane, work: Callable[[], Any]) -> None:
        self.namespace = namespace
        self.lane = lane
        self.work = work
        self.future: Future[Any] = Future()

    def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        try:
            self.future.set_result(self.work())
        except BaseException as error:  # whatever it is, the thread takes the next job
            self.future.set_exception(error)


class WorkerPool:
    """Runs jobs in ``count`` threads."""

    def __init__(self, count: int) -> None:
        """Starts the threads. Raises ``RuntimeError`` where the system has no more."""
        self._share = max(1, count - max(1, count // 4))
        """How many threads one namespace may hold."""
        self._shares = {Lane.QUICK: count, Lane.NEW: max(1, count // 2), Lane.SLOW: max(1, count // 4)}
        self._queues: dict[Lane, dict[str, deque[_Job]]] = {lane: {} for lane in Lane}
        """The jobs of each namespace, whose turn comes in the order of the keys."""
        self._running: Counter[Lane | str] = Counter()
        """Running jobs by lane and by namespace."""
        self._passed: Counter[Lane] = Counter()
        """How many jobs of other lanes were taken since one of a lane that waits."""
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [BackgroundThread(f"sync-{number}", self._run) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, namespace: str, lane: Lane, work: Callable[[], _Result]) -> Future[_Result]:
        """Runs ``work`` when its turn comes; returns at once.

        Raises:
            RuntimeError: the workers are closed.
        """
        job = _Job(namespace, lane, work)
        with self._changed:
            if self._closed:
                raise RuntimeError("no sync can begin any more")
            self._queues[lane].setdefault(namespace, deque()).append(job)
            self._changed.notify()
        return job.future

    def close(self) -> None:
        """Drops the jobs that have not begun, and waits for the others."""
        for thread in self._threads:
            thread.expect_end()
        with self._changed:
            self._closed = True
            dropped = [job for lane in self._queues.values() for jobs in lane.values() for job in jobs]
            for lane in self._queues.values():
                lane.clear()
            self._changed.notify_all()
        for job in dropped:
            job.future.cancel()
        for thread in self._threads:
            thread.join()

    @property
    def waiting(self) -> int:
        """How many jobs have not begun."""
        with self._changed:
            return sum(len(jobs) for lane in self._queues.values() for jobs in lane.values())

    def _run(self) -> None:
        done: _Job | None = None
        while (job := self._next(done)) is not None:
            job.run()
            done = job

    def _next(self, done: _Job | None) -> _Job | None:
        """Gives back the share of the job that is done and takes the next; None when all is over."""
        with self._changed:
            if done is not None:
                self._running.subtract((done.lane, done.namespace))
                self._changed.notify()  # its share may be what another thread waits for
            while (job := self._pick()) is None:
                if self._closed:
                    return None
                self._changed.wait()
            self._running.update((job.lane, job.namespace))
            return job

    def _pick(self) -> _Job | None:
        """The next job that its lane and its namespace have a thread for."""
        for lane in sorted(Lane, key=lambda lane: self._passed[lane] < PATIENCE):
            if self._running[lane] >= self._shares[lane]:
                continue
            queues = self._queues[lane]
            for namespace, jobs in queues.items():
                if self._running[namespace] < self._share:
                    job = jobs.popleft()
                    del queues[namespace]
                    if jobs:
                        queues[namespace] = jobs  # behind the others
                    self._count_passed(lane)
                    return job
        return None

    def _count_passed(self, taken: Lane) -> None:
        for lane, queues in self._queues.items():
            self._passed[lane] = self._passed[lane] + 1 if queues and lane is not taken else 0
