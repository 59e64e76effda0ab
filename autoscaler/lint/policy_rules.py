"""What is legal but harmful to LLM serving: one small rule for each, with a stable id.

A rule finds the places and never raises; ADVICE has the words, and ``docs/policy.md`` the reasons.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from autoscaler.api.models import (
    FRACTION_SIGNALS,
    QUANTILE_SIGNALS,
    ZERO_REPLICA_SIGNALS,
    Metric,
    MissingData,
    Role,
    SelectPolicy,
    Semantics,
    Signal,
    Spec,
    TargetType,
)
from autoscaler.api.rules import FieldPath
from autoscaler.documents.messages import close_field
from autoscaler.documents.policies import LoadedPolicy
from autoscaler.documents.promql_checks import (
    aggregates,
    drops_pod,
    is_utilization,
    is_waiting,
    metrics_of,
    nan_without_requests,
    raw_counters,
    vanishes_at_zero,
)
from autoscaler.errors import Problem
from autoscaler.lint.advice import ADVICE
from autoscaler.metrics.signals import REMOVED_METRICS, RENAMED_METRICS

SHORT_AGE_SECONDS = 30
SHORT_WINDOW_SECONDS = 30
CLOUD_AGE_SECONDS = 240  # Pub/Sub: sampled every 60 s, visible up to 120 s later, and one sample lost
SLOW_SCALE_UP_SECONDS = 120
SMALLEST_BATCH_LIMIT = 256  # vLLM's default max_num_seqs on GPUs below 70 GiB
FULL_CACHE_MILLI = 900
ABSTAINING_SIGNALS = QUANTILE_SIGNALS | {Signal.GATEWAY_QUEUE}
BUILT_IN_GROUPS = ("apps", "batch", "")
SCALABLE_KINDS = ("Deployment", "StatefulSet", "ReplicaSet", "ReplicationController")
UNSCALABLE_KINDS = ("DaemonSet", "Job", "CronJob", "Pod")

Finding = tuple[FieldPath, dict[str, object]]
"""Where, and what the advice has to mention."""
Rule = Callable[[Spec], Iterator[Finding]]

_TARGET_KIND: FieldPath = ("spec", "scaleTargetRef", "kind")
_METRICS: FieldPath = ("spec", "metrics")
_UP_WINDOW: FieldPath = ("spec", "behavior", "scaleUp", "stabilizationWindowSeconds")
_DOWN_WINDOW: FieldPath = ("spec", "behavior", "scaleDown", "stabilizationWindowSeconds")


def lint(loaded: LoadedPolicy) -> tuple[Problem, ...]:
    """The warnings for one policy, in line order: ``file:line: path: warning: … [id]``."""
    problems = [
        loaded.problem(path, f"warning: {ADVICE[rule_id].format(**values)} [{rule_id}]")
        for rule_id, rule in RULES.items()
        for path, values in rule(loaded.policy.spec)
    ]
    return tuple(sorted(problems, key=lambda problem: problem.line or 0))


def _built_in(spec: Spec) -> str | None:
    """The kind of Kubernetes' own that is meant; None for other people's, of which nothing is known here."""
    ref = spec.scale_target_ref
    if ref.api_version.rpartition("/")[0] not in BUILT_IN_GROUPS:
        return None
    return close_field(ref.kind, (*SCALABLE_KINDS, *UNSCALABLE_KINDS))


def _misspelt_kind(spec: Spec) -> Iterator[Finding]:
    meant = _built_in(spec)
    if meant in SCALABLE_KINDS and meant != spec.scale_target_ref.kind:
        yield _TARGET_KIND, {"kind": spec.scale_target_ref.kind, "meant": meant}


def _unscalable_kind(spec: Spec) -> Iterator[Finding]:
    meant = _built_in(spec)
    if meant in UNSCALABLE_KINDS:
        yield _TARGET_KIND, {"kind": meant}


def _metrics(spec: Spec) -> Iterator[tuple[FieldPath, Metric]]:
    for index, metric in enumerate(spec.metrics):
        yield (*_METRICS, index), metric


def _queries(spec: Spec) -> Iterator[tuple[FieldPath, Metric, str]]:
    for path, metric in _metrics(spec):
        if metric.query is not None:
            yield (*path, "query"), metric, metric.query


def _driven_only_by(spec: Spec, matches: Callable[[Metric], bool]) -> Iterator[Finding]:
    if all(matches(metric) for metric in spec.metrics if metric.role is Role.DRIVER):
        yield _METRICS, {}


def _utilization_only(spec: Spec) -> Iterator[Finding]:
    signals = (Signal.GPU_UTILIZATION, Signal.GPU_MEMORY_USED)
    return _driven_only_by(
        spec,
        lambda metric: metric.signal in signals if metric.query is None else is_utilization(metric.query),
    )


def _waiting_only(spec: Spec) -> Iterator[Finding]:
    return _driven_only_by(
        spec,
        lambda metric: metric.signal is Signal.WAITING if metric.query is None else is_waiting(metric.query),
    )


def _latency_only(spec: Spec) -> Iterator[Finding]:
    return _driven_only_by(spec, lambda metric: metric.signal in QUANTILE_SIGNALS)


def _rejections_only(spec: Spec) -> Iterator[Finding]:
    return _driven_only_by(spec, lambda metric: metric.signal is Signal.REJECTED_RATE)


def _absent_when_idle(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        if spec.semantics is Semantics.HPA and metric.signal in ABSTAINING_SIGNALS:
            yield (*path, "signal"), {"signal": metric.signal}


def _nan_when_idle(spec: Spec) -> Iterator[Finding]:
    for path, _, query in _queries(spec):
        if nan_without_requests(query):
            yield path, {}


def _constant_signal(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        if metric.signal is Signal.GPU_MEMORY_USED:
            yield (*path, "signal"), {}


def _bounded_running(spec: Spec) -> Iterator[Finding]:
    drivers = [metric for metric in spec.metrics if metric.role is Role.DRIVER]
    alone = all(metric.signal is Signal.RUNNING for metric in drivers)
    for path, metric in _metrics(spec):
        if alone and metric in drivers and metric.target.milli >= SMALLEST_BATCH_LIMIT * 1000:
            yield (*path, "target"), {}


def _share_above_one(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        if metric.signal in FRACTION_SIGNALS and metric.target.milli > 1000:
            yield (*path, "target"), {"signal": metric.signal}


def _no_headroom(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        is_driver = metric.signal is Signal.KV_CACHE_USAGE and metric.role is Role.DRIVER
        if is_driver and FULL_CACHE_MILLI < metric.target.milli <= 1000:
            yield (*path, "target"), {}


def _zero_places(spec: Spec) -> Iterator[FieldPath]:
    """Where the policy allows 0 replicas."""
    if spec.min_replicas == 0:
        yield ("spec", "minReplicas")
    for index, schedule in enumerate(spec.schedules):
        if schedule.min_replicas == 0:
            yield ("spec", "schedules", index, "minReplicas")


def _stuck_at_zero(spec: Spec) -> Iterator[Finding]:
    rules = spec.scale_up
    least_wins = rules.select_policy is SelectPolicy.MIN
    percent = [policy.type == "Percent" for policy in rules.policies]
    if all(percent) or (least_wins and any(percent)) or rules.select_policy is SelectPolicy.DISABLED:
        for path in _zero_places(spec):
            yield path, {}


def _exists_at_zero(metric: Metric) -> bool:
    if metric.query is not None:
        return not vanishes_at_zero(metric.query)
    return metric.signal in ZERO_REPLICA_SIGNALS


def _blind_at_zero(spec: Spec) -> Iterator[Finding]:
    if not any(_exists_at_zero(metric) for metric in spec.metrics if metric.role is Role.DRIVER):
        for path in _zero_places(spec):
            yield path, {}


def _no_down_stabilization(spec: Spec) -> Iterator[Finding]:
    down = spec.scale_down
    if down.stabilization_window_seconds == 0 and down.select_policy is not SelectPolicy.DISABLED:
        yield _DOWN_WINDOW, {}


def _slow_scale_up(spec: Spec) -> Iterator[Finding]:
    window = spec.scale_up.stabilization_window_seconds
    if window > SLOW_SCALE_UP_SECONDS:
        yield _UP_WINDOW, {"window": window}


def _scaling_disabled(spec: Spec) -> Iterator[Finding]:
    if all(rules.select_policy is SelectPolicy.DISABLED for rules in (spec.scale_up, spec.scale_down)):
        yield ("spec", "behavior"), {}


def _fixed_replicas(spec: Spec) -> Iterator[Finding]:
    if spec.min_replicas == spec.max_replicas and not spec.schedules:
        yield ("spec", "minReplicas"), {}


def _missing_as_zero(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        if metric.missing_data is MissingData.ZERO:
            yield (*path, "missingData"), {}


def _short_max_age(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        age = metric.max_age_seconds
        if age is not None and age < SHORT_AGE_SECONDS:
            yield (*path, "maxAgeSeconds"), {"age": age}


def _short_window(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        if metric.signal is not None and metric.window_seconds < SHORT_WINDOW_SECONDS:
            yield (*path, "windowSeconds"), {"window": metric.window_seconds}


def _renamed_metric(spec: Spec) -> Iterator[Finding]:
    for path, _, query in _queries(spec):
        used = metrics_of(query)
        for old, new in RENAMED_METRICS.items():
            if old in used and new not in used:
                yield path, {"old": old, "new": new}


def _removed_metric(spec: Spec) -> Iterator[Finding]:
    for path, _, query in _queries(spec):
        for old, instead in REMOVED_METRICS.items():
            if old in metrics_of(query):
                yield path, {"old": old, "instead": instead}


def _unaggregated_query(spec: Spec) -> Iterator[Finding]:
    for path, metric, query in _queries(spec):
        if metric.target.type is not TargetType.PODS_AVERAGE and not aggregates(query):
            yield path, {}


def _pod_label_dropped(spec: Spec) -> Iterator[Finding]:
    for path, metric, query in _queries(spec):
        if metric.target.type is TargetType.PODS_AVERAGE and drops_pod(query):
            yield path, {}


def _cloud_max_age(spec: Spec) -> Iterator[Finding]:
    for path, metric in _metrics(spec):
        limit = spec.max_age_seconds(metric)
        if metric.cloud_monitoring is not None and limit < CLOUD_AGE_SECONDS:
            yield (*path, "cloudMonitoring"), {"limit": f"{limit:g}"}


def _raw_counter(spec: Spec) -> Iterator[Finding]:
    for path, _, query in _queries(spec):
        for name in raw_counters(query):
            yield path, {"name": name}


def _fallback_above_max(spec: Spec) -> Iterator[Finding]:
    highest = max([spec.max_replicas, *(window.max_replicas or 0 for window in spec.schedules)])
    if spec.fallback is not None and spec.fallback.replicas > highest:
        yield ("spec", "fallback", "replicas"), {"replicas": spec.fallback.replicas, "highest": highest}


def _fallback_zero(spec: Spec) -> Iterator[Finding]:
    fallback = spec.fallback
    if fallback is not None and fallback.replicas == 0 and fallback.behavior == "Static":
        yield ("spec", "fallback", "replicas"), {}


RULES: dict[str, Rule] = {
    "misspelt-kind": _misspelt_kind,
    "unscalable-kind": _unscalable_kind,
    "utilization-only": _utilization_only,
    "waiting-only": _waiting_only,
    "latency-only": _latency_only,
    "rejections-only": _rejections_only,
    "absent-when-idle": _absent_when_idle,
    "nan-when-idle": _nan_when_idle,
    "constant-signal": _constant_signal,
    "bounded-running": _bounded_running,
    "share-above-one": _share_above_one,
    "no-headroom": _no_headroom,
    "stuck-at-zero": _stuck_at_zero,
    "blind-at-zero": _blind_at_zero,
    "no-down-stabilization": _no_down_stabilization,
    "slow-scale-up": _slow_scale_up,
    "scaling-disabled": _scaling_disabled,
    "fixed-replicas": _fixed_replicas,
    "missing-as-zero": _missing_as_zero,
    "short-max-age": _short_max_age,
    "short-window": _short_window,
    "renamed-metric": _renamed_metric,
    "removed-metric": _removed_metric,
    "unaggregated-query": _unaggregated_query,
    "pod-label-dropped": _pod_label_dropped,
    "cloud-max-age": _cloud_max_age,
    "raw-counter": _raw_counter,
    "fallback-above-max": _fallback_above_max,
    "fallback-zero": _fallback_zero,
}
"""Every rule by its id, in the order of docs/policy.md."""
