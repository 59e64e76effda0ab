"""The rules between fields once more, for the API server: CEL, one entry for each fault of rules.py.

``rules.py`` stays the reference: its messages name values and places. A change there is a change
here, and ``tests/documents/broken.py`` lists the policies that both refuse.
"""

from __future__ import annotations

from typing import NotRequired, TypedDict

from autoscaler.api.rules import (
    METRIC_SOURCES,
    RESERVED_NAME_PREFIXES,
    SHORTEST_ALIGNMENT_SECONDS,
    UNALIGNED,
    UNREDUCED,
)
from autoscaler.api.vocabulary import (
    FRACTION_SIGNALS,
    QUANTILE_SIGNALS,
    Role,
    Semantics,
    Signal,
    TargetType,
)


class CelRule(TypedDict):
    """An entry of x-kubernetes-validations."""

    rule: str
    message: str
    fieldPath: NotRequired[str]


def _any_of(words: frozenset[Signal]) -> str:
    return f"[{', '.join(repr(str(word)) for word in sorted(words))}]"


_NAME = (
    "(has({0}.name) ? {0}.name : has({0}.signal) ? {0}.signal"
    " : has({0}.cloudMonitoring) ? 'cloudMonitoring' : 'query')"
)
_SOURCES = f"[{', '.join(f'has(self.{source})' for source in METRIC_SOURCES)}].filter(one, one).size()"
_ALIGNED = f"has(self.cloudMonitoring) && self.cloudMonitoring.perSeriesAligner != '{UNALIGNED}'"
_SIGNAL_IN = "has(self.signal) && self.signal in "

_TARGET: tuple[CelRule, ...] = (
    {
        "rule": f"self.type == '{TargetType.VALUE}' || has(self.averageValue)",
        "message": "averageValue is missing: types PodsAverage and AverageValue take averageValue",
    },
    {
        "rule": f"self.type != '{TargetType.VALUE}' || has(self.value)",
        "message": "value is missing: type Value takes value",
    },
    {
        "rule": f"self.type == '{TargetType.VALUE}' || !has(self.value)",
        "message": "value goes with type Value alone: remove it, or change the type",
        "fieldPath": ".value",
    },
    {
        "rule": f"self.type != '{TargetType.VALUE}' || !has(self.averageValue)",
        "message": "averageValue does not go with type Value: remove it, or change the type",
        "fieldPath": ".averageValue",
    },
)

_METRIC: tuple[CelRule, ...] = (
    {
        "rule": f"{_SOURCES} < 2",
        "message": f"more than one of {', '.join(METRIC_SOURCES)} is set: keep one",
    },
    {
        "rule": f"{_SOURCES} > 0",
        "message": f"none of {', '.join(METRIC_SOURCES)} is set: set one of them",
    },
    {
        "rule": f"!has(self.cloudMonitoring) || self.cloudMonitoring.crossSeriesReducer == '{UNREDUCED}'"
        f" || {_ALIGNED}",
        "message": "crossSeriesReducer needs aligned series: set perSeriesAligner too, e.g. ALIGN_MEAN",
        "fieldPath": ".cloudMonitoring.crossSeriesReducer",
    },
    {
        "rule": f"!({_ALIGNED}) || self.windowSeconds >= {SHORTEST_ALIGNMENT_SECONDS}",
        "message": f"Cloud Monitoring aligns over {SHORTEST_ALIGNMENT_SECONDS} s at least",
        "fieldPath": ".windowSeconds",
    },
    {
        "rule": f"!has(self.cloudMonitoring) || self.target.type != '{TargetType.PODS_AVERAGE}'",
        "message": "cloudMonitoring belongs to no pod: use type AverageValue or Value",
        "fieldPath": ".target.type",
    },
    {
        "rule": f"!has(self.type) || self.target.type != '{TargetType.PODS_AVERAGE}'",
        "message": "does not go with target.type PodsAverage, which is HPA's type Pods: remove it",
        "fieldPath": ".type",
    },
    {
        "rule": f"!has(self.quantile) || ({_SIGNAL_IN}{_any_of(QUANTILE_SIGNALS)})",
        "message": "goes with the signals ttft and itl only: remove it",
        "fieldPath": ".quantile",
    },
    {
        "rule": f"!({_SIGNAL_IN}{_any_of(QUANTILE_SIGNALS)}) || self.target.type == '{TargetType.VALUE}'",
        "message": "ttft and itl are one value over all pods: use type Value",
        "fieldPath": ".target.type",
    },
    {
        "rule": f"!({_SIGNAL_IN}{_any_of(FRACTION_SIGNALS)}) || self.target.type != '{TargetType.VALUE}'",
        "message": "kvCacheUsage and gpuUtilization are each pod's own share: use type PodsAverage",
        "fieldPath": ".target.type",
    },
    {
        "rule": f"!({_SIGNAL_IN}['{Signal.GATEWAY_QUEUE}'])"
        f" || self.target.type != '{TargetType.PODS_AVERAGE}'",
        "message": "gatewayQueue belongs to no pod: use type AverageValue or Value",
        "fieldPath": ".target.type",
    },
    *(
        CelRule(
            rule=f"!has(self.name) || !self.name.startsWith('{prefix}')",
            message=f"must not start with {prefix}, which guards use",
            fieldPath=".name",
        )
        for prefix in RESERVED_NAME_PREFIXES
    ),
)

_SCHEDULE: tuple[CelRule, ...] = (
    {
        "rule": "has(self.minReplicas) || has(self.maxReplicas)",
        "message": "sets neither minReplicas nor maxReplicas: set one or both",
    },
    {
        "rule": "!has(self.minReplicas) || !has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
        "message": "must be at most maxReplicas",
        "fieldPath": ".minReplicas",
    },
)

_SPEC: tuple[CelRule, ...] = (
    {
        "rule": "self.minReplicas <= self.maxReplicas",
        "message": "must be at most maxReplicas",
        "fieldPath": ".minReplicas",
    },
    {
        "rule": "self.schedules.all(s, has(s.maxReplicas) || !has(s.minReplicas)"
        " || s.minReplicas <= self.maxReplicas)",
        "message": "a schedule's minReplicas must be at most the spec's maxReplicas; or set maxReplicas too",
        "fieldPath": ".schedules",
    },
    {
        "rule": "self.schedules.all(s, has(s.minReplicas) || !has(s.maxReplicas)"
        " || s.maxReplicas >= self.minReplicas)",
        "message": "a schedule's maxReplicas must be at least the spec's minReplicas; or set minReplicas too",
        "fieldPath": ".schedules",
    },
    {
        "rule": f"!has(self.zeroRule) || self.semantics == '{Semantics.HPA}'",
        "message": "goes with semantics: HPA only: remove it, or set semantics",
        "fieldPath": ".zeroRule",
    },
    {
        "rule": "self.metrics.all(a, self.metrics.exists_one(b,"
        f" {_NAME.format('a')} == {_NAME.format('b')}))",
        "message": "two metrics have the same name: give each its own (default: the signal's, or query)",
        "fieldPath": ".metrics",
    },
    {
        "rule": f"self.metrics.exists(m, m.role != '{Role.GUARD}')",
        "message": "every metric is a Guard: at least one must have the role Driver",
        "fieldPath": ".metrics",
    },
)

CEL_RULES: dict[str, tuple[CelRule, ...]] = {
    "Target": _TARGET,
    "Metric": _METRIC,
    "Schedule": _SCHEDULE,
    "Spec": _SPEC,
}
"""By the name of the model that ``self`` is. Defaults are filled in before a rule is looked at."""


def quantity_rules(above: float | None, least: float | None, most: float | None) -> list[CelRule]:
    """The limits of a quantity: above one number, at least one, at most one; None is no limit.

    A schema can only limit those that are written as integers, and its pattern refuses what is no
    quantity.
    """
    limits = (
        (above, "isGreaterThan", "{}", "must be above {}"),
        (least, "isLessThan", "!{}", "must be at least {}"),
        (most, "isGreaterThan", "!{}", "must be at most {}"),
    )
    return [
        {
            "rule": "type(self) == int || !isQuantity(self) || "
            + form.format(f"quantity(self).{compare}(quantity('{limit}'))"),
            "message": message.format(limit),
        }
        for limit, compare, form, message in limits
        if limit is not None
    ]
