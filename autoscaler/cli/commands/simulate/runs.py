"""Puts a simulation together from the command's options, runs it and writes what was asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoscaler.cli.commands.simulate.banner import (
    PIPE_TEXT,
    beginning_text,
    defaults_text,
    startup_text,
    unwritten_text,
)
from autoscaler.cli.commands.simulate.checks import check_effect, check_nodes, check_pipe, check_queries
from autoscaler.cli.commands.simulate.judge import Judge, initial_replicas, review
from autoscaler.cli.commands.simulate.options import STDOUT, SimulateOptions
from autoscaler.cli.commands.simulate.planned_runs import PlannedRun, planned_runs
from autoscaler.cli.commands.simulate.result_files import check_outputs, outputs, write_outputs
from autoscaler.cli.options.simulated_replicas import read_requests
from simulator.number_formats import goal
from simulator.report.summary import summarize
from simulator.report.terminal import render_terminal
from simulator.run.event_loop import simulate
from simulator.run.result import RunResult
from simulator.run.scenario import FixedScaling, Scenario
from simulator.startup.choices import load_startup
from simulator.startup.nodes import NodeLimits
from simulator.startup.prices import find_price
from simulator.traces.trace import Trace
from simulator.verdict.goal import Goal
from simulator.verdict.unavoidable import IdleReplica
from simulator.vllm.request_table import Slo

if TYPE_CHECKING:
    from simulator.traces.rows import HashedRequest, Request
    from simulator.traces.series import Series


EXIT_MISSED = 3
"""``--check``: a run missed the goal."""

LONG_DAYS = 31
"""No published trace is longer; an hour in milliseconds is 42 days."""


def run(options: SimulateOptions) -> int:
    """The whole command; returns its exit status.

    Raises InputError for what is wrong in a file, click's usage errors for the command line.
    """
    runs = planned_runs(options)
    check_outputs(options, [run.label for run in runs])
    check_effect(runs, options)
    check_queries(runs, options)
    check_nodes(runs, options)
    scenario = _scenario(options)
    trace = options.replay.open(options.trace)
    check_pipe(trace.path, runs, options)
    click.echo(defaults_text(options), err=True)
    for run_ in runs if options.check else ():
        if run_.policy is not None and (warning := unwritten_text(run_.label, run_.policy.policy.spec)):
            click.echo(warning, err=True)
    judge = _judge(trace, scenario, options)
    if any(run.policy for run in runs):  # fixed replicas are there from the start
        click.echo(startup_text(scenario), err=True)
    if not judge.rereadable and {"initial_replicas", "baseline"} & options.defaults.keys():
        click.echo(PIPE_TEXT, err=True)
    begun = _begun(runs, judge, options)
    results = [_simulate(run, trace, own, options) for run, own in zip(runs, begun, strict=True)]
    if trace.skipped_rows:
        click.echo(f"{options.trace}: bad rows skipped: {trace.skipped_rows:,}", err=True)
    if (days := max(result.end_s for result in results) / 86400) > LONG_DAYS:
        click.echo(
            f"{options.trace}: its requests span {days:,.0f} days: are its times in seconds?", err=True
        )
    summaries = _summaries(runs, results, judge, options)
    write_outputs(results, summaries, options)
    aside = any(path == STDOUT for _, path in outputs(options))
    stream = sys.stderr if aside else sys.stdout
    click.echo(render_terminal(results, summaries, color=stream.isatty()), nl=False, err=aside)
    return _status(summaries, options)


def _status(summaries: Sequence[dict[str, Any]], options: SimulateOptions) -> int:
    missing = [summary["label"] for summary in summaries if not summary["verdict"]["holds"]]
    if not options.check or not missing:
        return 0
    click.echo(f"--check: {goal(options.goal)} is missed by {', '.join(missing)}", err=True)
    return EXIT_MISSED


def _judge(trace: Trace, scenario: Scenario, options: SimulateOptions) -> Judge:
    again = Trace(trace.path, trace.bad_rows)  # an object of its own: the runs' one counts its skipped rows

    def requests(seconds: float | None) -> Iterable[Any]:
        rows: Iterable[Any] = _requests(again, scenario, options)
        return rows if seconds is None else takewhile(lambda row: row[0] < seconds, rows)

    return Judge(
        scenario, Goal(options.goal, options.count), IdleReplica(scenario), requests, trace.path.is_file()
    )


def _begun(runs: Sequence[PlannedRun], judge: Judge, options: SimulateOptions) -> list[Scenario]:
    """Each run's scenario, with the replicas that it begins with."""
    scenario = judge.scenario
    given = options.initial_replicas
    if isinstance(given, int):
        return [replace(scenario, initial_replicas=given)] * len(runs)
    if given == "min" or options.only_fixed or not judge.rereadable:
        return [scenario] * len(runs)
    fewest = judge.fewest_at_first()
    nodes = None if options.nodes is None else options.nodes - options.warm_nodes
    begun = {
        run.label: initial_replicas(run.policy.policy, fewest, nodes, options.clock_start)
        for run in runs
        if run.policy is not None
    }
    click.echo(beginning_text(begun, fewest, options.goal), err=True)
    return [replace(scenario, initial_replicas=begun.get(run.label)) for run in runs]


def _summaries(
    runs: Sequence[PlannedRun], results: Sequence[RunResult], judge: Judge, options: SimulateOptions
) -> list[dict[str, Any]]:
    """Every run's figures and verdict; the baseline and the bound are the same for all."""
    sought = options.baseline == "on" and judge.rereadable
    baseline = judge.baseline(results) if sought else None
    hours = _bound_hours(judge, options) if options.bound == "on" else None
    reviews = (
        review(
            judge,
            result,
            None if run.policy is None else run.policy.policy,
            baseline,
            baseline_sought=sought,
            bound_replica_hours=hours,
        )
        for run, result in zip(runs, results, strict=True)
    )
    return [summarize(result, one) for result, one in zip(results, reviews, strict=True)]


def _bound_hours(judge: Judge, options: SimulateOptions) -> float | None:
    from autoscaler.cli.commands.bound_lookup import find_bound

    trace, window = options.replay.open(options.trace), options.replay.window
    document = find_bound(trace, window, judge.scenario, (options.goal,), lambda: judge.requests(None))
    hours: float | None = document["goal_replica_hours"]
    return hours


def _scenario(options: SimulateOptions) -> Scenario:
    replica = options.replica
    profile = replica.read_profile()
    startup = load_startup(replica.startup)
    return Scenario(
        profile=profile,
        startup=startup if options.startup_spread == "on" else startup.without_spread(),
        nodes=_nodes(options),
        price=find_price(profile.gpu, profile.gpus_per_replica, replica.price),
        slo=Slo(**options.replay.slo),
        routing=replica.routing,
        scrape_interval_s=options.scrape_interval,
        metrics_lag_s=options.metrics_lag,
        seed=replica.seed,
        clock_start=options.clock_start,
        keep_requests=bool(options.requests_file or options.html_file),
        keep_decisions=bool(options.decisions_file or options.html_file),
        timeline_interval_s=options.timeline_interval,
        series=_series(options),
        hash_block_tokens=replica.hash_block_tokens,
    )


def _series(options: SimulateOptions) -> dict[str, Series]:
    """The recorded values of free queries, on the clock of the run."""
    if not options.series:
        return {}
    from simulator.traces.series import read_series

    return {
        name: read_series(file).shifted(options.replay.start, options.replay.rate_scale)
        for name, file in options.series.items()
    }


def _nodes(options: SimulateOptions) -> NodeLimits | None:
    """The pool of nodes, if it has a limit."""
    if options.nodes is None:
        given = [name for name in ("warm_nodes", "node_idle") if name not in options.defaults]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} needs --nodes")
        return None
    return NodeLimits(options.nodes, options.warm_nodes, options.node_idle)


def _simulate(run: PlannedRun, trace: Trace, scenario: Scenario, options: SimulateOptions) -> RunResult:
    scaling = run.scaling if isinstance(run.scaling, FixedScaling) else run.scaling.policy
    # The terminal draws a policy's course; what fixed replicas did is drawn only where it is asked for.
    drawn = run.policy is not None or bool(options.timeline_file or options.html_file)
    with _progress(run.label, trace, options) as progress:
        result = simulate(
            _requests(trace, scenario, options),
            scaling,
            replace(scenario, keep_timeline=drawn),
            label=run.label,
            inputs=_inputs(run, options, scenario) | {"timeline_interval_s": scenario.timeline_s(scaling)},
            progress=progress,
        )
    return replace(result, inputs=result.inputs | {"skipped_rows": trace.skipped_rows})


@contextmanager
def _progress(label: str, trace: Trace, options: SimulateOptions) -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left, on a terminal, if the trace can be read twice."""
    if not sys.stderr.isatty() or not trace.path.is_file():
        yield None
        return
    # The bar needs the end; reading a trace takes a small part of replaying it.
    last_s = max(time_s for time_s, _, _ in trace.window(**options.replay.window))
    with click.progressbar(length=max(1, int(last_s)), label=label, file=sys.stderr) as bar:
        yield lambda now: bar.update(int(now) - bar.pos)
        bar.update(int(last_s) - bar.pos)


def _requests(
    trace: Trace, scenario: Scenario, options: SimulateOptions
) -> Iterator[Request] | Iterator[HashedRequest]:
    given = "hash_block_tokens" not in options.defaults
    tokens = options.replica.hash_block_tokens if given else None
    return read_requests(trace, scenario.profile, tokens, options.replay.window)


def _inputs(run: PlannedRun, options: SimulateOptions, scenario: Scenario) -> dict[str, Any]:
    """Everything that makes the run what it is; with it the run can be repeated."""
    policy = run.policy.policy if run.policy else None
    return {
        "trace": Path(options.trace).name,
        **options.replay.window,
        "bad_rows": options.replay.bad_rows,
        "policy": policy.model_dump(mode="json", by_alias=True, exclude_none=True) if policy else None,
        "replicas": run.scaling.replicas if isinstance(run.scaling, FixedScaling) else None,
        "initial_replicas": scenario.initial_replicas,
        "profile": asdict(scenario.profile),
        "startup": asdict(scenario.startup),
        "nodes": None if scenario.nodes is None else asdict(scenario.nodes),
        "price": options.replica.price,
        "routing": scenario.routing,
        "slo": {"ttft_s": scenario.slo.ttft_s, "tpot_s": scenario.slo.tpot_s},
        "scrape_interval_s": scenario.scrape_interval_s,
        "metrics_lag_s": scenario.metrics_lag_s,
        "clock_start_s": scenario.clock_start,
        "series": [f"{name}={file.name}" for name, file in options.series.items()],
        "seed": scenario.seed,
        "hash_block_tokens": scenario.hash_block_tokens,
    }
