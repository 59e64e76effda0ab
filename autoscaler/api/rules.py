"""The rules between fields of a policy, over plain data.

Plain data, not models, so that one wrong field does not hide the others: the loader runs these
rules next to the models' own checks and reports everything at once. The models run them as well,
for policies that are built in Python.

Data that is not of the expected type is passed over here; the models report it. The API server
holds the same rules in its own language: ``cel.py`` has an entry for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from autoscaler.api.vocabulary import (
    FRACTION_SIGNALS,
    QUANTILE_SIGNALS,
    Role,
    Semantics,
    Signal,
    TargetType,
)

DEFAULT_MIN_REPLICAS = 1
RESERVED_NAME_PREFIXES = ("remainingCapacity/", "rejectedRequests/")

METRIC_SOURCES = ("signal", "query", "cloudMonitoring")
"""Where a metric may come from; each has exactly one."""
UNALIGNED, UNREDUCED = "ALIGN_NONE", "REDUCE_NONE"
SHORTEST_ALIGNMENT_SECONDS = 60

FieldPath = tuple[str | int, ...]
Fault = tuple[FieldPath, str]
"""Where, from the object that the rule was given, and what is wrong."""


def target_faults(target: Mapping[str, Any]) -> Iterator[Fault]:
    """A target has the one value that its type takes."""
    kind = target.get("type")
    if kind not in tuple(TargetType):
        return
    wanted, other = ("value", "averageValue") if kind == TargetType.VALUE else ("averageValue", "value")
    if wanted not in target:
        yield (), f"{wanted} is missing: type {kind} takes {wanted}"
    if other in target:
        yield (other,), f"does not go with type {kind}, which takes {wanted}: remove it, or change the type"


def metric_faults(metric: Mapping[str, Any]) -> Iterator[Fault]:
    """A metric has one source, and its target suits it."""
    signal = metric.get("signal")
    given = [source for source in METRIC_SOURCES if source in metric]
    if not given:
        yield (), f"none of {', '.join(METRIC_SOURCES)} is set: set one of them"
    elif len(given) > 1:
        yield (given[-1],), f"{' and '.join(given)} are set: keep one"
    if isinstance(metric.get("cloudMonitoring"), Mapping):
        yield from _cloud_faults(metric, metric["cloudMonitoring"])
    if "type" in metric and _target_type(metric.get("target")) == TargetType.PODS_AVERAGE:
        yield ("type",), "does not go with target.type PodsAverage, which is HPA's type Pods: remove it"
    if "quantile" in metric and signal not in tuple(QUANTILE_SIGNALS):
        yield ("quantile",), "goes with the signals ttft and itl only: remove it"
    yield from target_type_faults(signal, metric.get("target"))


def _cloud_faults(metric: Mapping[str, Any], cloud: Mapping[str, Any]) -> Iterator[Fault]:
    aligned = cloud.get("perSeriesAligner", UNALIGNED) != UNALIGNED
    window = metric.get("windowSeconds", SHORTEST_ALIGNMENT_SECONDS)
    if cloud.get("crossSeriesReducer", UNREDUCED) != UNREDUCED and not aligned:
        path = ("cloudMonitoring", "crossSeriesReducer")
        yield path, "needs aligned series: set perSeriesAligner too, e.g. ALIGN_MEAN"
    if aligned and _is_integer(window) and window < SHORTEST_ALIGNMENT_SECONDS:
        yield ("windowSeconds",), f"Cloud Monitoring aligns over 60 s at least, not {window}"
    if _target_type(metric.get("target")) == TargetType.PODS_AVERAGE:
        message = "cloudMonitoring belongs to no pod: use type AverageValue or Value, not PodsAverage"
        yield ("target", "type"), message


def target_type_faults(signal: Any, target: Any) -> Iterator[Fault]:
    """Which targets a signal cannot have."""
    kind = _target_type(target)
    path = ("target", "type")
    if kind not in tuple(TargetType):
        return
    if signal in tuple(QUANTILE_SIGNALS) and kind != TargetType.VALUE:
        yield path, f"{signal} is one value over all pods: use type Value, not {kind}"
    if signal in tuple(FRACTION_SIGNALS) and kind == TargetType.VALUE:
        yield path, f"{signal} is each pod's own share: use type PodsAverage, not {kind}"
    if signal == Signal.GATEWAY_QUEUE and kind == TargetType.PODS_AVERAGE:
        yield path, "gatewayQueue belongs to no pod: use type AverageValue or Value, not PodsAverage"


def _target_type(target: Any) -> Any:
    return target.get("type") if isinstance(target, Mapping) else None


def schedule_faults(schedule: Mapping[str, Any]) -> Iterator[Fault]:
    """A schedule changes something, and its bounds are in order."""
    if "minReplicas" not in schedule and "maxReplicas" not in schedule:
        yield (), "sets neither minReplicas nor maxReplicas: set one or both"
    yield from _bounds_faults(schedule.get("minReplicas"), schedule.get("maxReplicas"))


def _bounds_faults(low: Any, high: Any) -> Iterator[Fault]:
    if _disordered(low, high):
        yield ("minReplicas",), f"must be at most maxReplicas, which is {high}; is {low}"


def _disordered(low: Any, high: Any) -> bool:
    return _is_integer(low) and _is_integer(high) and low > high


def spec_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Bounds are in order, names are unique, and at least one metric drives."""
    yield from _bounds_faults(spec.get("minReplicas"), spec.get("maxReplicas"))
    yield from _schedule_bounds_faults(spec)
    if "zeroRule" in spec and spec.get("semantics") != Semantics.HPA:
        yield ("zeroRule",), "goes with semantics: HPA only: remove it, or set semantics"
    metrics = _entries(spec, "metrics")
    yield from _repeated("metrics", {index: metric_name(metric) for index, metric in metrics})
    yield from _repeated(
        "schedules", {index: item.get("name") for index, item in _entries(spec, "schedules")}
    )
    for index, metric in metrics:
        for prefix in RESERVED_NAME_PREFIXES:
            if str(metric_name(metric)).startswith(prefix):
                yield ("metrics", index, "name"), f"must not start with {prefix}, which guards use"
    if metrics and all(metric.get("role") == Role.GUARD for _, metric in metrics):
        yield ("metrics",), "every metric is a Guard: at least one must have the role Driver"


def _schedule_bounds_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """A bound that a schedule leaves out is the spec's."""
    bounds = (spec.get("minReplicas", DEFAULT_MIN_REPLICAS), spec.get("maxReplicas"))
    for index, schedule in _entries(spec, "schedules"):
        low, high = schedule.get("minReplicas"), schedule.get("maxReplicas")
        path = ("schedules", index)
        if high is None and _disordered(low, bounds[1]):
            yield (
                (*path, "minReplicas"),
                f"must be at most the spec's maxReplicas {bounds[1]}, is {low}; or set maxReplicas too",
            )
        if low is None and _disordered(bounds[0], high):
            yield (
                (*path, "maxReplicas"),
                f"must be at least the spec's minReplicas {bounds[0]}, is {high}; or set minReplicas too",
            )


def metric_name(metric: Mapping[str, Any]) -> Any:
    """A metric's name: its own, or its signal's, or that of its source."""
    signal = metric.get("signal")
    source = "cloudMonitoring" if "cloudMonitoring" in metric else "query"
    return metric.get("name", str(signal) if isinstance(signal, str) else source)


def _repeated(field: str, names: dict[int, Any]) -> Iterator[Fault]:
    seen: dict[str, int] = {}
    for index, name in names.items():
        if not isinstance(name, str):
            continue
        if name in seen:
            first = f"{field}[{seen[name]}]"
            yield (field, index, "name"), f'is "{name}" as in {first}: give each its own name'
        else:
            seen[name] = index


def _entries(data: Mapping[str, Any], key: str) -> list[tuple[int, Mapping[str, Any]]]:
    items = data.get(key)
    if not isinstance(items, list):
        return []
    return [(index, item) for index, item in enumerate(items) if isinstance(item, Mapping)]


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def document_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    """Every rule, over a whole policy document."""
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    yield from _below(("spec",), spec_faults, spec)
    for index, metric in _entries(spec, "metrics"):
        path: FieldPath = ("spec", "metrics", index)
        yield from _below(path, metric_faults, metric)
        if isinstance(metric.get("target"), Mapping):
            yield from _below((*path, "target"), target_faults, metric["target"])
    for index, schedule in _entries(spec, "schedules"):
        yield from _below(("spec", "schedules", index), schedule_faults, schedule)


def _below(
    path: FieldPath, rule: Callable[[Mapping[str, Any]], Iterator[Fault]], data: Mapping[str, Any]
) -> Iterator[Fault]:
    for inner, message in rule(data):
        yield (*path, *inner), message
