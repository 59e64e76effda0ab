"""The result of a query -> points and buckets. Pure.

A value without a time, or a time without a value, is not a sample: its pod is missing. A series that
occurs twice in one answer counts once, with its larger value and its older time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import isnan
from typing import Any, TypeVar

from autoscaler.api.signals import Reduction, SignalInfo
from autoscaler.errors import QueryError
from autoscaler.metrics.promql import EXPORTER, PART, TIME
from autoscaler.metrics.sources.connection import QueryResult
from autoscaler.ports.metrics import Buckets, Point

_Pod = tuple[str, str]
_Labels = frozenset[tuple[str, str]]
_Key = TypeVar("_Key")


def pod_points(info: SignalInfo, results: Iterable[QueryResult]) -> tuple[Point, ...]:
    """The answer to a rendered signal that is not a histogram, from the results of all its queries.

    A pod's series (models, engines, GPUs) become one value as the catalogue says. A series with
    an impossible value becomes the whole pod's value, so that it is refused: it would hide in a mean.
    """
    values: dict[_Pod, dict[_Labels, float]] = {}
    times: dict[_Pod, float] = {}
    for pod, labels, value in _by_pod(results):
        if labels.get(PART, "").startswith(TIME):
            times[pod] = min(value, times.get(pod, value))
        else:
            _keep_larger(values.setdefault(pod, {}), frozenset(labels.items()), value)
    return tuple(
        Point(_combined(info, series), times[pod], *pod) for pod, series in values.items() if pod in times
    )


def exporters(results: Iterable[QueryResult]) -> tuple[Point, ...]:
    """Which pods export a rendered signal, at the times of their series."""
    return tuple(
        Point(1.0, value, *pod)
        for pod, labels, value in _every_by_pod(results)
        if labels.get(PART) == EXPORTER
    )


def unrated(results: Iterable[QueryResult]) -> frozenset[_Pod]:
    """The pods whose counter is there and has no rate yet: a time without a value."""
    timed: set[_Pod] = set()
    valued: set[_Pod] = set()
    for pod, labels, _ in _by_pod(results):
        (timed if PART in labels else valued).add(pod)
    return frozenset(timed - valued)


def pod_buckets(results: Iterable[QueryResult]) -> tuple[Buckets, ...]:
    """The answer to a rendered histogram."""
    values: dict[_Pod, dict[float, float]] = {}
    times: dict[_Pod, float] = {}
    for pod, labels, value in _by_pod(results):
        if PART not in labels:
            _keep_larger(values.setdefault(pod, {}), float(labels["le"]), value)
        else:
            times[pod] = min(value, times.get(pod, value))
    return tuple(
        Buckets(tuple(sorted(rates)), tuple(rates[bound] for bound in sorted(rates)), times[pod], *pod)
        for pod, rates in values.items()
        if pod in times
    )


def _keep_larger(found: dict[_Key, float], key: _Key, value: float) -> None:
    """Keeps the larger value; a negative one or NaN wins, so that it is refused and hides no load."""
    known = found.get(key)
    if known is None or isnan(value) or value < 0 or (value > known and not known < 0):
        found[key] = value


def _combined(info: SignalInfo, series: Mapping[_Labels, float]) -> float:
    """One value of a pod's series."""
    for value in series.values():
        if not info.bounds.hold(value):
            return value
    total = sum(series.values())
    return total / len(series) if info.series is Reduction.MEAN else total


def query_points(results: Iterable[QueryResult]) -> tuple[Point, ...]:
    """The answer to a user's query: each series at its own time, or the evaluation's.

    Raises:
        QueryError: the query is a range or a text, or its series are native histograms.
    """
    return tuple(point for result in results for point in _query_points(result))


def _query_points(result: QueryResult) -> Iterator[Point]:
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


def _by_pod(results: Iterable[QueryResult]) -> Iterator[tuple[_Pod, Mapping[str, Any], float]]:
    """Values and their times."""
    return (one for one in _every_by_pod(results) if one[1].get(PART) != EXPORTER)


def _every_by_pod(results: Iterable[QueryResult]) -> Iterator[tuple[_Pod, Mapping[str, Any], float]]:
    for result in results:
        for one in result.series:
            labels = one["metric"]
            namespace, pod = labels.get("namespace"), labels.get("pod")
            if namespace and pod:
                yield (namespace, pod), labels, float(one["value"][1])
