"""Warnings about a metric: its signal, its target and how old its samples may be."""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import (
    FRACTION_SIGNALS,
    Metric,
    MissingData,
    Role,
    Semantics,
    Signal,
    Spec,
)
from autoscaler.api.rules import At, FieldPath
from autoscaler.api.vocabulary import ABSTAINING_SIGNALS
from autoscaler.lint.rule import Rules

_SMALLEST_BATCH_LIMIT = 256  # vLLM's default max_num_seqs on GPUs below 70 GiB
_FULL_CACHE_MILLI = 900
_SHORT_AGE_SECONDS = 30
_SHORT_WINDOW_SECONDS = 30
_CLOUD_AGE_SECONDS = 240  # Pub/Sub: sampled every 60 s, visible up to 120 s later, and one sample lost

rule = Rules[Spec]()


def _metrics(spec: Spec) -> Iterator[tuple[FieldPath, Metric]]:
    for index, metric in enumerate(spec.metrics):
        yield ("spec", "metrics", index), metric


# Signals and targets


@rule(
    "absent-when-idle",
    "with semantics: HPA a metric without a value forbids every scale-down, and {signal} has none while "
    "no requests come; with semantics: LLM it abstains then",
)
def _absent_when_idle(spec: Spec) -> Iterator[At]:
    """With `semantics: HPA` a metric is `ttft`, `itl` or `gatewayQueue`."""
    for path, metric in _metrics(spec):
        if spec.semantics is Semantics.HPA and metric.signal in ABSTAINING_SIGNALS:
            yield At((*path, "signal"), {"signal": metric.signal})


@rule(
    "constant-signal",
    "vLLM takes its GPU memory at start and keeps it, so gpuMemoryUsed does not follow the load; "
    "use kvCacheUsage",
)
def _constant_signal(spec: Spec) -> Iterator[At]:
    """A metric is `gpuMemoryUsed`."""
    for path, metric in _metrics(spec):
        if metric.signal is Signal.GPU_MEMORY_USED:
            yield At((*path, "signal"))


@rule(
    "bounded-running",
    "running stops at vLLM's max_num_seqs (256 on many GPUs) and may never reach this target, "
    "however many requests wait; use running+waiting, or a much lower target",
)
def _bounded_running(spec: Spec) -> Iterator[At]:
    """`running` drives alone with a target of 256 or more."""
    drivers = [metric for metric in spec.metrics if metric.role is Role.DRIVER]
    alone = all(metric.signal is Signal.RUNNING for metric in drivers)
    for path, metric in _metrics(spec):
        if alone and metric in drivers and metric.target.milli >= _SMALLEST_BATCH_LIMIT * 1000:
            yield At((*path, "target"))


@rule("share-above-one", "{signal} is a share of 0 to 1, so this is never reached: 80 % is 0.8")
def _share_above_one(spec: Spec) -> Iterator[At]:
    """`kvCacheUsage` or `gpuUtilization` has a target above 1."""
    for path, metric in _metrics(spec):
        if metric.signal in FRACTION_SIGNALS and metric.target.milli > 1000:
            yield At((*path, "target"), {"signal": metric.signal})


@rule(
    "no-headroom",
    "a KV cache this full makes vLLM preempt requests before a new replica is ready; leave room, e.g. 0.7",
)
def _no_headroom(spec: Spec) -> Iterator[At]:
    """`kvCacheUsage` drives with a target above 0.9."""
    for path, metric in _metrics(spec):
        is_driver = metric.signal is Signal.KV_CACHE_USAGE and metric.role is Role.DRIVER
        if is_driver and _FULL_CACHE_MILLI < metric.target.milli <= 1000:
            yield At((*path, "target"))


# Samples


@rule(
    "missing-as-zero",
    "Zero takes a pod that cannot be scraped for an idle one, so an outage of monitoring removes "
    "replicas under load; use Hold or Conservative",
)
def _missing_as_zero(spec: Spec) -> Iterator[At]:
    """`missingData` is `Zero`."""
    for path, metric in _metrics(spec):
        if metric.missing_data is MissingData.ZERO:
            yield At((*path, "missingData"))


@rule(
    "short-max-age",
    "samples are often older than {age} s (scrapes every 15 to 30 s, and their delay), so they would "
    "be missing at times; use twice the scrape interval or more",
)
def _short_max_age(spec: Spec) -> Iterator[At]:
    """`maxAgeSeconds` is below 30."""
    for path, metric in _metrics(spec):
        age = metric.max_age_seconds
        if age is not None and age < _SHORT_AGE_SECONDS:
            yield At((*path, "maxAgeSeconds"), {"age": age})


@rule(
    "short-window",
    "a rate needs two scrapes within {window} s; use at least twice the scrape interval, e.g. 60",
)
def _short_window(spec: Spec) -> Iterator[At]:
    """The `windowSeconds` of a signal is below 30."""
    for path, metric in _metrics(spec):
        if metric.signal is not None and metric.window_seconds < _SHORT_WINDOW_SECONDS:
            yield At((*path, "windowSeconds"), {"window": metric.window_seconds})


@rule(
    "cloud-max-age",
    "samples older than {limit} s do not count, and Google samples most of its own metrics once a minute "
    "and shows them minutes later, so this one would always be missing; set maxAgeSeconds: 300",
)
def _cloud_max_age(spec: Spec) -> Iterator[At]:
    """`cloudMonitoring` with a `maxAgeSeconds` below 240."""
    for path, metric in _metrics(spec):
        limit = spec.max_age_seconds(metric)
        if metric.cloud_monitoring is not None and limit < _CLOUD_AGE_SECONDS:
            yield At((*path, "cloudMonitoring"), {"limit": f"{limit:g}"})
