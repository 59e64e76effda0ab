"""A bound from the user's cache folder, or computed with a progress bar and kept there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from simulator.bound.cache import BoundCache, cache_folder, digest
from simulator.bound.compute import bound_of

if TYPE_CHECKING:
    from autoscaler.cli.options.trace import Window
    from simulator.bound.document import Document
    from simulator.bound.search import Progress
    from simulator.run.scenario import Scenario
    from simulator.traces.rows import HashedRequest, Request
    from simulator.traces.trace import Trace

_STAGES = ("requests", "windows", "plans")


def find_bound(
    trace: Trace,
    window: Window,
    scenario: Scenario,
    goals: Sequence[float],
    requests: Callable[[], Iterable[Request] | Iterable[HashedRequest]],
    *,
    processes: int | None = None,
    cached: bool = True,
) -> Document:
    """The document of a bound for this part (``window``) of a trace.

    ``requests`` reads that part. A trace that is a pipe is not looked up, since nothing says what is in it.

    Raises:
        TraceError: the requests cannot be read.
    """
    cache = None
    if cached and trace.path.is_file():
        inputs = {
            "trace": digest(trace.path),
            "window": {**window, "bad_rows": trace.bad_rows},
            "profile": asdict(scenario.profile),
            "startup": asdict(scenario.startup.without_spread()),
            "slo": [scenario.slo.ttft_s, scenario.slo.tpot_s],
            "price": None if scenario.price is None else asdict(scenario.price),
            "routing": [scenario.routing, scenario.seed, scenario.hash_block_tokens],
            "goals": list(goals),
        }
        cache = BoundCache(cache_folder(), inputs)
        if (kept := cache.read()) is not None:
            return kept
    with _progress() as progress:
        document = bound_of(requests(), scenario, goals, processes, progress, _announce)
    if cache is not None:
        cache.write(document)
    return document


def _announce(work: str) -> None:
    """Without a terminal there is no bar, and work of minutes says at least that it has begun."""
    if not sys.stderr.isatty():
        click.echo(f"bound: replaying {work}, then whole plans", err=True)


@contextmanager
def _progress() -> Iterator[Progress]:
    """A bar with the time left, where standard error is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _stage, _share: None
        return
    with click.progressbar(length=1000 * len(_STAGES), label="bound", file=sys.stderr) as bar:

        def advance(stage: str, share: float) -> None:
            bar.update(int(1000 * (_STAGES.index(stage) + share)) - bar.pos)

        yield advance
