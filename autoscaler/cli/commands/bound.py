"""`autoscale bound TRACE`: the fewest replica-hours when the future is known."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from autoscaler.cli.commands.bound_lookup import find_bound
from autoscaler.cli.options.goal import goal_option
from autoscaler.cli.options.output_files import check_files
from autoscaler.cli.options.replicas import read_profile, read_requests, replica_options
from autoscaler.cli.options.shell_completion import complete_trace
from autoscaler.cli.options.trace import trace_options
from autoscaler.files import atomic_writer

if TYPE_CHECKING:
    from simulator.bound.document import Document
    from simulator.run.scenario import Scenario
    from simulator.traces.trace import Trace

_STDOUT = Path("-")


@dataclass(frozen=True, slots=True)
class BoundOptions:
    """The command line."""

    trace: str
    goal: float
    frontier: bool
    profile: str
    prefix_caching: Literal["on", "off"] | None
    hash_block_tokens: int
    startup: str
    price: str | None
    routing: Literal["least-loaded", "round-robin", "random"]
    seed: int
    rate_scale: float
    start: float
    span: float | None
    bad_rows: Literal["stop", "skip"]
    slo: Mapping[str, float]
    json_file: Path | None
    html_file: Path | None
    processes: int | None
    cache: Literal["on", "off"]


@click.command(context_settings={"show_default": True})
@click.argument("trace", shell_complete=complete_trace)
@goal_option
@click.option("--frontier", is_flag=True, help="Also what 90% to 99.99% would take: minutes for a day.")
@replica_options
@trace_options
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan and the frontier; - for standard output.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page with the plan beside the demand, and the frontier.",
)
@click.option(
    "--processes",
    type=click.IntRange(1, 1024),
    metavar="N",
    help="Processes that share the work.  [default: one for each processor]",
)
@click.option(
    "--cache",
    type=click.Choice(["on", "off"]),
    default="on",
    help="Whether a bound that was computed before is taken from the user's cache folder.",
)
def bound(**given: Any) -> None:
    """Find the fewest replica-hours with which TRACE reaches a goal when the future is known.

    Start-ups take their time here too. The result is a plan of replicas, replayed in full, and a
    reference for policies: not a proof that nothing cheaper exists.
    """
    _run(BoundOptions(**given))


def _run(options: BoundOptions) -> None:
    from simulator.report.bound_text import render_bound

    check_files(_outputs(options), [options.trace, options.profile])
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
    from simulator.traces.trace import Trace, resolve_trace

    trace = Trace(resolve_trace(options.trace), options.bad_rows)
    scenario = _scenario(options)
    goals = (options.goal, *FRONTIER) if options.frontier else (options.goal,)
    window = {"start_s": options.start, "span_s": options.span, "rate_scale": options.rate_scale}
    document = find_bound(
        trace,
        window,
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

    profile = read_profile(options.profile, options.prefix_caching)
    return Scenario(
        profile=profile,
        startup=load_startup(options.startup),
        price=find_price(profile.gpu, profile.gpus_per_replica, options.price),
        slo=Slo(**options.slo),
        routing=options.routing,
        seed=options.seed,
        hash_block_tokens=options.hash_block_tokens,
    )


def _rows(trace: Trace, scenario: Scenario, options: BoundOptions) -> Iterator[Any]:
    context = click.get_current_context()
    source = context.get_parameter_source("hash_block_tokens")
    given = source is not None and source.name != "DEFAULT"
    return read_requests(
        trace,
        scenario.profile,
        options.hash_block_tokens if given else None,
        start_s=options.start,
        span_s=options.span,
        rate_scale=options.rate_scale,
    )


def _inputs(options: BoundOptions, scenario: Scenario) -> dict[str, Any]:
    return {
        "trace": Path(options.trace).name,
        "start_s": options.start,
        "span_s": options.span,
        "rate_scale": options.rate_scale,
        "bad_rows": options.bad_rows,
        "profile": scenario.profile.name,
        "startup": scenario.startup.name,
        "routing": options.routing,
        "seed": options.seed,
        "price": options.price,
    }
