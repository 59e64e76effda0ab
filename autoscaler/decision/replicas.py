"""HPA's arithmetic: usage and target -> replicas, for each of its three target types.

Source: pkg/controller/podautoscaler/replica_calculator.go. Usage and targets are integer milli
values, sums are divided as integers, ratios are float64 and rounded up without an epsilon, so
that 0.56 x 25 = 14.000000000000002 is 15 here as it is there. Results saturate at the limit of
int32; in Go some conversions beyond it depend on the processor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, inf

MAX_INT32 = 2**31 - 1
MIN_INT32 = -(2**31)
MAX_INT64 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far usage / target may be from 1 before the replicas change, per direction.

    ``rule``: see ``contains``.
    """

    up: float = 0.1
    down: float = 0.1
    rule: str = "v1.33"

    def contains(self, ratio: float) -> bool:
        """True if a ratio is close enough to 1 to leave the replicas alone.

        ``v1.32`` measures the distance from 1, so that binary noise puts 1.1 outside a tolerance
        of 0.1; since ``v1.33`` the ratio is compared with both edges, and 1.1 is inside.
        """
        if self.rule == "v1.32":
            return abs(1.0 - ratio) <= (self.down if ratio < 1.0 else self.up)
        return (1.0 - self.down) <= ratio <= (1.0 + self.up)


@dataclass(frozen=True, slots=True)
class PodLoads:
    """One metric's samples over the pods, in HPA's groups.

    ``total`` (milli) and ``count`` cover the samples that count; ``ready``, ``unready`` and
    ``missing`` are numbers of pods (``count`` may exceed ``ready`` by pods that are not listed).
    ``wraps``: sums beyond int64 begin again at its other end, as in HPA.
    """

    total: int
    count: int
    ready: int
    unready: int = 0
    missing: int = 0
    wraps: bool = False

    @property
    def usage(self) -> int:
        """The mean sample in milli units, by integer division. ``count`` must not be 0."""
        return self.mean()

    def mean(self, more_total: int = 0, more_count: int = 0) -> int:
        """The same with further samples."""
        total = self.total + more_total
        return divide(int64(total) if self.wraps else total, self.count + more_count)


def pods_average(current: int, target: int, loads: PodLoads, tolerance: Tolerance) -> int:
    """Replicas for a mean over pods (calcPlainMetricReplicas).

    Pods without a sample count as at target on the way down and as idle on the way up, unready
    ones as idle on the way up; a change that this turns around, or into the tolerance, is dropped.
    """
    ratio = float(loads.usage) / float(target)
    unready = loads.unready if ratio > 1.0 else 0
    if not unready and not loads.missing:
        return current if tolerance.contains(ratio) else ceil32(ratio * float(loads.ready))
    blank = unready + (loads.missing if ratio != 1.0 else 0)
    assumed = loads.missing * target if ratio < 1.0 else 0
    filled = float(loads.mean(assumed, blank)) / float(target)
    replicas = ceil32(filled * float(loads.count + blank))
    if tolerance.contains(filled) or _crosses_one(ratio, filled) or _against(filled, replicas, current):
        return current
    return replicas


def _crosses_one(before: float, after: float) -> bool:
    return (before < 1.0 and after > 1.0) or (before > 1.0 and after < 1.0)


def _against(ratio: float, replicas: int, current: int) -> bool:
    return (ratio < 1.0 and replicas > current) or (ratio > 1.0 and replicas < current)


def value(current: int, target: int, usage: int, ready: int, tolerance: Tolerance) -> int:
    """Replicas for one value over everything, scaled by the ready pods (getUsageRatioReplicaCount)."""
    ratio = float(usage) / float(target)
    if current == 0:
        return ceil32(ratio)
    return current if tolerance.contains(ratio) else ceil32(ratio * float(ready))


def average_value(replicas: int, target: int, usage: int, tolerance: Tolerance) -> int:
    """Replicas for a sum that is divided by ``replicas`` (HPA: those of the target's status)."""
    capacity = float(target) * float(replicas)
    ratio = float(usage) / capacity if capacity else inf
    return replicas if tolerance.contains(ratio) else ceil32(float(usage) / float(target))


def external_value_sum(series: Iterable[int]) -> int:
    """The sum of an External metric's series for a ``Value`` (GetExternalMetricReplicas).

    It ends at the most that int64 holds as soon as it would exceed it; below its least it wraps.
    """
    total = 0
    for milli in series:
        if total + milli > MAX_INT64:
            return MAX_INT64
        total = int64(total + milli)
    return total


def external_average_sum(series: Iterable[int]) -> int:
    """The same for an ``AverageValue`` (GetExternalPerPodMetricReplicas).

    HPA takes a sum that is negative on the way for one that has overflowed.
    """
    total = 0
    for milli in series:
        total = int64(total + milli)
        if total < 0:
            return MAX_INT64
    return total


def per_replica(usage: int, replicas: int) -> int:
    """HPA's reported value of a sum: each replica's share, rounded up; without replicas the sum."""
    if float(usage) >= float(MAX_INT64):
        return MAX_INT64
    return ceil(float(usage) / float(replicas)) if replicas else usage


def percent_more(start: int, percent: int) -> int:
    """``start`` and ``percent`` % on top, rounded up with float64's noise, saturated."""
    return ceil32(start * (1 + percent / 100))


def percent_less(start: int, percent: int) -> int:
    """``start`` less ``percent`` %, truncated with float64's noise; negative beyond 100 %."""
    return saturated32(int(start * (1 - percent / 100)))


def ceil32(number: float) -> int:
    """``math.Ceil`` to int32, saturated."""
    return saturated32(ceil(number))


def saturated32(number: int) -> int:
    """The nearest number that int32 holds."""
    return max(MIN_INT32, min(number, MAX_INT32))


def int32(number: int) -> int:
    """The number as Go's int32, which wraps around."""
    return (number + 2**31) % 2**32 - 2**31


def int64(number: int) -> int:
    """The same for an int64."""
    return (number + 2**63) % 2**64 - 2**63


def divide(dividend: int, divisor: int) -> int:
    """Integer division as Go does it: towards zero."""
    quotient = abs(dividend) // divisor
    return quotient if dividend >= 0 else -quotient


def ceil_divide(dividend: int, divisor: int) -> int:
    """Exact division of integers, rounded up."""
    return -(-dividend // divisor)
