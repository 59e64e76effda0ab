"""Puts a simulation together from the command's options, runs it and writes what was asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from autoscaler.cli.simulate.checks import check_effect, check_nodes, check_pipe, check_queries
from autoscaler.cli.simulate.options import DEFAULT_POLICY, STDOUT, Options, Run
from autoscaler.cli.simulate.outputs import check_outputs, outputs, write_outputs
from autoscaler.cli.simulate.printed import defaults_text, startup_text
from simulator.nodes import NodeLimits
from simulator.prices import find_price
from simulator.profile import Profile, load_profile
from simulator.replay import simulate
from simulator.report.summary import summarize
from simulator.report.terminal import render_terminal
from simulator.result import RunResult, Slo
from simulator.scenario import Fixed, Scenario
from simulator.startup import load_startup
from simulator.trace import Trace, resolve_trace

if TYPE_CHECKING:
    from autoscaler.policy.load import LoadedPolicy
    from simulator.series import Series
    from simulator.trace_rows import HashedRequest, Request


LONG_DAYS = 31
"""Longer is no trace that anybody has published; an hour in milliseconds is 42 days."""


def run(options: Options) -> None:
    """The whole command.

    Raises InputError for what is wrong in a file, click's usage errors for the command line.
    """
    runs = _labelled([*_policies(options), *map(Fixed, options.fixed)])
    check_outputs(options, [run.label for run in runs])
    check_effect(runs, options)
    check_queries(runs, options)
    check_nodes(runs, options)
    scenario = _scenario(options)
    trace = Trace(resolve_trace(options.trace), options.bad_rows)
    check_pipe(trace.path, runs)
    click.echo(defaults_text(options), err=True)
    if any(run.policy for run in runs):  # fixed replicas are there from the start
        click.echo(startup_text(scenario), err=True)
    results = [_simulate(run, trace, scenario, options) for run in runs]
    if trace.skipped_rows:
        click.echo(f"{options.trace}: bad rows skipped: {trace.skipped_rows:,}", err=True)
    if (days := max(result.end_s for result in results) / 86400) > LONG_DAYS:
        click.echo(
            f"{options.trace}: its requests span {days:,.0f} days: are its times in seconds?", err=True
        )
    summaries = [summarize(result) for result in results]
    write_outputs(results, summaries, options)
    aside = any(path == STDOUT for _, path in outputs(options))
    stream = sys.stderr if aside else sys.stdout
    click.echo(render_terminal(results, summaries, color=stream.isatty()), nl=False, err=aside)


def _policies(options: Options) -> Iterator[LoadedPolicy]:
    names = options.policies if options.names_scaling else (DEFAULT_POLICY,)
    if not names:
        return
    # A fixed number of replicas needs no validators, which are most of the time to start.
    from autoscaler.exchange.convert import load_any
    from autoscaler.policy.library import find_policy

    for name in names:
        policies, remarks = load_any(find_policy(name))
        for remark in remarks:
            click.echo(str(remark), err=True)
        yield from policies


def _labelled(scalings: Sequence[LoadedPolicy | Fixed]) -> list[Run]:
    """A label for each run; a name that comes again is numbered."""
    runs: list[Run] = []
    seen: Counter[str] = Counter()
    for scaling in scalings:
        if isinstance(scaling, Fixed):
            name = f"{scaling.replicas} replica{'' if scaling.replicas == 1 else 's'}"
        else:
            name = scaling.policy.metadata.name
        seen[name] += 1
        runs.append(Run(name if seen[name] == 1 else f"{name} ({seen[name]})", scaling))
    return runs


def _scenario(options: Options) -> Scenario:
    profile = _profile(options)
    startup = load_startup(options.startup)
    return Scenario(
        profile=profile,
        startup=startup if options.startup_spread == "on" else startup.without_spread(),
        nodes=_nodes(options),
        price=find_price(profile.gpu, profile.gpus_per_replica, options.price),
        slo=Slo(**options.slo),
        routing=options.routing,
        scrape_interval_s=options.scrape_interval,
        metrics_lag_s=options.metrics_lag,
        seed=options.seed,
        clock_start=options.clock_start,
        keep_requests=bool(options.requests_file or options.html_file),
        keep_decisions=bool(options.decisions_file or options.html_file),
        timeline_interval_s=options.timeline_interval,
        initial_replicas=options.initial_replicas,
        series=_series(options),
        hash_block_tokens=options.hash_block_tokens,
    )


def _profile(options: Options) -> Profile:
    """The profile, with or without prefix caching as the options say."""
    profile = load_profile(options.profile)
    if options.prefix_caching is None:
        return profile
    caching = options.prefix_caching == "on"
    try:
        return replace(profile, scheduler=replace(profile.scheduler, enable_prefix_caching=caching))
    except ValueError as error:
        message = f"{error}: {profile.name} is one"
        raise click.BadParameter(message, param_hint="--prefix-caching") from None


def _series(options: Options) -> dict[str, Series]:
    """The recorded values of free queries, on the clock of the run."""
    if not options.series:
        return {}
    from simulator.series import read_series

    return {
        name: read_series(file).shifted(options.start, options.rate_scale)
        for name, file in options.series.items()
    }


def _nodes(options: Options) -> NodeLimits | None:
    """The pool of nodes, if it has a limit."""
    if options.nodes is None:
        given = [name for name in ("warm_nodes", "node_idle") if name not in options.defaults]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} needs --nodes")
        return None
    return NodeLimits(options.nodes, options.warm_nodes, options.node_idle)


def _simulate(run: Run, trace: Trace, scenario: Scenario, options: Options) -> RunResult:
    scaling = run.scaling if isinstance(run.scaling, Fixed) else run.scaling.policy
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
def _progress(label: str, trace: Trace, options: Options) -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left, where somebody watches and the trace can be read twice."""
    if not sys.stderr.isatty() or not trace.path.is_file():
        yield None
        return
    # The bar needs the end; reading a trace takes a small part of replaying it.
    last_s = max(time_s for time_s, _, _ in _window(trace, options))
    with click.progressbar(length=max(1, int(last_s)), label=label, file=sys.stderr) as bar:
        yield lambda now: bar.update(int(now) - bar.pos)
        bar.update(int(last_s) - bar.pos)


def _requests(
    trace: Trace, scenario: Scenario, options: Options
) -> Iterator[Request] | Iterator[HashedRequest]:
    """What is replayed; what is in the prompts only where it makes a difference."""
    if not scenario.profile.scheduler.enable_prefix_caching:
        if "hash_block_tokens" not in options.defaults:
            raise click.UsageError("--hash-block-tokens needs --prefix-caching on")
        return _window(trace, options)
    return trace.hashed_window(
        scenario.hash_block_tokens,
        start_s=options.start,
        span_s=options.span,
        rate_scale=options.rate_scale,
    )


def _window(trace: Trace, options: Options) -> Iterator[tuple[float, int, int]]:
    return trace.window(start_s=options.start, span_s=options.span, rate_scale=options.rate_scale)


def _inputs(run: Run, options: Options, scenario: Scenario) -> dict[str, Any]:
    """Everything that makes the run what it is; with it the run can be repeated."""
    policy = run.policy.policy if run.policy else None
    return {
        "trace": Path(options.trace).name,
        "start_s": options.start,
        "span_s": options.span,
        "rate_scale": options.rate_scale,
        "bad_rows": options.bad_rows,
        "policy": policy.model_dump(mode="json", by_alias=True, exclude_none=True) if policy else None,
        "replicas": run.scaling.replicas if isinstance(run.scaling, Fixed) else None,
        "initial_replicas": scenario.initial_replicas,
        "profile": asdict(scenario.profile),
        "startup": asdict(scenario.startup),
        "nodes": None if scenario.nodes is None else asdict(scenario.nodes),
        "price": options.price,
        "routing": scenario.routing,
        "slo": {"ttft_s": scenario.slo.ttft_s, "tpot_s": scenario.slo.tpot_s},
        "scrape_interval_s": scenario.scrape_interval_s,
        "metrics_lag_s": scenario.metrics_lag_s,
        "clock_start_s": scenario.clock_start,
        "series": [f"{name}={file.name}" for name, file in options.series.items()],
        "seed": scenario.seed,
        "hash_block_tokens": scenario.hash_block_tokens,
    }
