"""``autoscale query``: what a policy asks, and what the answer is now."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing

import click

from autoscaler.api.models import QUANTILE_SIGNALS, Metric, ScalingPolicy, Semantics, Signal, Spec
from autoscaler.cli.options.declared import Options, argument, group, option, takes
from autoscaler.cli.options.metrics import MetricOptions
from autoscaler.cli.options.shell_completion import complete_policy
from autoscaler.decision.sample_filter import SampleFilter, bounds_of, fault
from autoscaler.decision.types import Pod, Sample
from autoscaler.documents.library import find_policy
from autoscaler.documents.policies import LoadedPolicy, load_policies, load_policy_text
from autoscaler.metrics.promql import Area, render, render_query
from autoscaler.metrics.readings import question, reading
from autoscaler.ports.metrics import Answer, CloudQuestion, PromqlQuestion, Question, SignalQuestion

_NOT_EXPORTED = "no replica counts refused requests, as before vLLM 0.32"


class QueryOptions(Options):
    """The command line."""

    file: str = argument(metavar="FILE|NAME", shell_complete=complete_policy)
    namespace: str = option(
        "-n",
        "--namespace",
        default="default",
        show_default=True,
        help="Of policies that name none themselves.",
    )
    metrics: MetricOptions = group(MetricOptions)


@click.command()
@takes(QueryOptions)
def query(options: QueryOptions) -> None:
    """Show what each metric of the policies in FILE (- for standard input) asks, guards' included.

    NAME is one of `autoscale policies`.

    With --prometheus-url or --google-project it is asked now, and the values are shown with their
    ages; every pod with a value counts, as no cluster is looked at. A value that a decision would
    refuse is shown with the reason. Exits with 1 if a metric has no value that counts.

    \b
    autoscale query chat.yaml
    kubectl get scalingpolicy chat -o yaml | autoscale query -
    autoscale query chat.yaml -n models --prometheus-url http://localhost:9090
    """  # noqa: D301 (click wants the character, not a backslash)
    policies = [loaded.policy for loaded in _load(options.file)]
    metrics, default = options.metrics, options.namespace
    area = Area(metrics.cluster, metrics.location, metrics.cluster_project)
    namespaces = {_namespace(policy, default) for policy in policies}
    answers = _answers(policies, namespaces, metrics) if metrics.names_source else None
    shown: list[bool | None] = []
    for policy in policies:
        namespace = _namespace(policy, default)
        click.secho(f"{namespace}/{policy.metadata.name}", bold=True)
        for asked, askers in _asked(policy).items():
            click.echo(f"\n  {', '.join(metric.name for metric in askers)}")
            for line in _text(asked, area, namespace):
                click.secho(f"    {line}", dim=answers is not None)
            if answers is not None:
                shown.append(_show(policy.spec, askers, answers[asked], namespace))
        click.echo()
    if shown and not any(shown) and any(policy.metadata.namespace is None for policy in policies):
        click.echo(f"Asked in the namespace {default}; -n names another", err=True)
    sys.exit(1 if False in shown else 0)


def _load(file: str) -> tuple[LoadedPolicy, ...]:
    if file == "-":
        return load_policy_text(sys.stdin.buffer.read(), "<stdin>")
    return load_policies(find_policy(file))


def _namespace(policy: ScalingPolicy, default: str) -> str:
    return policy.metadata.namespace or default


def _asked(policy: ScalingPolicy) -> dict[Question, list[Metric]]:
    """Each question once, and the metrics that ask it."""
    asked: dict[Question, list[Metric]] = {}
    for metric in policy.spec.inputs:
        asked.setdefault(question(metric), []).append(metric)
    return asked


def _text(asked: Question, area: Area, namespace: str) -> Iterator[str]:
    match asked:
        case CloudQuestion(cloud):
            yield from cloud.filter.splitlines()
        case PromqlQuestion(text):
            yield from render_query(text).splitlines()
        case SignalQuestion(signal, window_seconds):
            for text in render(signal, window_seconds, area, [namespace]):
                yield from text.splitlines()


def _answers(
    policies: Iterable[ScalingPolicy], namespaces: set[str], metrics: MetricOptions
) -> Mapping[Question, Answer]:
    # The sources bring HTTP and Google's libraries, which printing queries does without.
    from autoscaler.metrics.sources.factory import open_source

    with closing(open_source(metrics.settings())) as source:
        return source.answers({asked for policy in policies for asked in _asked(policy)}, namespaces)


def _pods(answer: Answer, namespace: str) -> set[str]:
    """The pods of the namespace in the answer."""
    points = {point.pod for point in answer.points if point.pod and point.namespace in (namespace, None)}
    return points | {one.pod for one in answer.buckets if one.namespace == namespace}


def _show(spec: Spec, metrics: list[Metric], answer: Answer, namespace: str) -> bool | None:
    """Prints an answer; whether it has a value that counts. None: it has none, and need not have one."""
    for warning in answer.warnings:
        click.secho(f"    partial: {warning}", fg="yellow")
    for remark in answer.remarks:
        click.echo(f"    the server remarks: {remark}")
    now = time.time()
    pods = [Pod(name) for name in sorted(_pods(answer, namespace))]
    shown = False
    idle = None
    for metric in metrics if metrics[0].signal in QUANTILE_SIGNALS else metrics[:1]:
        told = reading(metric, answer, namespace, pods, now)
        if told.error is not None:
            click.secho(f"    failed: {told.error}", fg="red")
            return False
        idle = told.idle or (_NOT_EXPORTED if metric.signal is Signal.REJECTED_RATE else None)
        for sample in sorted(told.samples, key=lambda sample: sample.pod or ""):
            where = sample.pod or (f"over {len(pods)} pods" if metric.signal in QUANTILE_SIGNALS else "value")
            refused = _refusal(spec, metric, sample, now)
            line = f"    {where:<40} {sample.value:>12.6g}   {now - sample.timestamp:6.1f} s old"
            click.secho(f"{line}   refused: {refused}" if refused else line, fg="red" if refused else None)
            shown = shown or not refused
    if not shown:
        click.secho(f"    no value: {idle}" if idle else "    no value", fg=None if idle else "red")
    return None if idle and not shown else shown


def _refusal(spec: Spec, metric: Metric, sample: Sample, now: float) -> str | None:
    """Why a decision of the policy would not count a sample."""
    hpa_parity = spec.semantics is Semantics.HPA
    bounds = bounds_of(metric.signal, hpa_parity)
    return fault(sample, SampleFilter(now, spec.max_age_seconds(metric), hpa_parity, bounds))
