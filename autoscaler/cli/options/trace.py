"""Which part of a trace is replayed, and how fast: the same for a simulation and for a real server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

import click

from autoscaler.cli.options.declared import Options, option
from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.slo import USUAL_SLO, SloType

if TYPE_CHECKING:
    from simulator.traces.trace import Trace


class Window(TypedDict):
    """A part of a trace, as ``Trace.window`` takes it."""

    start_s: float
    span_s: float | None
    rate_scale: float


class TraceOptions(Options):
    """How a trace is read, and what its requests must meet."""

    rate_scale: float = option(
        type=FiniteRange(0, 1e6, min_open=True),
        default=1.0,
        metavar="X",
        help="Replay at X times the trace's rate.",
    )
    start: float = option(
        type=FiniteRange(0), default=0.0, metavar="S", help="Begin at this second of the trace."
    )
    span: float | None = option(
        type=FiniteRange(0, min_open=True),
        metavar="S",
        help="Replay this many seconds of the trace.  [default: to its end]",
    )
    bad_rows: Literal["stop", "skip"] = option(
        type=click.Choice(["stop", "skip"]), default="stop", help="What a bad row does."
    )
    slo: Mapping[str, float] = option(
        type=SloType(),
        default=USUAL_SLO,
        help="What a request must meet, each time with its unit: ms, s or m.",
    )

    def open(self, trace: str) -> Trace:
        """The trace of this file or name; nothing is read yet.

        Raises:
            TraceError: there is none.
        """
        from simulator.traces.trace import Trace, resolve_trace

        return Trace(resolve_trace(trace), self.bad_rows)

    @property
    def window(self) -> Window:
        """The part that is replayed."""
        return {"start_s": self.start, "span_s": self.span, "rate_scale": self.rate_scale}
