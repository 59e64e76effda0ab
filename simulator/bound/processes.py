"""The two kinds of work of a bound, spread over processes: windows of the table, and full replays."""

from __future__ import annotations

import copyreg
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import chain

from simulator.bound.follow import Followed, follow
from simulator.bound.programme import Plan
from simulator.bound.trace_windows import Band, Misses, TraceWindow, window_misses, windows
from simulator.bound.workload import BoundWorkload
from simulator.vllm.request_table import Slo

# A frozen dataclass that was compiled can be pickled, but not read again: it forbids its own fields.
copyreg.pickle(Slo, lambda slo: (Slo, (slo.ttft_s, slo.tpot_s)))

_CHUNK = 8


class _Desk:
    """The workload in one process, and its windows once they are asked for."""

    def __init__(self, workload: BoundWorkload) -> None:
        self.workload = workload

    @cached_property
    def windows(self) -> list[TraceWindow]:
        """The whole trace in windows."""
        return windows(self.workload)

    def extend(self, begin: int, known: Sequence[Misses], band: Band) -> list[Misses]:
        """The misses of the windows from ``begin`` on, of which some are known already."""
        parts = list(zip(self.windows[begin : begin + len(known)], known, strict=True))
        return window_misses(parts, self.workload.scenario, self.workload.hopeless, band)


_desk: _Desk | None = None


class WorkerProcesses:
    """Runs both kinds of work: in this process, or in a pool of others that have the workload."""

    def __init__(self, desk: _Desk, pool: Executor | None) -> None:
        self._desk = desk
        self._pool = pool

    def extend(self, known: Sequence[Misses], band: Band) -> Iterator[Misses]:
        """The known misses of each window, in order, with those that prices in the band also need."""
        parts = ((begin, known[begin : begin + _CHUNK], band) for begin in range(0, len(known), _CHUNK))
        if self._pool is None:
            return chain.from_iterable(self._desk.extend(*part) for part in parts)
        return chain.from_iterable(self._pool.map(_extend, parts))

    def follow(self, plans: Iterable[Plan]) -> Iterator[Followed]:
        """Full replays of plans, in order."""
        if self._pool is None:
            return (follow(self._desk.workload, plan) for plan in plans)
        return self._pool.map(_follow, plans)


@contextmanager
def workers(workload: BoundWorkload, processes: int | None = None) -> Iterator[WorkerProcesses]:
    """``processes``: None takes one for each processor that this process may use; 1 starts none."""
    count = processes or available_processors()
    if count == 1:
        yield WorkerProcesses(_Desk(workload), None)
        return
    # Fresh processes: a fork of a process with threads may stand still.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, context, initializer=_begin, initargs=(workload,)) as pool:
        try:
            yield WorkerProcesses(_Desk(workload), pool)
        except BaseException:  # an interrupt does not wait for a replay of minutes
            pool.shutdown(wait=False, cancel_futures=True)
            for process in multiprocessing.active_children():
                process.terminate()
            raise


def available_processors() -> int:
    """The processors that this process may use."""
    affinity: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _begin(workload: BoundWorkload) -> None:
    global _desk
    _desk = _Desk(workload)
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C reaches all; the parent ends its workers
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker with its parent: after a kill of the parent it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _follow(plan: Plan) -> Followed:
    assert _desk is not None
    return follow(_desk.workload, plan)


def _extend(part: tuple[int, Sequence[Misses], Band]) -> list[Misses]:
    assert _desk is not None
    return _desk.extend(*part)
