"""Puts a simulation together from the command's options, runs it and writes what was asked for."""

from __future__ import annotations

import re
import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import click

from autoscaler.errors import PolicyError
from autoscaler.policy.library import library_names, library_path
from autoscaler.policy.load import LoadedPolicy, load_policies
from simulator.cluster import Routing
from simulator.nodes import NodeLimits
from simulator.outputs import (
    atomic_writer,
    check_output,
    write_decisions_jsonl,
    write_requests_csv,
    write_timeline_csv,
)
from simulator.prices import find_price
from simulator.profile import load_profile
from simulator.replay import Fixed, Scenario, simulate
from simulator.report.summary import render_json
from simulator.report.terminal import render_terminal
from simulator.result import RunResult, Slo
from simulator.series import read_series
from simulator.startup import load_startup
from simulator.trace import Trace, resolve_trace

DEFAULT_POLICY = "chat"
FIXED_TIMELINE_S = 1.0
STDOUT = Path("-")


@dataclass(frozen=True)
class Options:
    """The command line, parsed; ``defaults`` names what the user left out."""

    trace: str
    policies: tuple[str, ...]
    fixed: tuple[int, ...]
    profile: str
    startup: str
    startup_spread: Literal["on", "off"]
    nodes: int | None
    warm_nodes: int
    node_idle: float
    price: str | None
    routing: Routing
    rate_scale: float
    start: float
    span: float | None
    bad_rows: Literal["stop", "skip"]
    slo: Mapping[str, float]
    scrape_interval: float
    metrics_lag: float
    initial_replicas: int | None
    clock_start: float
    series: tuple[str, ...]
    seed: int
    json_file: Path | None
    html_file: Path | None
    requests_file: Path | None
    timeline_file: Path | None
    timeline_interval: float | None
    decisions_file: Path | None
    defaults: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """One of the runs that are compared: a policy, or a fixed number of replicas."""

    label: str
    scaling: LoadedPolicy | Fixed

    @property
    def policy(self) -> LoadedPolicy | None:
        """The policy, if it is one."""
        return None if isinstance(self.scaling, Fixed) else self.scaling


def run(options: Options) -> None:
    """The whole command.

    Raises InputError for what is wrong in a file, click's usage errors for the command line.
    """
    for option, path in _outputs(options):
        check_output(path, option)
    if len({path for _, path in _outputs(options)}) < len(_outputs(options)):
        raise click.UsageError("two outputs have the same name: give each its own")
    runs = _labelled([*_policies(options), *map(Fixed, options.fixed)])
    _check_queries(runs, options)
    _check_nodes(runs, options)
    scenario = _scenario(options)
    trace = Trace(resolve_trace(options.trace), options.bad_rows)
    click.echo(_defaults(options), err=True)
    click.echo(_startup(scenario), err=True)
    results = [_simulate(run, trace, scenario, options) for run in runs]
    if trace.skipped_rows:
        click.echo(f"{options.trace}: bad rows skipped: {trace.skipped_rows:,}", err=True)
    _write(results, options)
    aside = any(path == STDOUT for _, path in _outputs(options))
    stream = sys.stderr if aside else sys.stdout
    click.echo(render_terminal(results, color=stream.isatty()), nl=False, err=aside)


def _policies(options: Options) -> Iterator[LoadedPolicy]:
    if not options.policies and not options.fixed:
        yield from load_policies(library_path(DEFAULT_POLICY))
    for name in options.policies:
        bundled = name in library_names() and not Path(name).is_file()
        yield from load_policies(library_path(name) if bundled else Path(name))


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


def _check_queries(runs: Sequence[Run], options: Options) -> None:
    """A free query can only be answered from recorded values."""
    given = {name for name, _ in _series_files(options)}
    problems = [
        loaded.problem(
            ("spec", "metrics", index, "query"),
            f"a query cannot be simulated: give its recorded values with --series {metric.name}=FILE",
        )
        for loaded in (run.policy for run in runs)
        if loaded is not None
        for index, metric in enumerate(loaded.policy.spec.metrics)
        if metric.query is not None and metric.name not in given
    ]
    if problems:
        raise PolicyError(problems)


def _series_files(options: Options) -> list[tuple[str, Path]]:
    files = []
    for text in options.series:
        name, separator, file = text.partition("=")
        if not (name and separator and file):
            raise click.BadParameter(f"{text!r}: write NAME=FILE", param_hint="--series")
        files.append((name, Path(file)))
    return files


def _scenario(options: Options) -> Scenario:
    profile = load_profile(options.profile)
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
        initial_replicas=options.initial_replicas,
        series={
            name: read_series(file).shifted(options.start, options.rate_scale)
            for name, file in _series_files(options)
        },
    )


def _nodes(options: Options) -> NodeLimits | None:
    """The pool of nodes, if it has a limit."""
    if options.nodes is None:
        given = [name for name in ("warm_nodes", "node_idle") if name not in options.defaults]
        if given:
            raise click.UsageError(f"--{given[0].replace('_', '-')} needs --nodes")
        return None
    return NodeLimits(options.nodes, options.warm_nodes, options.node_idle)


def _check_nodes(runs: Sequence[Run], options: Options) -> None:
    """The replicas that a run begins with have nodes already."""
    if options.nodes is None:
        return
    for run in runs:
        if isinstance(run.scaling, Fixed):
            first = run.scaling.replicas
        elif options.initial_replicas is not None:
            first = options.initial_replicas
        else:
            first = run.scaling.policy.spec.min_replicas
        if first + options.warm_nodes > options.nodes:
            needed = f"{first} replicas at 0 and {options.warm_nodes} warm nodes"
            raise click.BadParameter(f"{run.label} has {needed}: more than --nodes", param_hint="--nodes")


def _startup(scenario: Scenario) -> str:
    """The components of a start, those that go without saying among them."""
    startup = scenario.startup
    parts = "+".join(startup.components) or startup.name
    text = f"Start-up: {parts}, {startup.total_s(scenario.profile):.0f} s in the median"
    return textwrap.fill(text, 80, subsequent_indent="  ", break_on_hyphens=False)


def _defaults(options: Options) -> str:
    """What the user left out, and what was taken for it."""
    shown = [
        f"{name.replace('_', '-')}={_shown(name, getattr(options, name))}"
        for name in options.defaults
        if name not in _NOTHING_BY_DEFAULT
    ]
    if not options.policies and not options.fixed:
        shown.insert(0, f"policy={DEFAULT_POLICY}")
    return textwrap.fill(
        f"Defaults: {', '.join(shown) or 'none'}", 80, subsequent_indent="  ", break_on_hyphens=False
    )


def _shown(name: str, value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name.removesuffix('_s')}:{seconds:g}s" for name, seconds in value.items())
    if name == "clock_start" and isinstance(value, float):
        return datetime.fromtimestamp(value, UTC).isoformat()
    if value is None:
        return _UNSET[name]
    return f"{value:g}" if isinstance(value, float) else str(value)


def _simulate(run: Run, trace: Trace, scenario: Scenario, options: Options) -> RunResult:
    scaling = run.policy.policy if run.policy else run.scaling
    assert not isinstance(scaling, LoadedPolicy)
    scenario = replace(scenario, timeline_interval_s=_timeline_interval(run, options))
    with _progress(run.label, trace, options) as progress:
        result = simulate(
            _window(trace, options),
            scaling,
            scenario,
            label=run.label,
            inputs=_inputs(run, options, scenario),
            progress=progress,
        )
    return replace(result, inputs=result.inputs | {"skipped_rows": trace.skipped_rows})


def _timeline_interval(run: Run, options: Options) -> float | None:
    """Every sync for a policy; for fixed replicas every second, and only where somebody asked."""
    if options.timeline_interval is not None:
        return options.timeline_interval
    if run.policy is not None:
        return None
    return FIXED_TIMELINE_S if options.timeline_file or options.html_file else 0.0


@contextmanager
def _progress(label: str, trace: Trace, options: Options) -> Iterator[Callable[[float], None] | None]:
    """A bar with the time left, where somebody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    # The bar needs the end; reading a trace takes a small part of replaying it.
    last_s = max(time_s for time_s, _, _ in _window(trace, options))
    with click.progressbar(length=max(1, int(last_s)), label=label, file=sys.stderr) as bar:
        yield lambda now: bar.update(int(now) - bar.pos)
        bar.update(int(last_s) - bar.pos)


def _window(trace: Trace, options: Options) -> Iterator[tuple[float, int, int]]:
    return trace.window(start_s=options.start, span_s=options.span, rate_scale=options.rate_scale)


def _inputs(run: Run, options: Options, scenario: Scenario) -> dict[str, object]:
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
        "profile": scenario.profile.model_dump(mode="json"),
        "startup": asdict(scenario.startup),
        "nodes": None if scenario.nodes is None else asdict(scenario.nodes),
        "price": options.price,
        "routing": scenario.routing,
        "slo": {"ttft_s": scenario.slo.ttft_s, "tpot_s": scenario.slo.tpot_s},
        "scrape_interval_s": scenario.scrape_interval_s,
        "metrics_lag_s": scenario.metrics_lag_s,
        "clock_start_s": scenario.clock_start,
        "series": [f"{name}={file.name}" for name, file in _series_files(options)],
        "timeline_interval_s": scenario.timeline_interval_s,
        "seed": scenario.seed,
    }


def _outputs(options: Options) -> list[tuple[str, Path]]:
    """Option and file of everything that shall be written."""
    files = {
        "--json": options.json_file,
        "--html": options.html_file,
        "--requests": options.requests_file,
        "--timeline": options.timeline_file,
        "--decisions": options.decisions_file,
    }
    return [(option, path) for option, path in files.items() if path is not None]


def _write(results: Sequence[RunResult], options: Options) -> None:
    for option, path in _outputs(options):
        if option in _PER_RUN:
            for result in results:
                own = path if len(results) == 1 or path == STDOUT else _named_after(path, result.label)
                _PER_RUN[option](own, result)
        else:
            with atomic_writer(path, option) as file:
                file.write(_TOGETHER[option](results))


def _named_after(path: Path, label: str) -> Path:
    """``out.csv.gz`` of the run ``chat`` among several: ``out.chat.csv.gz``."""
    stem, dot, suffixes = path.name.partition(".")
    return path.with_name(f"{stem}.{re.sub('[^A-Za-z0-9-]+', '-', label).strip('-')}{dot}{suffixes}")


def _html(results: Sequence[RunResult]) -> str:
    from simulator.report.html import render_html  # only those pay who want it

    return render_html(results)


_TOGETHER: dict[str, Callable[[Sequence[RunResult]], str]] = {"--json": render_json, "--html": _html}
_PER_RUN: dict[str, Callable[[Path, RunResult], None]] = {
    "--requests": lambda path, result: write_requests_csv(path, result.requests),
    "--timeline": lambda path, result: write_timeline_csv(path, result.timeline),
    "--decisions": lambda path, result: write_decisions_jsonl(path, result.decisions),
}
_UNSET = {
    "span": "all",
    "initial_replicas": "minReplicas",
    "timeline_interval": "every sync (1 with --replicas)",
    "nodes": "unlimited",
    "price": "list price",
}
"""What an option means that was left out and has no value."""

_NOTHING_BY_DEFAULT = frozenset(
    {
        *("trace", "policies", "fixed", "series", "warm_nodes", "node_idle"),
        *("json_file", "html_file", "requests_file", "timeline_file", "decisions_file"),
    }
)
"""Options that do nothing unless they are given (and the policy, which is named first)."""
