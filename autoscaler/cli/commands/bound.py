"""`autoscale bound TRACE`: the fewest replica-hours when the future is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from autoscaler.cli.commands.bound_lookup import find_bound
from autoscaler.cli.options.declared import Options, argument, group, left_out, option, takes
from autoscaler.cli.options.goal import goal_option
from autoscaler.cli.options.output_files import check_files
from autoscaler.cli.options.shell_completion import complete_trace
from autoscaler.cli.options.simulated_replicas import ReplicaOptions, read_requests
from autoscaler.cli.options.trace import TraceOptions
from autoscaler.files import atomic_writer

if TYPE_CHECKING:
    from simulator.bound.document import Document
    from simulator.run.scenario import Scenario
    from simulator.traces.trace import Trace

_FILE = click.Path(dir_okay=False, path_type=Path)
_STDOUT = Path("-")


class BoundOptions(Options):
    """The command line."""

    trace: str = argument(shell_complete=complete_trace)
    goal: float = goal_option()
    frontier: bool = option(is_flag=True, help="Also what 90% to 99.99% would take: minutes for a day.")
    replica: ReplicaOptions = group(ReplicaOptions)
    replay: TraceOptions = group(TraceOptions)
    json_file: Path | None = option(
        "--json",
        type=_FILE,
        metavar="FILE",
        help="Write the plan and the frontier; - for standard output.",
    )
    html_file: Path | None = option(
        "--html",
        type=_FILE,
        metavar="FILE",
        help="Write a page with the plan beside the demand, and the frontier.",
    )
    processes: int | None = option(
        type=click.IntRange(1, 1024),
        metavar="N",
        help="Processes that share the work.  [default: one for each processor]",
    )
    cache: Literal["on", "off"] = option(
        type=click.Choice(["on", "off"]),
        default="on",
        help="Whether a bound that was computed before is taken from the user's cache folder.",
    )
    defaults: Mapping[str, Any] = left_out()
    """Options that the command line does not have, and the defaults that were taken."""


@click.command(context_settings={"show_default": True})
@takes(BoundOptions)
def bound(options: BoundOptions) -> None:
    """Find the fewest replica-hours with which TRACE reaches a goal when the future is known.

    Start-ups take their time here too. The result is a plan of replicas, replayed in full, and a
    reference for policies: not a proof that nothing cheaper exists.
    """
    from simulator.report.bound_text import render_bound

    check_files(_outputs(options), [options.trace, options.replica.profile])
    document = _document(options)
    _write(document, options)
    aside = any(path == _STDOUT for _, path in _outputs(options))
    click.echo(render_bound(document, frontier=options.frontier), err=aside, nl=False)


def _outputs(options: BoundOptions) -> list[tuple[str, Path]]:
    given = (("--json", options.json_file), ("--html", options.html_file))
    return [(option, path) for option, path in given if path is not None]


def _write(document: Document, options: BoundOptions) -> None:
    if options.json_file:
        with atomic_writer(options.json_file, "--json") as file:
            file.write(json.dumps(document, indent=2, allow_nan=False) + "\n")
    if options.html_file:
        from simulator.report.bound_page import render_bound_html

        with atomic_writer(options.html_file, "--html") as file:
            file.write(render_bound_html(document))


def _document(options: BoundOptions) -> Document:
    from simulator.bound.search import FRONTIER

    trace = options.replay.open(options.trace)
    scenario = _scenario(options)
    goals = (options.goal, *FRONTIER) if options.frontier else (options.goal,)
    document = find_bound(
        trace,
        options.replay.window,
        scenario,
        goals,
        lambda: _rows(trace, scenario, options),
        processes=options.processes,
        cached=options.cache == "on",
    )
    return document | {"inputs": _inputs(options, scenario)}


def _scenario(options: BoundOptions) -> Scenario:
    from simulator.run.scenario import Scenario
    from simulator.startup.choices import load_startup
    from simulator.startup.prices import find_price
    from simulator.vllm.request_table import Slo

    replica = options.replica
    profile = replica.read_profile()
    return Scenario(
        profile=profile,
        startup=load_startup(replica.startup),
        price=find_price(profile.gpu, profile.gpus_per_replica, replica.price),
        slo=Slo(**options.replay.slo),
        routing=replica.routing,
        seed=replica.seed,
        hash_block_tokens=replica.hash_block_tokens,
    )


def _rows(trace: Trace, scenario: Scenario, options: BoundOptions) -> Iterator[Any]:
    given = "hash_block_tokens" not in options.defaults
    tokens = options.replica.hash_block_tokens if given else None
    return read_requests(trace, scenario.profile, tokens, options.replay.window)


def _inputs(options: BoundOptions, scenario: Scenario) -> dict[str, Any]:
    return {
        "trace": Path(options.trace).name,
        **options.replay.window,
        "bad_rows": options.replay.bad_rows,
        "profile": asdict(scenario.profile),
        "startup": asdict(scenario.startup.without_spread()),
        "routing": scenario.routing,
        "seed": scenario.seed,
        "hash_block_tokens": scenario.hash_block_tokens,
        "price": options.replica.price,
    }
