"""Contradictions between the options, found before anything runs."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from autoscaler.cli.commands.simulate.options import FOR_POLICIES, SimulateOptions
from autoscaler.cli.commands.simulate.planned_runs import PlannedRun
from autoscaler.errors import Diagnostic, PolicyError, TraceError
from simulator.run.scenario import FixedScaling

if TYPE_CHECKING:
    from autoscaler.documents.policies import LoadedPolicy


def check_effect(runs: Sequence[PlannedRun], options: SimulateOptions) -> None:
    """Refuses options without effect. Raises a usage error that names the option."""
    policies = [run.policy.policy for run in runs if run.policy is not None]
    if options.bound == "on" and options.count == "all":
        raise click.UsageError("--bound is over avoidable requests: it needs --count avoidable")
    for name, why in FOR_POLICIES.items():
        if options.only_fixed and name not in options.defaults:
            option = name.removesuffix("_file").replace("_", "-")
            raise click.UsageError(f"--{option} is for policies: {why}")
    queries = {metric.name for policy in policies for metric in policy.spec.metrics if metric.signal is None}
    for name in options.series:
        if name not in queries:
            known = f"there are: {', '.join(sorted(queries))}" if queries else "there is none"
            message = f"no policy has a metric {name!r} with a query ({known})"
            raise click.BadParameter(message, param_hint="--series")


def check_queries(runs: Sequence[PlannedRun], options: SimulateOptions) -> None:
    """A free query can only be answered from recorded values. Raises PolicyError without them."""
    problems = [
        problem
        for loaded in (run.policy for run in runs)
        if loaded is not None
        for problem in _unanswerable(loaded, options.series)
    ]
    if problems:
        raise PolicyError(problems)


def _unanswerable(loaded: LoadedPolicy, series: Collection[str]) -> Iterator[Diagnostic]:
    """The metrics that the simulator does not count, and that have no recorded values."""
    from autoscaler.metrics.readings import question  # as the simulator does, where there is a policy
    from autoscaler.ports.metrics import CloudQuestion, PromqlQuestion, SignalQuestion

    for index, metric in enumerate(loaded.policy.spec.metrics):
        match question(metric):
            case SignalQuestion():
                continue
            case PromqlQuestion():
                field, what = "query", "a query"
            case CloudQuestion():
                field, what = "cloudMonitoring", "Cloud Monitoring"
        if metric.name not in series:
            message = f"{what} cannot be simulated: give its recorded values with --series {metric.name}=FILE"
            yield loaded.diagnostic(("spec", "metrics", index, field), message)


def check_nodes(runs: Sequence[PlannedRun], options: SimulateOptions) -> None:
    """The replicas that a run begins with have nodes already. Raises a usage error if not."""
    if options.nodes is None:
        return
    for run in runs:
        if isinstance(run.scaling, FixedScaling):
            first = run.scaling.replicas
        elif isinstance(options.initial_replicas, int):
            first = options.initial_replicas
        else:
            first = run.scaling.policy.spec.min_replicas
        if first + options.warm_nodes > options.nodes:
            needed = f"replicas ready at 0: {first}, warm nodes: {options.warm_nodes}"
            message = f"{run.label} needs more than {options.nodes} ({needed})"
            raise click.BadParameter(message, param_hint="--nodes")


def check_pipe(trace: Path, runs: Sequence[PlannedRun], options: SimulateOptions) -> None:
    """A pipe can be read once. Raises TraceError where several runs, or the bound, would read it."""
    if options.bound == "on" and not trace.is_file():
        message = "is a pipe, which can be read once, and --bound reads it again: name a file"
        raise TraceError([Diagnostic(str(trace), None, "", message)])
    if len(runs) > 1 and not trace.is_file():
        message = f"is a pipe, which can be read once, and there are {len(runs)} runs: name a file"
        raise TraceError([Diagnostic(str(trace), None, "", message)])
