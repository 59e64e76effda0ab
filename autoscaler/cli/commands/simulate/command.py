"""`autoscale simulate TRACE`: replays a trace and says what it would have cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.goal import InitialReplicas, goal_options
from autoscaler.cli.options.replicas import replica_options
from autoscaler.cli.options.shell_completion import complete_policy, complete_trace
from autoscaler.cli.options.times import TimeType
from autoscaler.cli.options.trace import trace_options

_FILE = click.Path(dir_okay=False, path_type=Path)


def _series(_ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Path]:
    """``NAME=FILE``, each name once, as a mapping."""
    files: dict[str, Path] = {}
    for text in values:
        name, separator, file = text.partition("=")
        if not (name and separator and file):
            raise click.BadParameter(f"{text!r}: write NAME=FILE", param=param)
        if name in files:
            raise click.BadParameter(f"{name!r} comes twice: give each metric one file", param=param)
        files[name] = Path(file)
    return files


@click.command(context_settings={"show_default": True})
@click.argument("trace", shell_complete=complete_trace)
@click.option(
    "--policy",
    "policies",
    multiple=True,
    metavar="FILE|NAME",
    shell_complete=complete_policy,
    help="A scaling policy, or one of the library (see `autoscale policies`). Several are compared.  "
    "[default: chat]",
)
@click.option(
    "--replicas",
    "fixed",
    multiple=True,
    type=click.IntRange(0, 10_000),
    metavar="N",
    help="A fixed number of replicas. Several, and policies, are compared.",
)
@replica_options
@click.option(
    "--startup-spread",
    type=click.Choice(["on", "off"]),
    default="on",
    help="Whether starts differ from each other, or all take the median.",
)
@click.option(
    "--nodes",
    type=click.IntRange(1, 10_000),
    metavar="N",
    help="At most N nodes, one replica on each.  [default: no limit]",
)
@click.option(
    "--warm-nodes",
    type=click.IntRange(0, 10_000),
    default=0,
    metavar="N",
    help="With --nodes: how many are there and free at 0.",
)
@click.option(
    "--node-idle",
    type=FiniteRange(0, 86400),
    default=600.0,
    metavar="S",
    help="With --nodes: how long a free node stays.",
)
@trace_options
@click.option(
    "--scrape-interval",
    type=FiniteRange(0.1, 3600),
    default=15.0,
    metavar="S",
    help="Seconds between two scrapes of a pod.",
)
@click.option(
    "--metrics-lag",
    type=FiniteRange(0, 3600),
    default=5.0,
    metavar="S",
    help="Seconds until a scrape can be queried.",
)
@click.option(
    "--initial-replicas",
    type=InitialReplicas(),
    default="auto",
    metavar="auto|min|N",
    help="Replicas that are ready at 0: the fewest that reach the goal for ten minutes, the policy's "
    "minReplicas, or a number.",
)
@goal_options
@click.option(
    "--baseline",
    type=click.Choice(["on", "off"]),
    default="on",
    help="Whether the fewest fixed replicas that reach the goal are looked for, by more replays.",
)
@click.option(
    "--bound",
    type=click.Choice(["on", "off"]),
    default="off",
    help="Whether each run is compared with the clairvoyant bound (see `autoscale bound`), which is over "
    "avoidable requests: not with --count all.",
)
@click.option("--check", is_flag=True, help="End with status 3 when a run misses the goal.")
@click.option(
    "--clock-start",
    type=TimeType(),
    default="2024-01-01T00:00:00Z",
    metavar="TIME",
    help="The wall clock at the trace's 0, for schedules.",
)
@click.option(
    "--series",
    multiple=True,
    callback=_series,
    metavar="NAME=FILE",
    help="Recorded values (timestamp_s,value[,pod]) for the metric NAME, which has a free query.",
)
@click.option(
    "--json", "json_file", type=_FILE, metavar="FILE", help="Write the results; - for standard output."
)
@click.option("--html", "html_file", type=_FILE, metavar="FILE", help="Write a report with plots.")
@click.option("--requests", "requests_file", type=_FILE, metavar="FILE.csv[.gz]", help="Write every request.")
@click.option(
    "--timeline", "timeline_file", type=_FILE, metavar="FILE.csv", help="Write the cluster over time."
)
@click.option(
    "--timeline-interval",
    type=FiniteRange(0.001),
    metavar="S",
    help="Seconds between its rows.  [default: every sync; 1 with --replicas]",
)
@click.option(
    "--decisions",
    "decisions_file",
    type=_FILE,
    metavar="FILE.jsonl",
    help="Write every observation and decision.",
)
@click.pass_context
def simulate(ctx: click.Context, /, **given: Any) -> int:
    """Replay the requests of TRACE through simulated vLLM replicas.

    \b
    autoscale simulate azure-conv --policy chat --replicas 4 --html report.html

    TRACE is a CSV, CSV.gz or JSONL file with one request a row (time, prompt tokens, output tokens;
    several public formats are recognised), or the bundled trace azure-conv. Without options, the
    chat policy scales Gemma 2 9B on H100s; every default that was used is printed.
    """  # noqa: D301 (click wants the character, not a backslash)
    from autoscaler.cli.commands.simulate.options import SimulateOptions
    from autoscaler.cli.commands.simulate.runs import run

    defaults = tuple(name for name in given if ctx.get_parameter_source(name) is ParameterSource.DEFAULT)
    return run(SimulateOptions(**given, defaults=defaults))
