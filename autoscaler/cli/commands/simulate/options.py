"""The command line of `autoscale simulate`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import click

from autoscaler.cli.options.declared import Options, argument, group, left_out, option
from autoscaler.cli.options.finite import FiniteRange
from autoscaler.cli.options.goal import InitialReplicas, goal_option
from autoscaler.cli.options.shell_completion import complete_policy, complete_trace
from autoscaler.cli.options.simulated_replicas import ReplicaOptions
from autoscaler.cli.options.times import TimeType
from autoscaler.cli.options.trace import TraceOptions

_FILE = click.Path(dir_okay=False, path_type=Path)

DEFAULT_POLICY = "chat"
STDOUT = Path("-")
FOR_POLICIES = {
    "initial_replicas": "--replicas says how many there are",
    "decisions_file": "about fixed replicas nothing is decided",
    "startup": "fixed replicas are ready at 0",
    "startup_spread": "fixed replicas are ready at 0",
    "scrape_interval": "for fixed replicas nothing is scraped",
    "metrics_lag": "for fixed replicas nothing is scraped",
    "clock_start": "fixed replicas have no schedule",
}
"""Options that do nothing where no policy is run, and why."""


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


class SimulateOptions(Options):
    """The command line."""

    trace: str = argument(shell_complete=complete_trace)
    policies: tuple[str, ...] = option(
        "--policy",
        multiple=True,
        metavar="FILE|NAME",
        shell_complete=complete_policy,
        help="A scaling policy, or one of the library (see `autoscale policies`). Several are compared.  "
        "[default: chat]",
    )
    fixed: tuple[int, ...] = option(
        "--replicas",
        multiple=True,
        type=click.IntRange(0, 10_000),
        metavar="N",
        help="A fixed number of replicas. Several, and policies, are compared.",
    )
    replica: ReplicaOptions = group(ReplicaOptions)
    startup_spread: Literal["on", "off"] = option(
        type=click.Choice(["on", "off"]),
        default="on",
        help="Whether starts differ from each other, or all take the median.",
    )
    nodes: int | None = option(
        type=click.IntRange(1, 10_000),
        metavar="N",
        help="At most N nodes, one replica on each.  [default: no limit]",
    )
    warm_nodes: int = option(
        type=click.IntRange(0, 10_000),
        default=0,
        metavar="N",
        help="With --nodes: how many are there and free at 0.",
    )
    node_idle: float = option(
        type=FiniteRange(0, 86400),
        default=600.0,
        metavar="S",
        help="With --nodes: how long a free node stays.",
    )
    replay: TraceOptions = group(TraceOptions)
    scrape_interval: float = option(
        type=FiniteRange(0.1, 3600), default=15.0, metavar="S", help="Seconds between two scrapes of a pod."
    )
    metrics_lag: float = option(
        type=FiniteRange(0, 3600), default=5.0, metavar="S", help="Seconds until a scrape can be queried."
    )
    initial_replicas: int | Literal["auto", "min"] = option(
        type=InitialReplicas(),
        default="auto",
        metavar="auto|min|N",
        help="Replicas that are ready at 0: the fewest that reach the goal for ten minutes, the policy's "
        "minReplicas, or a number.",
    )
    goal: float = goal_option()
    count: Literal["avoidable", "all"] = option(
        type=click.Choice(["avoidable", "all"]),
        default="avoidable",
        help="Which requests the goal is held against: those that an idle replica would not miss, or all.",
    )
    baseline: Literal["on", "off"] = option(
        type=click.Choice(["on", "off"]),
        default="on",
        help="Whether the fewest fixed replicas that reach the goal are looked for, by more replays.",
    )
    bound: Literal["on", "off"] = option(
        type=click.Choice(["on", "off"]),
        default="off",
        help="Whether each run is compared with the clairvoyant bound (see `autoscale bound`), which is over "
        "avoidable requests: not with --count all.",
    )
    check: bool = option(is_flag=True, help="End with status 3 when a run misses the goal.")
    clock_start: float = option(
        type=TimeType(),
        default="2024-01-01T00:00:00Z",
        metavar="TIME",
        help="The wall clock at the trace's 0, for schedules.",
    )
    series: Mapping[str, Path] = option(
        multiple=True,
        callback=_series,
        metavar="NAME=FILE",
        help="Recorded values (timestamp_s,value[,pod]) for the metric NAME, which has a free query.",
    )
    json_file: Path | None = option(
        "--json", type=_FILE, metavar="FILE", help="Write the results; - for standard output."
    )
    html_file: Path | None = option("--html", type=_FILE, metavar="FILE", help="Write a report with plots.")
    requests_file: Path | None = option(
        "--requests", type=_FILE, metavar="FILE.csv[.gz]", help="Write every request."
    )
    timeline_file: Path | None = option(
        "--timeline", type=_FILE, metavar="FILE.csv", help="Write the cluster over time."
    )
    timeline_interval: float | None = option(
        type=FiniteRange(0.001),
        metavar="S",
        help="Seconds between its rows.  [default: every sync; 1 with --replicas]",
    )
    decisions_file: Path | None = option(
        "--decisions", type=_FILE, metavar="FILE.jsonl", help="Write every observation and decision."
    )
    defaults: Mapping[str, Any] = left_out()
    """Options that the command line does not have, and the defaults that were taken."""

    @property
    def only_fixed(self) -> bool:
        """True if no policy is run."""
        return bool(self.fixed) and not self.policies

    @property
    def names_scaling(self) -> bool:
        """True if the options name a policy or a fixed count; otherwise the default policy scales."""
        return bool(self.policies or self.fixed)
