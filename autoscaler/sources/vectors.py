"""What a query returned -> points and buckets. Pure.

A value without a time, or a time without a value, is no sample: its pod is missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autoscaler.errors import QueryError
from autoscaler.ports import Buckets, Point
from autoscaler.rendering import EXPORTER, PART
from autoscaler.sources.connection import Result

_Pod = tuple[str, str]


def pod_points(results: Iterable[Result]) -> tuple[Point, ...]:
    """The answer to a rendered signal that is no histogram, from the results of all its queries."""
    values: dict[_Pod, float] = {}
    times: dict[_Pod, float] = {}
    for pod, labels, value in _by_pod(results):
        if PART not in labels:
            values[pod] = value
        else:
            times[pod] = min(value, times.get(pod, value))
    return tuple(Point(values[pod], times[pod], *pod) for pod in values if pod in times)


def exporters(results: Iterable[Result]) -> tuple[Point, ...]:
    """Which pods export a rendered signal, at the times of their series."""
    return tuple(
        Point(1.0, value, *pod)
        for pod, labels, value in _every_by_pod(results)
        if labels.get(PART) == EXPORTER
    )


def pod_buckets(results: Iterable[Result]) -> tuple[Buckets, ...]:
    """The answer to a rendered histogram."""
    values: dict[_Pod, dict[float, float]] = {}
    times: dict[_Pod, float] = {}
    for pod, labels, value in _by_pod(results):
        if PART not in labels:
            values.setdefault(pod, {})[float(labels["le"])] = value
        else:
            times[pod] = min(value, times.get(pod, value))
    return tuple(
        Buckets(tuple(sorted(rates)), tuple(rates[bound] for bound in sorted(rates)), times[pod], *pod)
        for pod, rates in values.items()
        if pod in times
    )


def query_points(results: Iterable[Result]) -> tuple[Point, ...]:
    """The answer to a query that somebody wrote: each series at its own time, or the evaluation's.

    Raises:
        QueryError: the query is a range or a text, or its series are native histograms.
    """
    return tuple(point for result in results for point in _query_points(result))


def _query_points(result: Result) -> Iterator[Point]:
    if result.kind == "scalar":
        time, value = result.series
        yield Point(float(value), float(time))
        return
    if result.kind != "vector":
        raise QueryError(f"the query gives a {result.kind}, not an instant vector")
    times = {
        _identity(one["metric"]): float(one["value"][1])
        for one in result.series
        if PART in one["metric"] and "value" in one
    }
    for one in result.series:
        labels = one["metric"]
        if PART in labels:
            continue
        if "value" not in one:
            raise QueryError(
                "the query gives native histograms: take histogram_quantile(…) or a rate of them"
            )
        time, value = one["value"]
        yield Point(
            value=float(value),
            timestamp=times.get(_identity(labels), float(time)),
            namespace=labels.get("namespace") or None,
            pod=labels.get("pod") or None,
        )


def _identity(labels: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    return frozenset(pair for pair in labels.items() if pair[0] not in ("__name__", PART))


def _by_pod(results: Iterable[Result]) -> Iterator[tuple[_Pod, Mapping[str, Any], float]]:
    """Values and their times."""
    return (one for one in _every_by_pod(results) if one[1].get(PART) != EXPORTER)


def _every_by_pod(results: Iterable[Result]) -> Iterator[tuple[_Pod, Mapping[str, Any], float]]:
    for result in results:
        for one in result.series:
            labels = one["metric"]
            namespace, pod = labels.get("namespace"), labels.get("pod")
            if namespace and pod:
                yield (namespace, pod), labels, float(one["value"][1])
