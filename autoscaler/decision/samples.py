"""Samples as a source returned them -> usable milli values, with a reason for each one refused.

HPA counts in whole milli units (``Quantity.MilliValue``), so that is what every rule behind this
module sees. ``semantics: HPA`` refuses only what a Kubernetes quantity cannot express (NaN,
infinities) and what the policy's own ``maxAgeSeconds`` forbids; ``LLM`` also refuses negative
values and timestamps from the future.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf, isfinite, isnan

from autoscaler.decision.types import Sample

MAX_INT64 = 2**63 - 1
FUTURE_SECONDS = 60.0
"""How far ahead of ``now`` a timestamp may be: clocks of different machines disagree a little."""

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


@dataclass(frozen=True, slots=True)
class Screen:
    """What a sample must be like to count.

    ``max_age_seconds`` may be infinite. ``strict``: also refuse negative values and timestamps
    from the future. ``pods`` are the pods whose samples count, None for all; ``needs_pod``: a
    sample without a pod is refused.
    """

    now: float
    max_age_seconds: float
    strict: bool
    pods: frozenset[str] | None
    needs_pod: bool


@dataclass(frozen=True, slots=True)
class Screened:
    """The samples that count, in milli units.

    ``by_pod``: the sum of each pod's series; a pod with an unusable series is not in it, because
    the rest of its series would pass for the whole. ``total``: the sum of all usable series.
    ``refused``: ``"pod: reason"`` of each other sample; ``bad``: how many of those were unusable
    in themselves and not just another pod's; ``stale``: every one of those was too old.
    """

    by_pod: dict[str, int]
    total: int
    used: int
    refused: tuple[str, ...] = ()
    bad: int = 0
    stale: bool = False


def screen_samples(samples: Iterable[Sample], screen: Screen) -> Screened:
    """Sorts samples into those that count and those that are refused, in their given order."""
    by_pod: dict[str, int] = {}
    refusals: list[_Refusal] = []
    total = used = 0
    for sample in samples:
        if not _is_plainly_good(sample, screen):
            refusal = _refuse(sample, screen)
            if refusal is not None:
                refusals.append(refusal)
                continue
        milli = to_milli(sample.value)
        used += 1
        total += milli
        if sample.pod is not None:
            by_pod[sample.pod] = by_pod.get(sample.pod, 0) + milli
    if not refusals:
        return Screened(by_pod, min(total, MAX_INT64), used)
    bad = [refusal for refusal in refusals if not refusal.foreign]
    for refusal in bad:
        by_pod.pop(refusal.pod or "", None)
    return Screened(
        by_pod=by_pod,
        total=min(total, MAX_INT64),
        used=used,
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


def _is_plainly_good(sample: Sample, screen: Screen) -> bool:
    """What nearly every sample is; the others are looked at more closely."""
    return (
        0.0 <= sample.value < inf
        and -FUTURE_SECONDS <= screen.now - sample.timestamp <= screen.max_age_seconds
        and (not screen.needs_pod or sample.pod is not None)
        and (screen.pods is None or sample.pod in screen.pods)
    )


def _refuse(sample: Sample, screen: Screen) -> _Refusal | None:
    pod, value = sample.pod, sample.value
    if pod is None and screen.needs_pod:
        return _Refusal(pod, "has no pod label", foreign=True)
    if pod is not None and screen.pods is not None and pod not in screen.pods:
        return _Refusal(pod, "pod is gone", foreign=True)
    if not isfinite(value):
        return _Refusal(pod, "not a number" if isnan(value) else "infinite")
    age = screen.now - sample.timestamp
    if not age <= screen.max_age_seconds:  # a NaN timestamp is refused as well
        limit = screen.max_age_seconds
        return _Refusal(pod, f"{age:g} s old, at most {limit:g} s is usable", too_old=True)
    if screen.strict and value < 0:
        return _Refusal(pod, f"negative ({value:g})")
    if screen.strict and age < -FUTURE_SECONDS:
        return _Refusal(pod, f"{-age:g} s in the future")
    return None
