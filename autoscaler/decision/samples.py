"""Samples as a source returned them -> usable milli values, with a reason for each one refused.

HPA counts in whole milli units (``Quantity.MilliValue``), so that is what every rule behind this
module sees. ``semantics: HPA`` refuses only what a Kubernetes quantity cannot express (NaN,
infinities), what the policy's own ``maxAgeSeconds`` forbids and what a signal cannot be (its bounds
are the catalogue's, and the HPA has no signals); ``LLM`` also refuses negative values and timestamps
from the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan

from autoscaler.api.models import BOUNDS, Signal, ValueBounds
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


def bounds_of(signal: Signal | None, strict: bool) -> ValueBounds:
    """What a sample can be: of a signal its bounds; of a query anything, if ``strict`` nothing negative."""
    if signal is not None:
        return BOUNDS[signal]
    return ValueBounds() if strict else _ANY


@dataclass(frozen=True, slots=True)
class Screen:
    """What a sample must be like to count.

    ``max_age_seconds`` may be infinite; unless it is, or if ``strict``, timestamps from the future
    are refused, too. ``bounds``: what the value can be. ``pods`` are the pods whose samples count,
    None for all; ``needs_pod``: a sample without a pod is refused.
    """

    now: float
    max_age_seconds: float
    strict: bool
    bounds: ValueBounds = _ANY
    pods: frozenset[str] | None = None
    needs_pod: bool = False


@dataclass(frozen=True, slots=True)
class Screened:
    """The samples that count, in milli units.

    ``by_pod``: the sum of each pod's series; a pod with an unusable series is not in it, because
    the rest of its series would pass for the whole. ``series``: all usable ones, in their given
    order; ``total``: their sum.
    ``refused``: ``"pod: reason"`` of each other sample; ``bad``: how many of those were unusable
    in themselves and not just another pod's; ``stale``: every one of those was too old.
    """

    by_pod: dict[str, int]
    series: tuple[int, ...]
    refused: tuple[str, ...] = ()
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


def screen_samples(samples: Iterable[Sample], screen: Screen) -> Screened:
    """Sorts samples into those that count and those that are refused, in their given order."""
    by_pod: dict[str, int] = {}
    refusals: list[_Refusal] = []
    ahead = seconds_ahead(screen.max_age_seconds)
    series: list[int] = []
    for sample in samples:
        if not _is_plainly_good(sample, screen, ahead):
            refusal = _refuse(sample, screen)
            if refusal is not None:
                refusals.append(refusal)
                continue
        milli = to_milli(sample.value)
        series.append(milli)
        if sample.pod is not None:
            by_pod[sample.pod] = by_pod.get(sample.pod, 0) + milli
    if not refusals:
        return Screened(by_pod, tuple(series))
    bad = [refusal for refusal in refusals if not refusal.foreign]
    for refusal in bad:
        by_pod.pop(refusal.pod or "", None)
    return Screened(
        by_pod=by_pod,
        series=tuple(series),
        refused=tuple(f"{refusal.pod or 'series'}: {refusal.message}" for refusal in refusals),
        bad=len(bad),
        stale=bool(bad) and all(refusal.too_old for refusal in bad),
    )


@dataclass(frozen=True, slots=True)
class _Refusal:
    """``foreign``: nothing is wrong with the sample, but it is none of ours."""

    pod: str | None
    message: str
    foreign: bool = False
    too_old: bool = False


def _is_plainly_good(sample: Sample, screen: Screen, ahead: float) -> bool:
    """What nearly every sample is; the others are looked at more closely."""
    return (
        0.0 <= sample.value <= screen.bounds.high
        and sample.value < inf
        and -ahead <= screen.now - sample.timestamp <= screen.max_age_seconds
        and (not screen.needs_pod or sample.pod is not None)
        and (screen.pods is None or sample.pod in screen.pods)
    )


def _refuse(sample: Sample, screen: Screen) -> _Refusal | None:
    pod = sample.pod
    if pod is None and screen.needs_pod:
        return _Refusal(pod, "has no pod label", foreign=True)
    if pod is not None and screen.pods is not None and pod not in screen.pods:
        return _Refusal(pod, "pod is gone", foreign=True)
    message = fault(sample, screen)
    if message is None:
        return None
    too_old = isfinite(sample.value) and not screen.now - sample.timestamp <= screen.max_age_seconds
    return _Refusal(pod, message, too_old=too_old)


def fault(sample: Sample, screen: Screen) -> str | None:
    """What is wrong with a sample in itself, whoever's it is; None where it is usable."""
    value, age = sample.value, screen.now - sample.timestamp
    if not isfinite(value):
        return "not a number" if isnan(value) else "infinite"
    if not age <= screen.max_age_seconds:  # a NaN timestamp is refused as well
        return f"{age:g} s old, at most {screen.max_age_seconds:g} s is usable"
    if not screen.bounds.hold(value):
        return f"negative ({value:g})" if value < 0 else f"{value:g}, which is not within {screen.bounds}"
    if age < -seconds_ahead(screen.max_age_seconds) and (screen.strict or isfinite(screen.max_age_seconds)):
        return f"{-age:g} s in the future"
    return None
