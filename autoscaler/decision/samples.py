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
    refused: tuple[str, ...]
    bad: int
    stale: bool


def screen_samples(samples: Iterable[Sample], screen: Screen) -> Screened:
    """Sorts samples into those that count and those that are refused, in their given order."""
    by_pod: dict[str, int] = {}
    refused: list[str] = []
    spoilt: set[str] = set()
    total = used = bad = stale = 0
    for sample in samples:
        pod = sample.pod
        foreign = _foreign(pod, screen)
        if foreign:
            refused.append(f"{pod or 'series'}: {foreign}")
            continue
        fault = _fault(sample, screen)
        if fault is not None:
            too_old, message = fault
            refused.append(f"{pod or 'series'}: {message}")
            bad += 1
            stale += too_old
            if pod is not None:
                spoilt.add(pod)
            continue
        milli = to_milli(sample.value)
        used += 1
        total += milli
        if pod is not None:
            by_pod[pod] = by_pod.get(pod, 0) + milli
    for pod in spoilt:
        by_pod.pop(pod, None)
    return Screened(by_pod, min(total, MAX_INT64), used, tuple(refused), bad, bad > 0 and stale == bad)


def _foreign(pod: str | None, screen: Screen) -> str:
    if pod is None:
        return "has no pod label" if screen.needs_pod else ""
    if screen.pods is not None and pod not in screen.pods:
        return "pod is gone"
    return ""


def _fault(sample: Sample, screen: Screen) -> tuple[bool, str] | None:
    """Whether the sample is too old, and what is wrong with it; None if nothing is."""
    value = sample.value
    age = screen.now - sample.timestamp
    if 0.0 <= value < inf and -FUTURE_SECONDS <= age <= screen.max_age_seconds:
        return None  # nearly all samples; what follows only finds the words for the others
    if not isfinite(value):
        return False, "not a number" if isnan(value) else "infinite"
    if not age <= screen.max_age_seconds:  # a NaN timestamp is refused as well
        return True, f"{age:g} s old, at most {screen.max_age_seconds:g} s is usable"
    if screen.strict and value < 0:
        return False, f"negative ({value:g})"
    if screen.strict and age < -FUTURE_SECONDS:
        return False, f"{-age:g} s in the future"
    return None
