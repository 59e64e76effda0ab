"""Samples as a source returned them -> usable milli values, with a reason for each one rejected.

HPA counts in whole milli units (``Quantity.MilliValue``), so that is what every rule behind this
module sees. ``semantics: HPA`` rejects only what a Kubernetes quantity cannot express (NaN,
infinities), what the policy's own ``maxAgeSeconds`` forbids and what a signal cannot be (its bounds
are the catalogue's, and the HPA has no signals); ``LLM`` also rejects negative values and timestamps
from the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan

from autoscaler.api.models import Signal, ValueBounds
from autoscaler.decision.replicas import MAX_INT64
from autoscaler.decision.types import Sample

FUTURE_SECONDS = 60.0
"""How far ahead of ``now`` a timestamp may be: clocks of different machines disagree a little."""
_ANY = ValueBounds(low=-inf)

_NOISE = 1e-12


def to_milli(value: float) -> int:
    """A finite value in whole milli units: rounded up, saturated at the limits of int64.

    ``2.867`` is 2867 although ``2.867 * 1000`` is a little more in binary: a difference in the
    last digits is noise of the representation and not a value to round up.
    """
    scaled = value * 1000.0
    if not -MAX_INT64 < scaled < MAX_INT64:
        return MAX_INT64 if scaled > 0 else -MAX_INT64
    nearest = round(scaled)
    if nearest == scaled or abs(scaled - nearest) <= _NOISE * abs(scaled):
        return nearest
    return ceil(scaled)


def seconds_ahead(max_age_seconds: float) -> float:
    """How far ahead of ``now`` a timestamp may be where samples may be so old.

    A source that stops while its clock is ahead would otherwise look fresh for longer than its
    policy allows.
    """
    return min(FUTURE_SECONDS, max_age_seconds)


def bounds_of(signal: Signal | None, hpa_parity: bool) -> ValueBounds:
    """The values a sample can have: a signal's bounds; of a query 0 and more, in HPA anything."""
    if signal is not None:
        return signal.info.bounds
    return _ANY if hpa_parity else ValueBounds()


@dataclass(frozen=True, slots=True)
class SampleFilter:
    """The rules by which a sample counts.

    ``max_age_seconds`` may be infinite; where it is and with ``hpa_parity``, timestamps from the future
    count. ``bounds``: what the value can be. ``pods`` are the pods whose samples count,
    None for all; ``needs_pod``: a sample without a pod is rejected.
    """

    now: float
    max_age_seconds: float
    hpa_parity: bool
    bounds: ValueBounds = _ANY
    pods: frozenset[str] | None = None
    needs_pod: bool = False


@dataclass(frozen=True, slots=True)
class UsableSamples:
    """The samples that count, in milli units.

    ``by_pod``: the sum of each pod's series; a pod with an unusable series is not in it, because
    the rest of its series would pass for the whole. ``series``: all usable ones, in their given
    order; ``total``: their sum.
    ``rejected``: ``"pod: reason"`` of each other sample; ``bad``: how many of those were unusable
    in themselves and not just another pod's; ``stale``: every one of those was too old.
    """

    by_pod: dict[str, int]
    series: tuple[int, ...]
    rejected: tuple[str, ...] = ()
    bad: int = 0
    stale: bool = False

    @property
    def total(self) -> int:
        """Saturated at the most that int64 holds."""
        return min(sum(self.series), MAX_INT64)

    @property
    def used(self) -> int:
        """How many series count."""
        return len(self.series)


def filter_samples(samples: Iterable[Sample], rules: SampleFilter) -> UsableSamples:
    """Sorts samples into those that count and those that are rejected, in their given order."""
    by_pod: dict[str, int] = {}
    rejections: list[_Rejection] = []
    ahead = seconds_ahead(rules.max_age_seconds)
    series: list[int] = []
    for sample in samples:
        if not _is_plainly_good(sample, rules, ahead):
            rejection = _reject(sample, rules)
            if rejection is not None:
                rejections.append(rejection)
                continue
        milli = to_milli(sample.value)
        series.append(milli)
        if sample.pod is not None:
            by_pod[sample.pod] = by_pod.get(sample.pod, 0) + milli
    if not rejections:
        return UsableSamples(by_pod, tuple(series))
    bad = [rejection for rejection in rejections if not rejection.other_pod]
    for rejection in bad:
        by_pod.pop(rejection.pod or "", None)
    return UsableSamples(
        by_pod=by_pod,
        series=tuple(series),
        rejected=tuple(f"{rejection.pod or 'series'}: {rejection.message}" for rejection in rejections),
        bad=len(bad),
        stale=bool(bad) and all(rejection.too_old for rejection in bad),
    )


@dataclass(frozen=True, slots=True)
class _Rejection:
    """``other_pod``: the sample is valid, but belongs to a pod of another target."""

    pod: str | None
    message: str
    other_pod: bool = False
    too_old: bool = False


def _is_plainly_good(sample: Sample, rules: SampleFilter, ahead: float) -> bool:
    """The fast check that nearly every sample passes; the others are examined in full."""
    return (
        0.0 <= sample.value <= rules.bounds.high
        and sample.value < inf
        and -ahead <= rules.now - sample.timestamp <= rules.max_age_seconds
        and (not rules.needs_pod or sample.pod is not None)
        and (rules.pods is None or sample.pod in rules.pods)
    )


def _reject(sample: Sample, rules: SampleFilter) -> _Rejection | None:
    pod = sample.pod
    if pod is None and rules.needs_pod:
        return _Rejection(pod, "has no pod label", other_pod=True)
    if pod is not None and rules.pods is not None and pod not in rules.pods:
        return _Rejection(pod, "pod is gone", other_pod=True)
    message = fault(sample, rules)
    if message is None:
        return None
    too_old = isfinite(sample.value) and not rules.now - sample.timestamp <= rules.max_age_seconds
    return _Rejection(pod, message, too_old=too_old)


def fault(sample: Sample, rules: SampleFilter) -> str | None:
    """The fault of a sample in itself, of whichever pod; None where it is usable."""
    value, age = sample.value, rules.now - sample.timestamp
    if not isfinite(value):
        return "not a number" if isnan(value) else "infinite"
    if not age <= rules.max_age_seconds:  # a NaN timestamp is rejected as well
        return f"{age:g} s old, at most {rules.max_age_seconds:g} s is usable"
    if not rules.bounds.hold(value):
        return f"negative ({value:g})" if value < 0 else f"{value:g}, which is not within {rules.bounds}"
    if age < -seconds_ahead(rules.max_age_seconds) and (
        not rules.hpa_parity or isfinite(rules.max_age_seconds)
    ):
        return f"{-age:g} s in the future"
    return None
