"""Which part of a trace is replayed, and how fast: the same for a simulation and for a real server."""

from __future__ import annotations

import click

from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.option_group import option_group
from autoscaler.cli.options.slo import USUAL_SLO, SloType

trace_options = option_group(
    click.option(
        "--rate-scale",
        type=FiniteRange(0, 1e6, min_open=True),
        default=1.0,
        metavar="X",
        help="Replay at X times the trace's rate.",
    ),
    click.option(
        "--start", type=FiniteRange(0), default=0.0, metavar="S", help="Begin at this second of the trace."
    ),
    click.option(
        "--span",
        type=FiniteRange(0, min_open=True),
        metavar="S",
        help="Replay this many seconds of the trace.  [default: to its end]",
    ),
    click.option(
        "--bad-rows", type=click.Choice(["stop", "skip"]), default="stop", help="What a bad row does."
    ),
    click.option(
        "--slo",
        type=SloType(),
        default=USUAL_SLO,
        help="What a request must meet, each time with its unit: ms, s or m.",
    ),
)
"""Adds ``rate_scale``, ``start``, ``span``, ``bad_rows`` and ``slo`` to a click command."""
