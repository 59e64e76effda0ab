"""From a policy's metrics to questions, and from answers and the live pods to readings. Pure.

The controller, the adapter and the simulator read by the same functions. An answer is about every workload
in sight; here it is joined with the pods of one. A pod that is gone never counts, however long its last value
lingers in the source, and a pod without a value is missing, never 0. A pod that is being deleted is never
missed, and its latencies count: its requests are real.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from math import inf

from autoscaler.api.metric_rules import UNALIGNED
from autoscaler.api.models import (
    DEFAULT_QUANTILE,
    QUANTILE_SIGNALS,
    Metric,
    MissingData,
    Spec,
    TargetType,
)
from autoscaler.api.signals import Scope
from autoscaler.decision.pod_groups import group_pods
from autoscaler.decision.sample_filter import seconds_ahead
from autoscaler.decision.types import NO_REQUEST, Pod, Reading, Sample
from autoscaler.metrics.histograms import histogram_quantile, merged
from autoscaler.ports.metrics import (
    Answer,
    Buckets,
    CloudQuestion,
    Point,
    PromqlQuestion,
    Question,
    SignalQuestion,
)

_UNANSWERED = Answer(error="not asked")


def question(metric: Metric) -> Question:
    """The question to a source for a metric; metrics that differ only in targets ask the same."""
    if metric.cloud_monitoring is not None:
        aligned = metric.cloud_monitoring.per_series_aligner != UNALIGNED
        return CloudQuestion(metric.cloud_monitoring, metric.window_seconds if aligned else 0)
    if metric.signal is None:
        return PromqlQuestion(metric.query or "")
    return SignalQuestion(metric.signal, 0 if metric.signal.info.is_gauge else metric.window_seconds)


def questions(spec: Spec) -> frozenset[Question]:
    """Everything that a decision of this policy needs."""
    return frozenset(question(metric) for metric in spec.inputs)


def by_metric(spec: Spec, answers: Mapping[Question, Answer]) -> dict[str, Answer]:
    """The answer to each of the policy's inputs that has one, by the metric's name."""
    asked = ((metric.name, question(metric)) for metric in spec.inputs)
    return {name: answers[one] for name, one in asked if one in answers}


def readings(
    spec: Spec, answers: Mapping[str, Answer], namespace: str, pods: Collection[Pod], now: float
) -> tuple[Reading, ...]:
    """One reading for each of the policy's inputs. ``answers``: by the metric's name; one that is not there
    is a failed one.
    """
    return tuple(
        reading(
            metric,
            _usable(spec, metric, answers.get(metric.name, _UNANSWERED)),
            namespace,
            pods,
            now,
            spec.max_age_seconds(metric),
        )
        for metric in spec.inputs
    )


def _usable(spec: Spec, metric: Metric, answer: Answer) -> Answer:
    """The answer; or why it is not whole, as an error, where a gap would not hold a scale-down."""
    whole = answer.outage is None and not answer.warnings
    if whole or spec.missing_data(metric) is MissingData.HOLD:
        return answer
    return Answer(error=answer.outage or f"a partial answer: {'; '.join(answer.warnings)}")


def reading(
    metric: Metric,
    answer: Answer,
    namespace: str,
    pods: Collection[Pod],
    now: float,
    max_age_seconds: float = inf,
) -> Reading:
    """The reading from ``answer`` of the target with these ``pods`` in ``namespace``.

    Samples keep their own times, and the engine judges their age. ``max_age_seconds`` is for what
    is merged here: a histogram older than that is not part of a quantile, and its pod is missing.
    """
    if answer.error is not None:
        return Reading(metric.name, error=answer.error)
    left_out = tuple(f"the rest ({warning})" for warning in answer.warnings)
    if metric.signal in QUANTILE_SIGNALS:
        ours = (answer.histograms.get((namespace, pod.name)) for pod in pods)
        fresh = [one for one in ours if one is not None and _is_usable(one, now, max_age_seconds)]
        return _quantile(metric, fresh, pods, left_out)
    points = _about_target(metric, answer, namespace, pods)
    samples = tuple(Sample(point.value, point.timestamp, point.pod) for point in points)
    if metric.signal is not None and metric.signal.info.optional:
        left_out += _without_rate(answer, namespace, pods)
    if samples or left_out:
        return Reading(metric.name, samples, missing=left_out)
    return Reading(metric.name, idle=_no_series_yet(answer, namespace, now, max_age_seconds))


def _without_rate(answer: Answer, namespace: str, pods: Collection[Pod]) -> tuple[str, ...]:
    """The ready pods that count requests and have no rate yet, unlike pods that do not count any."""
    if not answer.unrated:
        return ()
    return tuple(
        pod for pod in group_pods(pods, hpa_parity=False).serving if (namespace, pod) in answer.unrated
    )


def _no_series_yet(answer: Answer, namespace: str, now: float, max_age_seconds: float) -> str | None:
    """Why a metric has no series although its exporter is there: it begins with the first request."""
    ours = (one for one in answer.exporters if one.namespace == namespace)
    fresh = sorted({str(one.pod) for one in ours if _is_fresh(one.timestamp, now, max_age_seconds)})
    return f"no request has waited in {', '.join(fresh)} yet" if fresh else None


def _about_target(metric: Metric, answer: Answer, namespace: str, pods: Collection[Pod]) -> Iterable[Point]:
    if metric.signal is None and metric.target.type is not TargetType.PODS_AVERAGE:
        return answer.points  # the query itself says what belongs to the metric
    ours = answer.in_namespace.get(namespace, {})
    if metric.signal is None:
        # A query may have dropped the namespace, and must not have dropped the pod: the engine reports that.
        anywhere = answer.in_namespace.get(None, {})
        return chain(_of(pods, ours), _of(pods, anywhere), ours.get(None, ()), anywhere.get(None, ()))
    if metric.signal.info.scope is Scope.CLUSTER:
        return chain.from_iterable(ours.values())
    return _of(pods, ours)


def _of(pods: Collection[Pod], points: Mapping[str | None, Sequence[Point]]) -> Iterable[Point]:
    return chain.from_iterable(points.get(pod.name, ()) for pod in pods)


def _is_fresh(timestamp: float, now: float, max_age_seconds: float) -> bool:
    return -seconds_ahead(max_age_seconds) <= now - timestamp <= max_age_seconds


def _is_usable(buckets: Buckets, now: float, max_age_seconds: float) -> bool:
    return _is_fresh(buckets.timestamp, now, max_age_seconds) and all(
        0.0 <= rate < inf for rate in buckets.rates
    )


def _quantile(
    metric: Metric, histograms: Iterable[Buckets], pods: Collection[Pod], left_out: tuple[str, ...]
) -> Reading:
    """One quantile over the live and the draining pods, as old as the oldest histogram in it.

    Without a request in the window there is no sample, since no latency is not a latency of 0: where all
    histograms are there and did not grow, the reading is idle.
    """
    groups = group_pods(pods, hpa_parity=False)
    counted = [one for one in histograms if one.pod in groups.not_deleting or one.pod in groups.draining]
    seen = {one.pod for one in counted}
    missing = tuple(pod for pod in groups.serving if pod not in seen) + left_out
    bounds, rates = merged([(one.bounds, one.rates) for one in counted])
    value = histogram_quantile(metric.quantile or DEFAULT_QUANTILE, bounds, rates)
    if value is None:
        there = not groups.not_deleting.isdisjoint(seen) and not missing
        whole = there and all(one.bounds[-1:] == (inf,) for one in counted)
        idle = NO_REQUEST.format(metric.window_seconds) if whole and not any(rates) else None
        return Reading(metric.name, missing=missing, idle=idle)
    oldest = min(one.timestamp for one in counted)
    return Reading(metric.name, (Sample(value, oldest),), missing=missing)
