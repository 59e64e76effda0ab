"""Warnings about queries. These rules look at the words of a query and not at its meaning."""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import Spec, TargetType
from autoscaler.api.rules import At, FieldPath
from autoscaler.api.signals import REMOVED_METRICS, RENAMED_METRICS
from autoscaler.documents.promql_checks import (
    aggregates,
    drops_pod,
    metrics_of,
    nan_without_requests,
    raw_counters,
)
from autoscaler.lint.rule import Rules

rule = Rules[Spec]()


def _queries(spec: Spec, *types: TargetType) -> Iterator[tuple[FieldPath, str]]:
    """The queries with their paths; with types, only those whose target is of one."""
    for index, metric in enumerate(spec.metrics):
        if metric.query is not None and (not types or metric.target.type in types):
            yield ("spec", "metrics", index, "query"), metric.query


@rule(
    "nan-when-idle",
    "histogram_quantile is NaN while no requests come, and NaN forbids every scale-down; use the signal "
    "ttft or itl, which abstains then, or drop the NaN: (...) >= 0 or 0 * sum(rate(..._count[1m]))",
)
def _nan_when_idle(spec: Spec) -> Iterator[At]:
    """A query takes histogram_quantile(…) and no comparison drops its NaN."""
    for path, query in _queries(spec):
        if nan_without_requests(query):
            yield At(path)


@rule(
    "renamed-metric",
    "vLLM renamed {old} to {new}, and newer versions export the new name only; use {new}",
)
def _renamed_metric(spec: Spec) -> Iterator[At]:
    """A query uses a metric's old name only."""
    for path, query in _queries(spec):
        used = metrics_of(query)
        for old, new in RENAMED_METRICS.items():
            if old in used and new not in used:
                yield At(path, {"old": old, "new": new})


@rule("removed-metric", "vLLM has no {old} any more: {instead}")
def _removed_metric(spec: Spec) -> Iterator[At]:
    """A query uses a metric that vLLM no longer has."""
    for path, query in _queries(spec):
        for old, instead in REMOVED_METRICS.items():
            if old in metrics_of(query):
                yield At(path, {"old": old, "instead": instead})


@rule(
    "unaggregated-query",
    "returns one series per pod, model and engine, and their sum counts; aggregate them with "
    "sum(...), avg(...) or max(...)",
)
def _unaggregated_query(spec: Spec) -> Iterator[At]:
    """A query for `AverageValue` or `Value` has no aggregation."""
    for path, query in _queries(spec, TargetType.AVERAGE_VALUE, TargetType.VALUE):
        if not aggregates(query):
            yield At(path)


@rule(
    "pod-label-dropped",
    "aggregates the pod label away, so no sample belongs to a pod as PodsAverage needs; aggregate "
    "by (pod), or use target type AverageValue",
)
def _pod_label_dropped(spec: Spec) -> Iterator[At]:
    """A query for `PodsAverage` aggregates without `by (pod)`."""
    for path, query in _queries(spec, TargetType.PODS_AVERAGE):
        if drops_pod(query):
            yield At(path)


@rule("raw-counter", "{name} counts from the start of the pod and only grows; use rate({name}[1m])")
def _raw_counter(spec: Spec) -> Iterator[At]:
    """A query uses a `_total` without a rate."""
    for path, query in _queries(spec):
        for name in raw_counters(query):
            yield At(path, {"name": name})
