"""The HPA's rules a second time: a deliberately naive transcription, to hold the engine against.

Written from a description of ``pkg/controller/podautoscaler`` (Kubernetes 1.32 to 1.37) without a
look at ``autoscaler.decision``, and it shares nothing with it, types included: lists, dicts and
tuples only. It is never to be made faster or shorter: its worth is that it reads like the text.

Where Go's result depends on the processor (a float beyond int32), it is that of arm64, which saturates.

Left out: resource metrics and the fallback of external metrics.
"""

from __future__ import annotations

import math
from typing import Any

MAX_INT32 = 2147483647
MIN_INT32 = -2147483648
MAX_INT64 = 9223372036854775807
OBJECT_AND_EXTERNAL = ("Object", "External")

DEFAULT_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "tolerance": 100,
}
DEFAULT_DOWN = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    "tolerance": 100,
}


class MetricError(Exception):
    """A metric without a proposal."""


class Hpa:
    """One HPA object and what the controller remembers of it.

    ``spec``: minReplicas, maxReplicas, behavior (None or a mapping, tolerances in milli), toleranceRule,
    zeroRule, and metrics ``{"type": "Pods" | "Object" | "External", "by": "AverageValue" | "Value",
    "target": milli}``. An event is a list of its change, its time and whether it is outdated.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.recommendations: list[tuple[int, float]] | None = None
        self.up_events: list[list[Any]] = []
        self.down_events: list[list[Any]] = []
        self.scaled_to_zero = False
        self.conditions: dict[str, tuple[bool, str]] = {}
        self.usages: list[int | None] = []
        self.edit(spec)

    def edit(self, spec: dict[str, Any]) -> None:
        """Somebody applies another spec; what the controller remembers stays."""
        self.spec = spec
        behavior = spec["behavior"]
        self.up = {**DEFAULT_UP, **((behavior or {}).get("scaleUp") or {})}
        self.down = {**DEFAULT_DOWN, **((behavior or {}).get("scaleDown") or {})}

    # -- reconcile -------------------------------------------------------------------------------

    def reconcile(
        self,
        cur: int,
        status_replicas: int,
        pods: list[dict[str, Any]],
        answers: list[Any],
        now: float,
        ambiguous: bool = False,
    ) -> int:
        """The replicas to write; ``cur`` means that nothing is written.

        A pod: name, phase, ready, deleting. An answer belongs to the metric of the same index:
        None (the client failed), a mapping from pod to milli (Pods) or a list of milli values.
        ``ambiguous``: another HPA selects one of the pods.
        """
        self.conditions = {"AbleToScale": (True, "SucceededGetScale")}
        self.usages = []
        if self.recommendations is None:
            self.recommendations = [(cur, now)]
        low, high = self.spec["minReplicas"], self.spec["maxReplicas"]
        if cur == 0 and self.is_disabled_at_zero(low):
            self.conditions["ScalingActive"] = (False, "ScalingDisabled")
            return cur
        if cur > high:
            return high
        if cur < low and cur != 0:
            return low
        if ambiguous:
            self.conditions["ScalingActive"] = (False, "AmbiguousSelector")
            return cur
        m = self.replicas_for_metrics(cur, status_replicas, pods, answers)
        if m is None:
            return cur
        desired = 0
        if m > 0:
            desired = m
        if self.spec["behavior"] is None:
            result = self.normalize(cur, desired, now)
        else:
            result = self.normalize_with_behaviors(cur, desired, now)
        if cur == 0 and low != 0 and result < low:  # only since 1.37 does anything come here
            result = low
        return result

    def is_disabled_at_zero(self, low: int) -> bool:
        if self.spec["zeroRule"] == "v1.36":
            return low != 0
        if low != 0 and self.scaled_to_zero:
            return False
        return not (self.scaled_to_zero and self.has_object_or_external())

    def has_object_or_external(self) -> bool:
        return any(metric["type"] in OBJECT_AND_EXTERNAL for metric in self.spec["metrics"])

    def written(self, cur: int, desired: int, now: float) -> None:
        """What follows when the scale has been updated."""
        if desired == cur:
            return
        down_to_zero = cur > 0 and desired == 0 and self.spec["minReplicas"] == 0
        self.scaled_to_zero = down_to_zero and self.has_object_or_external()
        if self.spec["behavior"] is None:  # no event is stored
            return
        if desired > cur:
            store_event(self.up_events, self.up, desired - cur, now)
        if desired < cur:
            store_event(self.down_events, self.down, cur - desired, now)

    # -- several metrics -------------------------------------------------------------------------

    def replicas_for_metrics(
        self, cur: int, status_replicas: int, pods: list[dict[str, Any]], answers: list[Any]
    ) -> int | None:
        replicas = 0
        invalid = 0
        first_invalid = ""
        metrics = self.spec["metrics"]
        for metric, answer in zip(metrics, answers, strict=True):
            try:
                proposal, usage = self.proposal(metric, answer, cur, status_replicas, pods)
            except MetricError:
                if invalid == 0:
                    first_invalid = metric["type"]
                invalid += 1
                self.usages.append(None)
                continue
            self.usages.append(usage)
            if replicas == 0 or proposal > replicas:
                replicas = proposal
        if invalid == len(metrics) or (invalid > 0 and replicas < cur):
            self.conditions["ScalingActive"] = (False, f"FailedGet{first_invalid}Metric")
            return None
        self.conditions["ScalingActive"] = (True, "ValidMetricFound")
        return replicas

    def proposal(
        self,
        metric: dict[str, Any],
        answer: Any,
        cur: int,
        status_replicas: int,
        pods: list[dict[str, Any]],
    ) -> tuple[int, int]:
        if not answer:  # the client failed, or there are no items
            raise MetricError
        if metric["type"] == "Pods":
            return self.pods_metric(metric["target"], answer, cur, pods)
        if metric["type"] == "Object":
            (total,) = answer
        elif metric["by"] == "Value":
            total = external_total(answer)
        else:
            total = external_total_per_pod(answer)
        if metric["by"] == "Value":
            return self.value_metric(metric["target"], total, cur, pods), total
        return self.average_value_metric(metric["target"], total, status_replicas)

    def within(self, ratio: float) -> bool:
        up, down = as_float(self.up["tolerance"]), as_float(self.down["tolerance"])
        if self.spec["toleranceRule"] == "v1.32":
            return math.fabs(1.0 - ratio) <= (down if ratio < 1.0 else up)
        return (1.0 - down) <= ratio <= (1.0 + up)

    # -- Pods ------------------------------------------------------------------------------------

    def pods_metric(
        self, target: int, samples: dict[str, int], cur: int, pods: list[dict[str, Any]]
    ) -> tuple[int, int]:
        if not pods:
            raise MetricError
        ready, ignored, unready, missing = group(pods, samples)
        left = {name: milli for name, milli in samples.items() if name not in ignored | unready}
        if not left:
            raise MetricError
        usage = int_div(wrap64(sum(left.values())), len(left))
        ratio = float(usage) / float(target)
        up_unready = len(unready) > 0 and ratio > 1.0
        if not up_unready and not missing:
            if self.within(ratio):
                return cur, usage
            return to_int32(math.ceil(ratio * ready)), usage
        if ratio < 1.0:
            left.update(dict.fromkeys(missing, target))
        if ratio > 1.0:
            left.update(dict.fromkeys(missing, 0))
        if up_unready:
            left.update(dict.fromkeys(unready, 0))
        new = float(int_div(wrap64(sum(left.values())), len(left))) / float(target)
        return self.rebalanced(ratio, new, len(left), cur), usage

    def rebalanced(self, ratio: float, new: float, count: int, cur: int) -> int:
        if self.within(new) or (ratio < 1.0 and new > 1.0) or (ratio > 1.0 and new < 1.0):
            return cur
        n = to_int32(math.ceil(new * count))
        if (new < 1.0 and n > cur) or (new > 1.0 and n < cur):
            return cur
        return n

    # -- Value and AverageValue ------------------------------------------------------------------

    def value_metric(self, target: int, usage: int, cur: int, pods: list[dict[str, Any]]) -> int:
        ratio = float(usage) / float(target)
        if cur == 0:
            return to_int32(math.ceil(ratio))
        if self.within(ratio):
            return cur
        if not pods:
            raise MetricError
        ready = 0
        for pod in pods:
            if pod["phase"] == "Running" and pod["ready"]:
                ready += 1
        return to_int32(math.ceil(ratio * ready))

    def average_value_metric(self, target: int, usage: int, status_replicas: int) -> tuple[int, int]:
        if status_replicas == 0:  # the ratio is infinite or NaN, and within no tolerance
            return to_int32(math.ceil(float(usage) / float(target))), usage
        shown = MAX_INT64
        if float(usage) < float(MAX_INT64):
            shown = math.ceil(float(usage) / float(status_replicas))
        ratio = float(usage) / (float(target) * float(status_replicas))
        if self.within(ratio):
            return status_replicas, shown
        return to_int32(math.ceil(float(usage) / float(target))), shown

    # -- without behavior ------------------------------------------------------------------------

    def normalize(self, cur: int, desired: int, now: float) -> int:
        assert self.recommendations is not None
        cutoff = now - 300
        rec, slot = desired, None
        for index, (replicas, at) in enumerate(self.recommendations):
            if at < cutoff:
                slot = index
            else:
                rec = max(rec, replicas)
        store(self.recommendations, slot, (desired, now))
        reason = "ScaleDownStabilized" if rec != desired else "ReadyForNewScale"
        self.conditions["AbleToScale"] = (True, reason)

        low, high = self.spec["minReplicas"], self.spec["maxReplicas"]
        up_limit = int(max(2.0 * cur, 4.0))
        allowed, high_reason = high, "TooManyReplicas"
        if high > up_limit:
            allowed, high_reason = up_limit, "ScaleUpLimit"
        if rec < low:
            result, reason = low, "TooFewReplicas"
        elif rec > allowed:
            result, reason = allowed, high_reason
        else:
            result, reason = rec, "DesiredWithinRange"
        self.conditions["ScalingLimited"] = (result != rec, reason)
        return result

    # -- with behavior ---------------------------------------------------------------------------

    def normalize_with_behaviors(self, cur: int, desired: int, now: float) -> int:
        rec = self.stabilize(cur, desired, now)
        low, high = self.spec["minReplicas"], self.spec["maxReplicas"]
        result, reason = rec, "DesiredWithinRange"
        if rec > cur:
            limit = max(self.up_limit(cur, now), cur)
            allowed, limit_reason = high, "TooManyReplicas"
            if high > limit:
                allowed, limit_reason = limit, "ScaleUpLimit"
            if rec > allowed:
                result, reason = allowed, limit_reason
        elif rec < cur:
            limit = min(self.down_limit(cur, now), cur)
            allowed, limit_reason = low, "TooFewReplicas"
            if low < limit:
                allowed, limit_reason = limit, "ScaleDownLimit"
            if rec < allowed:
                result, reason = allowed, limit_reason
        self.conditions["ScalingLimited"] = (result != rec, reason)
        return result

    def stabilize(self, cur: int, desired: int, now: float) -> int:
        assert self.recommendations is not None
        up_cutoff = now - self.up["stabilizationWindowSeconds"]
        down_cutoff = now - self.down["stabilizationWindowSeconds"]
        up = dn = desired
        slot = None
        for index, (replicas, at) in enumerate(self.recommendations):
            if at > up_cutoff:
                up = min(up, replicas)
            if at > down_cutoff:
                dn = max(dn, replicas)
            if at < up_cutoff and at < down_cutoff:
                slot = index
        rec = cur
        if rec < up:
            rec = up
        if rec > dn:
            rec = dn
        store(self.recommendations, slot, (desired, now))
        reason = "ReadyForNewScale"
        if rec != desired:
            reason = "ScaleUpStabilized" if desired >= cur else "ScaleDownStabilized"
        self.conditions["AbleToScale"] = (True, reason)
        return rec

    def period_start(self, cur: int, period: int, now: float) -> int:
        added = sum(change for change, at, _ in self.up_events if at > now - period)
        deleted = sum(change for change, at, _ in self.down_events if at > now - period)
        return wrap32(cur - added + deleted)

    def up_limit(self, cur: int, now: float) -> int:
        if self.up["selectPolicy"] == "Disabled":
            return cur
        result = MAX_INT32 if self.up["selectPolicy"] == "Min" else MIN_INT32
        for policy in self.up["policies"]:
            start = self.period_start(cur, policy["periodSeconds"], now)
            if policy["type"] == "Pods":
                proposed = wrap32(start + policy["value"])
            else:
                proposed = to_int32(math.ceil(start * (1 + policy["value"] / 100)))
            result = min(result, proposed) if self.up["selectPolicy"] == "Min" else max(result, proposed)
        return result

    def down_limit(self, cur: int, now: float) -> int:
        if self.down["selectPolicy"] == "Disabled":
            return cur
        result = MIN_INT32 if self.down["selectPolicy"] == "Min" else MAX_INT32
        for policy in self.down["policies"]:
            start = self.period_start(cur, policy["periodSeconds"], now)
            if policy["type"] == "Pods":
                proposed = wrap32(start - policy["value"])
            else:
                proposed = to_int32(int(start * (1 - policy["value"] / 100)))
            result = max(result, proposed) if self.down["selectPolicy"] == "Min" else min(result, proposed)
        return result


def group(pods: list[dict[str, Any]], samples: dict[str, int]) -> tuple[int, set[str], set[str], set[str]]:
    """How many pods are ready, and which are ignored, unready and missing.

    A pod that has Succeeded is none that has Failed.
    """
    ready, ignored, unready, missing = 0, set(), set(), set()
    for pod in pods:
        if pod["deleting"] or pod["phase"] == "Failed":
            ignored.add(pod["name"])
        elif pod["phase"] == "Pending":
            unready.add(pod["name"])
        elif pod["name"] not in samples:
            missing.add(pod["name"])
        else:
            ready += 1
    return ready, ignored, unready, missing


def store_event(events: list[list[Any]], rules: dict[str, Any], change: int, now: float) -> None:
    longest = max(policy["periodSeconds"] for policy in rules["policies"])
    for event in events:  # the mark is never taken away
        if event[1] < now - longest:
            event[2] = True
    slot = None
    for index, event in enumerate(events):
        if event[2]:
            slot = index
    store(events, slot, [change, now, False])


def store(kept: list[Any], slot: int | None, new: Any) -> None:
    """Overwrites the last slot that is free, else appends."""
    if slot is None:
        kept.append(new)
    else:
        kept[slot] = new


def int_div(dividend: int, divisor: int) -> int:
    """Go's integer division."""
    return dividend // divisor if dividend >= 0 else -(-dividend // divisor)


def external_total(values: list[int]) -> int:
    """GetExternalMetricReplicas: only an overflow upwards is looked for."""
    usage = 0
    for value in values:
        if value > 0 and usage > MAX_INT64 - value:
            return MAX_INT64
        usage = wrap64(usage + value)
    return usage


def external_total_per_pod(values: list[int]) -> int:
    """GetExternalPerPodMetricReplicas: whatever is negative on the way is taken for an overflow."""
    usage = 0
    for value in values:
        usage = wrap64(usage + value)
        if usage < 0:
            return MAX_INT64
    return usage


def as_float(milli: int) -> float:
    """AsApproximateFloat64 of the quantity that is stored, which has no suffix where it needs none."""
    if milli % 1000 == 0:
        return float(milli // 1000)
    return float(milli) * 0.001


def to_int32(number: int) -> int:
    """A conversion of a float."""
    return max(MIN_INT32, min(number, MAX_INT32))


def wrap32(number: int) -> int:
    """A sum of int32 numbers."""
    while number > MAX_INT32:
        number -= 2**32
    while number < MIN_INT32:
        number += 2**32
    return number


def wrap64(number: int) -> int:
    """A sum of int64 numbers."""
    while number > MAX_INT64:
        number -= 2**64
    while number < -MAX_INT64 - 1:
        number += 2**64
    return number
