"""Samples -> replicas, for one metric (``propose``) and for all of them together (``combine``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoscaler.api.models import Metric, Role, TargetType
from autoscaler.decision.context import DecisionContext, EvaluatedMetrics
from autoscaler.decision.metric_samples import (
    UnusableMetricError,
    counts_zero,
    draining_pods,
    expected_pods,
    failure_reason,
    is_of_own_pods,
    is_rejection_guard,
    usable_samples,
)
from autoscaler.decision.replicas import (
    MAX_INT64,
    PodLoads,
    average_value,
    ceil_divide,
    external_average_sum,
    external_value_sum,
    per_replica,
    pods_average,
    value,
)
from autoscaler.decision.sample_filter import UsableSamples
from autoscaler.decision.types import Proposal, Reading, Reason, Step


@dataclass(frozen=True, slots=True)
class _Outcome:
    """The result of a metric's rule.

    ``load`` and ``capacity`` are what it compares, in milli units: a load above its capacity is
    above target. ``usage`` is what HPA reports. ``missing``: serving pods without a usable sample.
    """

    replicas: int
    load: int
    capacity: int
    usage: int
    missing: tuple[str, ...]
    complete: bool


def propose_all(context: DecisionContext) -> EvaluatedMetrics:
    """The proposal of each metric. There is nothing to guard at 0 replicas."""
    readings = {reading.metric: reading for reading in context.observation.readings}
    return tuple(
        (metric, propose(metric, readings.get(metric.name), context))
        for metric in context.spec.inputs
        if context.current or metric.role is Role.DRIVER
    )


def propose(metric: Metric, reading: Reading | None, context: DecisionContext) -> Proposal:
    """The replicas that one metric asks for. A guard asks for the replicas that could carry its load."""
    target = metric.target.milli
    try:
        samples = usable_samples(metric, reading, context)
        outcome = _apply_rule(metric, samples, context)
    except UnusableMetricError as unusable:
        message = f"{metric.name}: {unusable}"
        return Proposal(metric.name, None, None, target, unusable.reason, message, rejected=unusable.rejected)
    replicas = _settle_direction(metric, outcome, context)
    gaps = reading.missing if reading else ()
    reason, verb = _verdict(replicas, context.current)
    return Proposal(
        metric=metric.name,
        replicas=replicas,
        usage_milli=outcome.usage,
        target_milli=target,
        reason=reason,
        message=f"{metric.name}: {outcome.usage / 1000:g}, target {target / 1000:g}, {verb} {replicas}",
        used=samples.used,
        missing=outcome.missing + gaps,
        rejected=samples.rejected,
        complete=outcome.complete and not gaps,
    )


def combine(proposals: Iterable[Proposal], current: int) -> Step | None:
    """The highest proposal: where a metric failed, the others can only scale up.

    None: a metric that failed forbids it, or no metric has a proposal.
    """
    replicas, name = 0, ""
    failed = usable = False
    for proposal in proposals:
        if proposal.replicas is None:
            failed = failed or not proposal.abstains
            continue
        usable = True
        # HPA's quirk: a first proposal of 0 is overwritten by any next one.
        if replicas == 0 or proposal.replicas > replicas:
            replicas, name = proposal.replicas, proposal.metric
    if not usable or (failed and replicas < current):
        return None
    replicas = max(0, replicas)
    if replicas > current:
        return Step("metrics", replicas, Reason.ABOVE_TARGET, f"{name} above target")
    if replicas < current:
        return Step("metrics", replicas, Reason.BELOW_TARGET, "All metrics below target")
    return Step("metrics", replicas, Reason.WITHIN_TOLERANCE, f"{name} asks for the current {current}")


def _verdict(replicas: int, current: int) -> tuple[Reason, str]:
    if replicas > current:
        return Reason.ABOVE_TARGET, "needs"
    if replicas < current:
        return Reason.BELOW_TARGET, "needs only"
    return Reason.WITHIN_TOLERANCE, "keeps"


def _apply_rule(metric: Metric, samples: UsableSamples, context: DecisionContext) -> _Outcome:
    if metric.target.type is TargetType.PODS_AVERAGE:
        return _pods_average(metric, samples, context)
    missing, complete = _gaps(metric, samples, context)
    rule = _value if metric.target.type is TargetType.VALUE else _average_value
    total = _total(metric, samples, context)
    replicas, capacity, usage = rule(metric, total, context)
    return _Outcome(replicas, total, capacity, usage, missing, complete)


def _total(metric: Metric, samples: UsableSamples, context: DecisionContext) -> int:
    """The sum of all series: of an External metric by HPA's rules. An Object metric is one value."""
    if not context.hpa_parity or metric.type == "Object":
        return samples.total
    add_up = external_value_sum if metric.target.type is TargetType.VALUE else external_average_sum
    return add_up(samples.series)


def _pods_average(metric: Metric, samples: UsableSamples, context: DecisionContext) -> _Outcome:
    missing, loads = _pod_loads(metric, samples, context)
    target, usage = metric.target.milli, loads.usage
    if is_rejection_guard(metric):
        replicas, usage = (context.current if loads.total else 0), loads.total
    elif metric.role is Role.GUARD:
        replicas = ceil_divide(loads.total + loads.missing * target, target)
    else:
        replicas = pods_average(context.current, target, loads, context.tolerance)
    return _Outcome(replicas, usage, target, usage, missing, not missing)


def _pod_loads(
    metric: Metric, samples: UsableSamples, context: DecisionContext
) -> tuple[tuple[str, ...], PodLoads]:
    pods, values = context.pods, samples.by_pod
    if not pods.listed:
        raise UnusableMetricError(Reason.FAILED_PODS_METRIC, "the target has no pods", samples.rejected)
    counted = [milli for pod, milli in values.items() if pod not in pods.ignored]
    leaving = sum(values.get(pod, 0) for pod in draining_pods(metric, context))
    expected = expected_pods(metric, context)
    missing = tuple(pod for pod in expected if pod not in values)
    blank = len(missing)
    ready, count = len(pods.serving) - blank, len(counted) + len(pods.serving) - len(expected)
    if counts_zero(metric, context):
        ready, count, blank = ready + blank, count + blank, 0
    if not count:
        message = "no sample of a pod that counts (pods might be unready)"
        raise UnusableMetricError(Reason.FAILED_PODS_METRIC, message, samples.rejected)
    total = sum(counted) if context.hpa_parity else min(sum(counted) + leaving, MAX_INT64)
    return missing, PodLoads(total, count, ready, pods.unready, blank, wraps=context.hpa_parity)


def _gaps(metric: Metric, samples: UsableSamples, context: DecisionContext) -> tuple[tuple[str, ...], bool]:
    """The pods that a sum lacks, where its series name pods; and whether the sum is complete."""
    if not is_of_own_pods(metric) or not samples.by_pod:
        return (), not samples.bad
    missing = tuple(pod for pod in expected_pods(metric, context) if pod not in samples.by_pod)
    return missing, not missing


def _value(metric: Metric, usage: int, context: DecisionContext) -> tuple[int, int, int]:
    target, ready = metric.target.milli, context.pods.ready
    # HPA looks for pods only when the tolerance has not settled it (getUsageRatioReplicaCount).
    ratio = float(usage) / float(target)
    if context.current and not context.pods.listed and not context.tolerance.contains(ratio):
        raise UnusableMetricError(failure_reason(metric), "the target has no pods")
    if not context.hpa_parity and context.current and not ready and usage > 0:
        return context.current, target, usage  # a multiple of the ready pods says nothing while none is
    if metric.role is Role.GUARD:
        return ceil_divide(usage * ready, target), target, usage
    return value(context.current, target, usage, ready, context.tolerance), target, usage


def _average_value(metric: Metric, usage: int, context: DecisionContext) -> tuple[int, int, int]:
    target = metric.target.milli
    divisor = context.current if context.spec.credits_pending else context.observation.status_replicas
    shown = per_replica(usage, divisor)
    if metric.role is Role.GUARD:
        return ceil_divide(usage, target), target * divisor, shown
    return average_value(divisor, target, usage, context.tolerance), target * divisor, shown


def _settle_direction(metric: Metric, outcome: _Outcome, context: DecisionContext) -> int:
    """Above target never removes replicas and below target never adds any, except in HPA.

    HPA multiplies by the pods that are ready, so that 10 replicas of which 3 are ready and loaded
    twice over target come out as 6 (Value) or as fewer than ordered (PodsAverage).
    """
    current = context.current
    if context.hpa_parity or metric.role is Role.GUARD or current == 0:
        return outcome.replicas
    if outcome.load > outcome.capacity:
        return max(outcome.replicas, current)
    if outcome.load < outcome.capacity:
        return min(outcome.replicas, current)
    return current
