"""From an answer and the live pods to the values that may be served. Pure.

What is stale, not finite, of a pod that is gone, or incomplete is absent: never 0, never older
than it seems, never a part that passes for the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite

from autoscaler.adapter.registry import ServedMetric
from autoscaler.api.models import CLUSTER_SIGNALS
from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.sample_filter import SampleFilter, bounds_of, fault
from autoscaler.decision.types import Pod, Reading, Sample
from autoscaler.metrics.readings import reading
from autoscaler.ports.metrics import Answer


@dataclass(frozen=True, slots=True)
class Value:
    """A value and the time that it is of."""

    value: float
    timestamp: float


@dataclass(frozen=True, slots=True)
class Values:
    """Values by name of the object (empty for external metrics), and why there are not more."""

    by_name: Mapping[str, Value]
    reason: str = ""


def values(measure: ServedMetric, answer: Answer, pods: Collection[Pod], now: float) -> Values:
    """The values of a measure at ``now`` (seconds), of pods that are there and do not leave."""
    found = reading(measure.metric, answer, measure.namespace, pods, now, measure.max_age_seconds)
    if found.error is not None:
        return Values({}, found.error)
    if measure.each_pod:
        return _of_pods(measure, found, pods, now)
    return _of_object(measure, found, pods, now)


def _of_pods(measure: ServedMetric, found: Reading, pods: Collection[Pod], now: float) -> Values:
    live = {pod.name for pod in pods if not pod.deleting}
    series: dict[str, list[Sample]] = defaultdict(list)
    for sample in found.samples:
        if sample.pod in live:
            series[str(sample.pod)].append(sample)
    by_name = {}
    for pod in sorted(series):
        one = _combine(measure, series[pod], now)
        if isinstance(one, Value):
            by_name[pod] = one
    absent = len(live) - len(by_name)
    return Values(by_name, f"{absent} of {len(live)} pods have no usable sample" if absent else "")


def _of_object(measure: ServedMetric, found: Reading, pods: Collection[Pod], now: float) -> Values:
    gaps = (*found.missing, *_silent(measure, found, pods))
    if gaps:
        return Values({}, f"incomplete: no value of {', '.join(gaps[:3])}")
    if not found.samples:
        return Values({}, found.idle or "there is no sample")
    one = _combine(measure, found.samples, now)
    return Values({measure.object or "": one}) if isinstance(one, Value) else Values({}, one)


def _silent(measure: ServedMetric, found: Reading, pods: Collection[Pod]) -> Sequence[str]:
    """The pods whose part of a total is missing, where the series are the pods' own."""
    if measure.metric.signal is None or measure.metric.signal in CLUSTER_SIGNALS:
        return ()
    heard = {sample.pod for sample in found.samples}
    return [pod for pod in group_pods(pods, hpa_parity=False).serving if pod not in heard]


_REDUCTIONS: dict[str, Callable[[Sequence[float]], float]] = {
    "Sum": sum,
    "Mean": lambda numbers: sum(numbers) / len(numbers),
    "Max": max,
    "Min": min,
}


def _combine(measure: ServedMetric, samples: Sequence[Sample], now: float) -> Value | str:
    """One value of one or several series, as old as the oldest of them; or why there is none."""
    # A query's value may be negative, as for an HPA; a timestamp from the future is rejected.
    bounds = bounds_of(measure.metric.signal, hpa_parity=True)
    rules = SampleFilter(now, measure.max_age_seconds, hpa_parity=False, bounds=bounds)
    for sample in samples:
        message = fault(sample, rules)
        if message is not None:
            return f"the sample is {message}"
    oldest = min(sample.timestamp for sample in samples)
    if len(samples) == 1:
        return Value(samples[0].value, oldest)
    if measure.series == "Single":
        return f"{len(samples)} series where one is declared: set series to say how they become one"
    total = _REDUCTIONS[measure.series]([sample.value for sample in samples])
    return Value(total, oldest) if isfinite(total) else "the sum is not a finite number"
