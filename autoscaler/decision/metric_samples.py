"""Reading -> the samples that count, for one metric; or the reason why there are none."""

from __future__ import annotations

from autoscaler.api.models import (
    CLUSTER_SIGNALS,
    ENDED_REQUESTS_SIGNALS,
    Metric,
    MissingData,
    Role,
    Signal,
    TargetType,
)
from autoscaler.decision.context import DecisionContext
from autoscaler.decision.sample_filter import SampleFilter, UsableSamples, bounds_of, filter_samples
from autoscaler.decision.types import Reading, Reason


class UnusableMetricError(Exception):
    """A metric without a result; becomes a failed proposal in ``propose``."""

    def __init__(self, reason: Reason, message: str, rejected: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.rejected = rejected
        super().__init__(message)


def usable_samples(metric: Metric, reading: Reading | None, context: DecisionContext) -> UsableSamples:
    """The samples of a reading that count.

    Raises:
        UnusableMetricError: none does, and the metric has no proposal.
    """
    if _counts_nothing(metric, reading, context):
        raise UnusableMetricError(Reason.NOT_EXPORTED, "no replica counts refused requests")
    if reading is None or reading.error is not None:
        raise UnusableMetricError(failure_reason(metric), (reading and reading.error) or "no reading")
    samples = filter_samples(reading.samples, _filter(metric, context))
    if samples.used or (not samples.bad and counts_zero(metric, context)):
        return samples
    if reading.idle is not None and not samples.bad and not context.hpa_parity:
        raise UnusableMetricError(Reason.NO_REQUESTS, reading.idle)
    reason = Reason.STALE_METRIC if samples.stale else failure_reason(metric)
    rejected = f": {samples.rejected[0]}" if samples.rejected else ""
    raise UnusableMetricError(reason, f"no usable sample{rejected}", samples.rejected)


def _counts_nothing(metric: Metric, reading: Reading | None, context: DecisionContext) -> bool:
    """True where no engine counts refused requests, as before vLLM 0.32: then none is missing.

    Without any reading an older log is decided again, whose policy did not ask.
    """
    if not _may_be_absent(metric, context) or context.memory.counting_rejections:
        return False
    if reading is None:
        return is_rejection_guard(metric)
    return not (reading.samples or reading.missing or reading.error)


def _may_be_absent(metric: Metric, context: DecisionContext) -> bool:
    """True where engines need not export it; to HPA's own metrics every absence is an error."""
    return metric.signal is Signal.REJECTED_RATE and (not context.hpa_parity or is_rejection_guard(metric))


def _filter(metric: Metric, context: DecisionContext) -> SampleFilter:
    any_pod = context.hpa_parity or not is_of_own_pods(metric)
    return SampleFilter(
        now=context.now,
        max_age_seconds=context.spec.max_age_seconds(metric),
        hpa_parity=context.hpa_parity,
        bounds=bounds_of(metric.signal, context.hpa_parity),
        pods=None if any_pod else context.pods.not_deleting | draining_pods(metric, context),
        needs_pod=metric.target.type is TargetType.PODS_AVERAGE,
    )


def expected_pods(metric: Metric, context: DecisionContext) -> tuple[str, ...]:
    """The pods that should have a sample."""
    return context.memory.counting_rejections if _may_be_absent(metric, context) else context.pods.serving


def draining_pods(metric: Metric, context: DecisionContext) -> frozenset[str]:
    """The draining pods whose samples count: in a sum, and never as capacity. None do in HPA."""
    counts = metric.signal in ENDED_REQUESTS_SIGNALS and not context.hpa_parity
    return context.pods.draining if counts else frozenset()


def counts_zero(metric: Metric, context: DecisionContext) -> bool:
    """True where a pod without a sample counts as one that shows 0."""
    return context.spec.missing_data(metric) is MissingData.ZERO


def is_of_own_pods(metric: Metric) -> bool:
    """True where the series are those of the target's own pods.

    A query without PodsAverage may carry any pod's label, a gateway's for example.
    """
    if metric.signal is None:
        return metric.target.type is TargetType.PODS_AVERAGE
    return metric.signal not in CLUSTER_SIGNALS


def is_rejection_guard(metric: Metric) -> bool:
    """True for the metric of guards.rejectedRequests."""
    return metric.role is Role.GUARD and metric.target.milli == 0


def failure_reason(metric: Metric) -> Reason:
    """HPA's reason for a failed metric of this kind."""
    if metric.target.type is TargetType.PODS_AVERAGE:
        return Reason.FAILED_PODS_METRIC
    return Reason.FAILED_OBJECT_METRIC if metric.type == "Object" else Reason.FAILED_EXTERNAL_METRIC
