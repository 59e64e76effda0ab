"""Warnings about policies that one kind of metric drives alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autoscaler.api.models import QUANTILE_SIGNALS, Metric, Role, Signal, Spec
from autoscaler.api.rules import At
from autoscaler.documents.promql_checks import is_utilization, is_waiting
from autoscaler.lint.rule import Rules

_UTILIZATION = (Signal.GPU_UTILIZATION, Signal.GPU_MEMORY_USED)

rule = Rules[Spec]()


@rule(
    "utilization-only",
    "only CPU or GPU utilization drives this policy, which says little about the load of an LLM, "
    "as a single request keeps a GPU busy; drive on running+waiting and make these Guards",
)
def _utilization_only(spec: Spec) -> Iterator[At]:
    """Every driver is `gpuUtilization`, `gpuMemoryUsed` or a query on CPU, memory or DCGM metrics."""
    return _driven_only_by(
        spec,
        lambda metric: (
            metric.signal in _UTILIZATION if metric.query is None else is_utilization(metric.query)
        ),
    )


@rule(
    "waiting-only",
    "only waiting requests drive this policy: there are none until the replicas are full, then they "
    "grow without limit while new ones start, and users wait before anything happens; use running+waiting",
)
def _waiting_only(spec: Spec) -> Iterator[At]:
    """Every driver is `waiting` or a query on it."""
    return _driven_only_by(
        spec,
        lambda metric: metric.signal is Signal.WAITING if metric.query is None else is_waiting(metric.query),
    )


@rule(
    "latency-only",
    "only latency drives this policy: it rises when it is too late, its ratio to the target says "
    "nothing about replicas, and without requests it keeps those there are; add running+waiting",
)
def _latency_only(spec: Spec) -> Iterator[At]:
    """Every driver is `ttft` or `itl`."""
    return _driven_only_by(spec, lambda metric: metric.signal in QUANTILE_SIGNALS)


@rule(
    "rejections-only",
    "only refused requests drive this policy, and none are refused while the queues have room: it "
    "removes replicas until they are; add running+waiting",
)
def _rejections_only(spec: Spec) -> Iterator[At]:
    """Every driver is `rejectedPerSecond`."""
    return _driven_only_by(spec, lambda metric: metric.signal is Signal.REJECTED_RATE)


def _driven_only_by(spec: Spec, matches: Callable[[Metric], bool]) -> Iterator[At]:
    if all(matches(metric) for metric in spec.metrics if metric.role is Role.DRIVER):
        yield At(("spec", "metrics"))
