"""The rules between the fields of a metric and of its target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from autoscaler.api.rules import At, Data, FieldRules, is_integer
from autoscaler.api.signals import Signal
from autoscaler.api.vocabulary import CLUSTER_SIGNALS, FRACTION_SIGNALS, QUANTILE_SIGNALS, TargetType, named

METRIC_SOURCES = ("signal", "query", "cloudMonitoring")
"""Where a metric may come from; each has exactly one."""
UNALIGNED, UNREDUCED = "ALIGN_NONE", "REDUCE_NONE"
SHORTEST_ALIGNMENT_SECONDS = 60
RESERVED_NAME_PREFIXES = ("remainingCapacity/", "rejectedRequests/")
BELONGS_TO_NO_POD = "{signal} belongs to no pod"
OWN_SHARE = "{signal} is each pod's own share"
_OF_THE_CLUSTER = CLUSTER_SIGNALS - QUANTILE_SIGNALS

TARGET_RULES = FieldRules("Target")
METRIC_RULES = FieldRules("Metric")


# Targets


@TARGET_RULES.breaks(
    says="averageValue is missing: type {type} takes averageValue",
    cel=f"self.type == '{TargetType.VALUE}' || has(self.averageValue)",
    cel_says="averageValue is missing: types PodsAverage and AverageValue take averageValue",
)
def _no_average_value(target: Data) -> bool:
    return _averages(target) and "averageValue" not in target


@TARGET_RULES.breaks(
    says="value is missing: type Value takes value",
    cel=f"self.type != '{TargetType.VALUE}' || has(self.value)",
)
def _no_value(target: Data) -> bool:
    return target.get("type") == TargetType.VALUE and "value" not in target


@TARGET_RULES.breaks(
    "value",
    says="does not go with type {type}, which takes averageValue: remove it, or change the type",
    cel=f"self.type == '{TargetType.VALUE}' || !has(self.value)",
    cel_says="goes with type Value alone: remove it, or change the type",
)
def _value_of_an_average(target: Data) -> bool:
    return _averages(target) and "value" in target


@TARGET_RULES.breaks(
    "averageValue",
    says="does not go with type Value, which takes value: remove it, or change the type",
    cel=f"self.type != '{TargetType.VALUE}' || !has(self.averageValue)",
)
def _average_of_a_value(target: Data) -> bool:
    return target.get("type") == TargetType.VALUE and "averageValue" in target


def _averages(target: Data) -> bool:
    return target.get("type") in (TargetType.PODS_AVERAGE, TargetType.AVERAGE_VALUE)


# Sources

_SOURCES = f"[{', '.join(f'has(self.{source})' for source in METRIC_SOURCES)}].filter(one, one).size()"


@METRIC_RULES.finds(
    says="{given} are set: keep one",
    cel=f"{_SOURCES} < 2",
    cel_says=f"more than one of {', '.join(METRIC_SOURCES)} is set: keep one",
)
def _several_sources(metric: Data) -> Iterator[At]:
    given = [source for source in METRIC_SOURCES if source in metric]
    if len(given) > 1:
        yield At((given[-1],), {"given": " and ".join(given)})


@METRIC_RULES.breaks(
    says=f"none of {', '.join(METRIC_SOURCES)} is set: set one of them", cel=f"{_SOURCES} > 0"
)
def _no_source(metric: Data) -> bool:
    return not any(source in metric for source in METRIC_SOURCES)


# Cloud Monitoring

_ALIGNED = f"has(self.cloudMonitoring) && self.cloudMonitoring.perSeriesAligner != '{UNALIGNED}'"


@METRIC_RULES.breaks(
    "cloudMonitoring",
    "crossSeriesReducer",
    says="needs aligned series: set perSeriesAligner too, e.g. ALIGN_MEAN",
    cel=f"!has(self.cloudMonitoring) || self.cloudMonitoring.crossSeriesReducer == '{UNREDUCED}'"
    f" || {_ALIGNED}",
)
def _reduced_unaligned(metric: Data) -> bool:
    return _cloud(metric).get("crossSeriesReducer", UNREDUCED) != UNREDUCED and not _aligned(metric)


@METRIC_RULES.breaks(
    "windowSeconds",
    says=f"Cloud Monitoring aligns over {SHORTEST_ALIGNMENT_SECONDS} s at least, not {{windowSeconds}}",
    cel=f"!({_ALIGNED}) || self.windowSeconds >= {SHORTEST_ALIGNMENT_SECONDS}",
    cel_says=f"Cloud Monitoring aligns over {SHORTEST_ALIGNMENT_SECONDS} s at least",
)
def _short_alignment(metric: Data) -> bool:
    window = metric.get("windowSeconds")
    return _aligned(metric) and is_integer(window) and window < SHORTEST_ALIGNMENT_SECONDS


@METRIC_RULES.breaks(
    "target",
    "type",
    says="cloudMonitoring belongs to no pod: use type AverageValue or Value, not PodsAverage",
    cel=f"!has(self.cloudMonitoring) || self.target.type != '{TargetType.PODS_AVERAGE}'",
    cel_says="cloudMonitoring belongs to no pod: use type AverageValue or Value",
)
def _cloud_of_pods(metric: Data) -> bool:
    cloud = metric.get("cloudMonitoring")
    return isinstance(cloud, Mapping) and _target_type(metric) == TargetType.PODS_AVERAGE


def _cloud(metric: Data) -> Data:
    cloud = metric.get("cloudMonitoring")
    return cloud if isinstance(cloud, Mapping) else {}


def _aligned(metric: Data) -> bool:
    return bool(_cloud(metric).get("perSeriesAligner", UNALIGNED) != UNALIGNED)


# Signals and their targets


def _is_one_of(signals: Iterable[Signal]) -> str:
    words = ", ".join(repr(str(signal)) for signal in sorted(signals))
    return f"has(self.signal) && self.signal in [{words}]"


def _target_type(metric: Data) -> Any:
    """The type of a metric's target; None where it has none that is valid."""
    target = metric.get("target")
    kind = target.get("type") if isinstance(target, Mapping) else None
    return kind if kind in tuple(TargetType) else None


@METRIC_RULES.breaks(
    "type",
    says="does not go with target.type PodsAverage, which is HPA's type Pods: remove it",
    cel=f"!has(self.type) || self.target.type != '{TargetType.PODS_AVERAGE}'",
)
def _type_of_pods(metric: Data) -> bool:
    return "type" in metric and _target_type(metric) == TargetType.PODS_AVERAGE


@METRIC_RULES.breaks(
    "quantile",
    says=f"goes with the signals {named(QUANTILE_SIGNALS)} only: remove it",
    cel=f"!has(self.quantile) || ({_is_one_of(QUANTILE_SIGNALS)})",
)
def quantile_of_no_latency(metric: Data) -> bool:
    """Only latencies have quantiles."""
    return "quantile" in metric and metric.get("signal") not in tuple(QUANTILE_SIGNALS)


@METRIC_RULES.breaks(
    "target",
    "type",
    says="{signal} is one value over all pods: use type Value, not {target[type]}",
    cel=f"!({_is_one_of(QUANTILE_SIGNALS)}) || self.target.type == '{TargetType.VALUE}'",
    cel_says=f"{named(QUANTILE_SIGNALS)} are one value over all pods: use type Value",
)
def _average_quantile(metric: Data) -> bool:
    kind = _target_type(metric)
    return kind not in (None, TargetType.VALUE) and metric.get("signal") in tuple(QUANTILE_SIGNALS)


@METRIC_RULES.breaks(
    "target",
    "type",
    says=f"{OWN_SHARE}: use type PodsAverage, not {{target[type]}}",
    cel=f"!({_is_one_of(FRACTION_SIGNALS)}) || self.target.type != '{TargetType.VALUE}'",
    cel_says=f"{named(FRACTION_SIGNALS)} are each pod's own share: use type PodsAverage",
)
def _one_share(metric: Data) -> bool:
    return _target_type(metric) == TargetType.VALUE and metric.get("signal") in tuple(FRACTION_SIGNALS)


@METRIC_RULES.breaks(
    "target",
    "type",
    says=f"{BELONGS_TO_NO_POD}: use type AverageValue or Value, not PodsAverage",
    cel=f"!({_is_one_of(_OF_THE_CLUSTER)}) || self.target.type != '{TargetType.PODS_AVERAGE}'",
    cel_says=f"{named(_OF_THE_CLUSTER)} belongs to no pod: use type AverageValue or Value",
)
def _pods_of_the_cluster(metric: Data) -> bool:
    is_one_value = metric.get("signal") in tuple(_OF_THE_CLUSTER)
    return is_one_value and _target_type(metric) == TargetType.PODS_AVERAGE


# Names


def metric_name(metric: Data) -> Any:
    """A metric's name: its own, or its signal's, or that of its source."""
    signal = metric.get("signal")
    source = "cloudMonitoring" if "cloudMonitoring" in metric else "query"
    return metric.get("name", str(signal) if isinstance(signal, str) else source)


def _reserve(prefix: str) -> None:
    @METRIC_RULES.breaks(
        "name",
        says=f"must not start with {prefix}, which guards use",
        cel=f"!has(self.name) || !self.name.startsWith('{prefix}')",
    )
    def _reserved(metric: Data) -> bool:
        return str(metric.get("name")).startswith(prefix)


for _prefix in RESERVED_NAME_PREFIXES:
    _reserve(_prefix)
