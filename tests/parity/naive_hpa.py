"""The HPA's rules a second time: a deliberately naive transcription, to hold the engine against.

Written from a description of ``pkg/controller/podautoscaler`` (Kubernetes 1.32 to 1.36) without a
look at ``autoscaler.decision``, and it shares nothing with it, types included: lists, dicts and
tuples only. It is never to be made faster or shorter: its worth is that it reads like the text.

Left out: resource metrics, the beta of scaling to zero and the fallback of external metrics, of
which the text itself is second-hand.
"""

from __future__ import annotations

import math
from typing import Any

MAX_INT32 = 2147483647
MIN_INT32 = -2147483648
MAX_INT64 = 9223372036854775807

DEFAULT_UP = {
    "stabilizationWindowSeconds": 0,
    "selectPolicy": "Max",
    "policies": [
        {"type": "Pods", "value": 4, "periodSeconds": 15},
        {"type": "Percent", "value": 100, "periodSeconds": 15},
    ],
    "tolerance": 0.1,
}
DEFAULT_DOWN = {
    "stabilizationWindowSeconds": 300,
    "selectPolicy": "Max",
    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}],
    "tolerance": 0.1,
}


class MetricError(Exception):
    """A metric without a proposal."""


class Hpa:
    """One HPA object and what the controller remembers of it.

    ``spec``: minReplicas, maxReplicas, behavior (None or a mapping), toleranceRule, and metrics
    ``{"type": "Pods" | "Value" | "AverageValue", "target": milli}``.
    """

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.recommendations: list[tuple[int, float]] | None = None
        self.up_events: list[tuple[int, float]] = []
        self.down_events: list[tuple[int, float]] = []
        self.conditions: dict[str, tuple[bool, str]] = {}
        self.usages: list[int | None] = []
        behavior = spec["behavior"]
        self.up = {**DEFAULT_UP, **((behavior or {}).get("scaleUp") or {})}
        self.down = {**DEFAULT_DOWN, **((behavior or {}).get("scaleDown") or {})}

    # -- reconcile -------------------------------------------------------------------------------

    def reconcile(
        self, cur: int, status_replicas: int, pods: list[dict[str, Any]], answers: list[Any], now: float
    ) -> int:
        """The replicas to write; ``cur`` means that nothing is written.

        A pod: name, phase, ready, deleting. An answer belongs to the metric of the same index:
        None (the client failed), a mapping from pod to milli (Pods) or a list of milli values.
        """
        self.conditions = {"AbleToScale": (True, "SucceededGetScale")}
        self.usages = []
        if self.recommendations is None:
            self.recommendations = [(cur, now)]
        low, high = self.spec["minReplicas"], self.spec["maxReplicas"]
        if cur == 0 and low != 0:
            self.conditions["ScalingActive"] = (False, "ScalingDisabled")
            return cur
        if cur > high:
            return high
        if cur < low:
            return low
        m = self.replicas_for_metrics(cur, status_replicas, pods, answers)
        if m is None:
            return cur
        desired = 0
        if m > 0:
            desired = m
        if self.spec["behavior"] is None:
            return self.normalize(cur, desired, now)
        return self.normalize_with_behaviors(cur, desired, now)

    def written(self, cur: int, desired: int, now: float) -> None:
        """storeScaleEvent, after the scale has been updated. Without behavior nothing is stored."""
        if self.spec["behavior"] is None:
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
            reason = "FailedGetPodsMetric" if first_invalid == "Pods" else "FailedGetExternalMetric"
            self.conditions["ScalingActive"] = (False, reason)
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
        total = 0
        for value in answer:
            total = min(total + value, MAX_INT64)
        if metric["type"] == "Value":
            return self.value_metric(metric["target"], total, cur, pods), total
        return self.average_value_metric(metric["target"], total, status_replicas)

    def within(self, ratio: float) -> bool:
        up, down = self.up["tolerance"], self.down["tolerance"]
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
        usage = int_div(sum(left.values()), len(left))
        ratio = float(usage) / float(target)
        up_unready = len(unready) > 0 and ratio > 1.0
        if not up_unready and not missing:
            if self.within(ratio):
                return cur, usage
            return math.ceil(ratio * ready), usage
        if ratio < 1.0:
            left.update(dict.fromkeys(missing, target))
        if ratio > 1.0:
            left.update(dict.fromkeys(missing, 0))
        if up_unready:
            left.update(dict.fromkeys(unready, 0))
        new = float(int_div(sum(left.values()), len(left))) / float(target)
        return self.rebalanced(ratio, new, len(left), cur), usage

    def rebalanced(self, ratio: float, new: float, count: int, cur: int) -> int:
        if self.within(new) or (ratio < 1.0 and new > 1.0) or (ratio > 1.0 and new < 1.0):
            return cur
        n = math.ceil(new * count)
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
        shown = -(-usage // status_replicas)
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
        added = sum(change for change, at in self.up_events if at > now - period)
        deleted = sum(change for change, at in self.down_events if at > now - period)
        return cur - added + deleted

    def up_limit(self, cur: int, now: float) -> int:
        if self.up["selectPolicy"] == "Disabled":
            return cur
        result = MAX_INT32 if self.up["selectPolicy"] == "Min" else MIN_INT32
        for policy in self.up["policies"]:
            start = self.period_start(cur, policy["periodSeconds"], now)
            if policy["type"] == "Pods":
                proposed = start + policy["value"]
            else:
                proposed = math.ceil(start * (1 + policy["value"] / 100))
            result = min(result, proposed) if self.up["selectPolicy"] == "Min" else max(result, proposed)
        return result

    def down_limit(self, cur: int, now: float) -> int:
        if self.down["selectPolicy"] == "Disabled":
            return cur
        result = MIN_INT32 if self.down["selectPolicy"] == "Min" else MAX_INT32
        for policy in self.down["policies"]:
            start = self.period_start(cur, policy["periodSeconds"], now)
            if policy["type"] == "Pods":
                proposed = start - policy["value"]
            else:
                proposed = int(start * (1 - policy["value"] / 100))
            result = max(result, proposed) if self.down["selectPolicy"] == "Min" else min(result, proposed)
        return result


def group(pods: list[dict[str, Any]], samples: dict[str, int]) -> tuple[int, set[str], set[str], set[str]]:
    """How many pods are ready, and which are ignored, unready and missing."""
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


def store_event(events: list[tuple[int, float]], rules: dict[str, Any], change: int, now: float) -> None:
    longest = max(policy["periodSeconds"] for policy in rules["policies"])
    slot = None
    for index, (_, at) in enumerate(events):
        if at < now - longest:
            slot = index
    store(events, slot, (change, now))


def store(kept: list[tuple[int, float]], slot: int | None, new: tuple[int, float]) -> None:
    """Overwrites the last slot that is free, else appends."""
    if slot is None:
        kept.append(new)
    else:
        kept[slot] = new


def int_div(dividend: int, divisor: int) -> int:
    """Go's integer division."""
    return dividend // divisor if dividend >= 0 else -(-dividend // divisor)


def to_int32(number: int) -> int:
    return min(number, MAX_INT32)
