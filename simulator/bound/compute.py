"""Requests and servers in, the document of their bound out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from simulator.bound.document import Document, bound_document
from simulator.bound.search import Progress, search_bound
from simulator.bound.trace_windows import window_count
from simulator.bound.workload import prepare
from simulator.number_formats import counted
from simulator.run.scenario import Scenario
from simulator.traces.rows import HashedRequest, Request


def bound_of(
    requests: Iterable[Request | HashedRequest],
    scenario: Scenario,
    goals: Sequence[float],
    processes: int | None = None,
    progress: Progress = lambda _stage, _share: None,
    announce: Callable[[str], None] = lambda _work: None,
) -> Document:
    """The bound at the first of ``goals``, with a frontier that the others extend.

    ``goals``: attainments over avoidable requests, 0 to 1. ``processes``: None takes all processors.
    ``announce`` is called before the long part, with the work that lies ahead.

    Raises:
        TraceError: while the requests are read.
    """
    workload = prepare(requests, scenario)
    progress("requests", 1.0)
    if workload.avoidable:
        count = counted(window_count(workload), "window")
        announce(
            f"{counted(len(workload.requests), 'request')} in {count}, each window with several replicas"
        )
    bound = search_bound(workload, goals, processes=processes, progress=progress)
    return bound_document(bound, workload)
