"""Samples -> replicas, for one metric (``propose``) and for all of them together (``combine``)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autoscaler.api.models import (
    CLUSTER_SIGNALS,
    ENDED_REQUESTS_SIGNALS,
    Metric,
    MissingData,
    Role,
    Signal,
    Spec,
    TargetType,
)
from autoscaler.decision.fleet import Fleet
from autoscaler.decision.replicas import (
    MAX_INT64,
    PodLoads,
    Tolerance,
    average_value,
    ceil_divide,
    external_average_sum,
    external_value_sum,
    per_replica,
    pods_average,
    value,
)
from autoscaler.decision.samples import Screen, Screened, bounds_of, screen_samples
from autoscaler.decision.types import Proposal, Reading, Reason, Step


@dataclass(frozen=True, slots=True)
class Basis:
    """What every metric of one decision is judged against.

    ``exact``: HPA's rules to the bit. ``divisor``: the replicas that an AverageValue's sum is
    divided by. ``counting``: the serving pods whose engines count refused requests.
    """

    spec: Spec
    exact: bool
    current: int
    divisor: int
    fleet: Fleet
    tolerance: Tolerance
    now: float
    counting: tuple[str, ...] = ()


class _UnusableError(Exception):
    """A metric without a result; becomes a failed proposal in ``propose``."""

    def __init__(self, reason: Reason, message: str, refused: tuple[str, ...] = ()) -> None:
        self.reason = reason
        self.refused = refused
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a rule made of a metric.

    ``load`` and ``capacity`` are what it compares, in milli units: a load above its capacity is
    above target. ``usage`` is what HPA reports. ``missing``: serving pods without a usable sample.
    """

    replicas: int
    load: int
    capacity: int
    usage: int
    missing: tuple[str, ...]
    complete: bool


def propose(metric: Metric, reading: Reading | None, basis: Basis) -> Proposal:
    """What one metric asks for. A guard asks for the replicas that could carry its load."""
    target = metric.target.milli
    try:
        screened = _screened(metric, reading, basis)
        outcome = _apply_rule(metric, screened, basis)
    except _UnusableError as unusable:
        message = f"{metric.name}: {unusable}"
        return Proposal(metric.name, None, None, target, unusable.reason, message, rejected=unusable.refused)
    replicas = _settle_direction(metric, outcome, basis)
    gaps = reading.missing if reading else ()
    reason, verb = _verdict(replicas, basis.current)
    return Proposal(
        metric=metric.name,
        replicas=replicas,
        usage_milli=outcome.usage,
        target_milli=target,
        reason=reason,
        message=f"{metric.name}: {outcome.usage / 1000:g}, target {target / 1000:g}, {verb} {replicas}",
        used=screened.used,
        missing=outcome.missing + gaps,
        rejected=screened.refused,
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


def _failure_reason(metric: Metric) -> Reason:
    if metric.target.type is TargetType.PODS_AVERAGE:
        return Reason.FAILED_PODS_METRIC
    return Reason.FAILED_OBJECT_METRIC if metric.type == "Object" else Reason.FAILED_EXTERNAL_METRIC


def _verdict(replicas: int, current: int) -> tuple[Reason, str]:
    if replicas > current:
        return Reason.ABOVE_TARGET, "needs"
    if replicas < current:
        return Reason.BELOW_TARGET, "needs only"
    return Reason.WITHIN_TOLERANCE, "keeps"


def _of_own_pods(metric: Metric) -> bool:
    """Whether the series are those of the target's own pods.

    A query without PodsAverage may carry any pod's label, a gateway's for example.
    """
    if metric.signal is None:
        return metric.target.type is TargetType.PODS_AVERAGE
    return metric.signal not in CLUSTER_SIGNALS


def is_rejection_guard(metric: Metric) -> bool:
    """Whether this is the metric of guards.rejectedRequests."""
    return metric.role is Role.GUARD and metric.target.milli == 0


def _may_be_absent(metric: Metric, basis: Basis) -> bool:
    """Whether engines need not export it; to HPA's own metrics every absence is an error."""
    return metric.signal is Signal.REJECTED_RATE and (not basis.exact or is_rejection_guard(metric))


def _counts_nothing(metric: Metric, reading: Reading | None, basis: Basis) -> bool:
    """Whether no engine counts refused requests, as before vLLM 0.32: then none is missing.

    Without any reading an older log is decided again, whose policy did not ask.
    """
    if not _may_be_absent(metric, basis) or basis.counting:
        return False
    if reading is None:
        return is_rejection_guard(metric)
    return not (reading.samples or reading.missing or reading.error)


def _expected(metric: Metric, basis: Basis) -> tuple[str, ...]:
    """The pods that should have a sample."""
    return basis.counting if _may_be_absent(metric, basis) else basis.fleet.serving


def _screened(metric: Metric, reading: Reading | None, basis: Basis) -> Screened:
    if _counts_nothing(metric, reading, basis):
        raise _UnusableError(Reason.NOT_EXPORTED, "no replica counts refused requests")
    if reading is None or reading.error is not None:
        raise _UnusableError(_failure_reason(metric), (reading and reading.error) or "no reading")
    screen = Screen(
        now=basis.now,
        max_age_seconds=basis.spec.max_age_seconds(metric),
        strict=not basis.exact,
        bounds=bounds_of(metric.signal, strict=not basis.exact),
        pods=None if basis.exact or not _of_own_pods(metric) else basis.fleet.live | _draining(metric, basis),
        needs_pod=metric.target.type is TargetType.PODS_AVERAGE,
    )
    screened = screen_samples(reading.samples, screen)
    if screened.used or (not screened.bad and _counts_zero(metric, basis)):
        return screened
    if reading.idle is not None and not screened.bad and not basis.exact:
        raise _UnusableError(Reason.NO_REQUESTS, reading.idle)
    reason = Reason.STALE_METRIC if screened.stale else _failure_reason(metric)
    refused = f": {screened.refused[0]}" if screened.refused else ""
    raise _UnusableError(reason, f"no usable sample{refused}", screened.refused)


def _draining(metric: Metric, basis: Basis) -> frozenset[str]:
    """The draining pods whose samples count: in a sum, and never as capacity. None do in HPA."""
    counts = metric.signal in ENDED_REQUESTS_SIGNALS and not basis.exact
    return basis.fleet.draining if counts else frozenset()


def _counts_zero(metric: Metric, basis: Basis) -> bool:
    return basis.spec.missing_data(metric) is MissingData.ZERO


def _apply_rule(metric: Metric, screened: Screened, basis: Basis) -> _Outcome:
    if metric.target.type is TargetType.PODS_AVERAGE:
        return _pods_average(metric, screened, basis)
    missing, complete = _gaps(metric, screened, basis)
    rule = _value if metric.target.type is TargetType.VALUE else _average_value
    total = _total(metric, screened, basis)
    replicas, capacity, usage = rule(metric, total, basis)
    return _Outcome(replicas, total, capacity, usage, missing, complete)


def _total(metric: Metric, screened: Screened, basis: Basis) -> int:
    """What all series come to: of an External metric by HPA's rules. An Object metric is one value."""
    if not basis.exact or metric.type == "Object":
        return screened.total
    add_up = external_value_sum if metric.target.type is TargetType.VALUE else external_average_sum
    return add_up(screened.series)


def _pods_average(metric: Metric, screened: Screened, basis: Basis) -> _Outcome:
    missing, loads = _pod_loads(metric, screened, basis)
    target, usage = metric.target.milli, loads.usage
    if is_rejection_guard(metric):
        replicas, usage = (basis.current if loads.total else 0), loads.total
    elif metric.role is Role.GUARD:
        replicas = ceil_divide(loads.total + loads.missing * target, target)
    else:
        replicas = pods_average(basis.current, target, loads, basis.tolerance)
    return _Outcome(replicas, usage, target, usage, missing, not missing)


def _pod_loads(metric: Metric, screened: Screened, basis: Basis) -> tuple[tuple[str, ...], PodLoads]:
    fleet, values = basis.fleet, screened.by_pod
    if not fleet.listed:
        raise _UnusableError(Reason.FAILED_PODS_METRIC, "the target has no pods", screened.refused)
    counted = [milli for pod, milli in values.items() if pod not in fleet.aside]
    leaving = sum(values.get(pod, 0) for pod in _draining(metric, basis))
    expected = _expected(metric, basis)
    missing = tuple(pod for pod in expected if pod not in values)
    blank = len(missing)
    ready, count = len(fleet.serving) - blank, len(counted) + len(fleet.serving) - len(expected)
    if _counts_zero(metric, basis):
        ready, count, blank = ready + blank, count + blank, 0
    if not count:
        message = "no sample of a pod that counts (pods might be unready)"
        raise _UnusableError(Reason.FAILED_PODS_METRIC, message, screened.refused)
    total = sum(counted) if basis.exact else min(sum(counted) + leaving, MAX_INT64)
    return missing, PodLoads(total, count, ready, fleet.unready, blank, wraps=basis.exact)


def _gaps(metric: Metric, screened: Screened, basis: Basis) -> tuple[tuple[str, ...], bool]:
    """Which pods a sum lacks, where its series tell pods apart; and whether it is whole."""
    if not _of_own_pods(metric) or not screened.by_pod:
        return (), not screened.bad
    missing = tuple(pod for pod in _expected(metric, basis) if pod not in screened.by_pod)
    return missing, not missing


def _value(metric: Metric, usage: int, basis: Basis) -> tuple[int, int, int]:
    target, ready = metric.target.milli, basis.fleet.ready
    # HPA looks for pods only when the tolerance has not settled it (getUsageRatioReplicaCount).
    ratio = float(usage) / float(target)
    if basis.current and not basis.fleet.listed and not basis.tolerance.contains(ratio):
        raise _UnusableError(_failure_reason(metric), "the target has no pods")
    if not basis.exact and basis.current and not ready and usage > 0:
        return basis.current, target, usage  # a multiple of the ready pods says nothing while none is
    if metric.role is Role.GUARD:
        return ceil_divide(usage * ready, target), target, usage
    return value(basis.current, target, usage, ready, basis.tolerance), target, usage


def _average_value(metric: Metric, usage: int, basis: Basis) -> tuple[int, int, int]:
    target, divisor = metric.target.milli, basis.divisor
    shown = per_replica(usage, divisor)
    if metric.role is Role.GUARD:
        return ceil_divide(usage, target), target * divisor, shown
    return average_value(divisor, target, usage, basis.tolerance), target * divisor, shown


def _settle_direction(metric: Metric, outcome: _Outcome, basis: Basis) -> int:
    """Above target never removes replicas and below target never adds any, except in HPA.

    HPA multiplies by the pods that are ready, so that 10 replicas of which 3 are ready and loaded
    twice over target come out as 6 (Value) or as fewer than ordered (PodsAverage).
    """
    current = basis.current
    if basis.exact or metric.role is Role.GUARD or current == 0:
        return outcome.replicas
    if outcome.load > outcome.capacity:
        return max(outcome.replicas, current)
    if outcome.load < outcome.capacity:
        return min(outcome.replicas, current)
    return current
