"""`autoscale simulate TRACE`: replays a trace and says what it would have cost."""

from __future__ import annotations

import click

from autoscaler.cli.commands.simulate.options import SimulateOptions
from autoscaler.cli.options.declared import takes


@click.command(context_settings={"show_default": True})
@takes(SimulateOptions)
def simulate(options: SimulateOptions) -> int:
    """Replay the requests of TRACE through simulated vLLM replicas.

    \b
    autoscale simulate azure-conv --policy chat --replicas 4 --html report.html

    TRACE is a CSV, CSV.gz or JSONL file with one request a row (time, prompt tokens, output tokens;
    several public formats are recognised), or the bundled trace azure-conv. Without options, the
    chat policy scales Gemma 2 9B on H100s; every default that was used is printed.
    """  # noqa: D301 (click wants the character, not a backslash)
    from autoscaler.cli.commands.simulate.runs import run

    return run(options)
