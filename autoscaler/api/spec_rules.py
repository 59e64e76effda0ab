"""The rules between the fields of a spec and of its schedules, and all rules over a whole document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.api.metric_rules import METRIC_RULES, TARGET_RULES, metric_name
from autoscaler.api.rules import At, Data, FieldPath, FieldRules, Say, below, entries, is_integer
from autoscaler.api.vocabulary import Role, Semantics

DEFAULT_MIN_REPLICAS = 1

SCHEDULE_RULES = FieldRules("Schedule")
SPEC_RULES = FieldRules("Spec")


# Bounds

_IN_ORDER = "self.minReplicas <= self.maxReplicas"
_ABOVE_MAX = "must be at most maxReplicas, which is {maxReplicas}; is {minReplicas}"
_ABOVE_ANY_MAX = "must be at most maxReplicas"


def _disordered(low: Any, high: Any) -> bool:
    return is_integer(low) and is_integer(high) and low > high


@SCHEDULE_RULES.breaks(
    says="sets neither minReplicas nor maxReplicas: set one or both",
    cel="has(self.minReplicas) || has(self.maxReplicas)",
)
def _without_bounds(schedule: Data) -> bool:
    return "minReplicas" not in schedule and "maxReplicas" not in schedule


@SCHEDULE_RULES.breaks(
    "minReplicas",
    says=_ABOVE_MAX,
    cel=f"!has(self.minReplicas) || !has(self.maxReplicas) || {_IN_ORDER}",
    cel_says=_ABOVE_ANY_MAX,
)
def _disordered_schedule(schedule: Data) -> bool:
    return _disordered(schedule.get("minReplicas"), schedule.get("maxReplicas"))


@SPEC_RULES.breaks("minReplicas", says=_ABOVE_MAX, cel=_IN_ORDER, cel_says=_ABOVE_ANY_MAX)
def _disordered_spec(spec: Data) -> bool:
    return _disordered(spec.get("minReplicas"), spec.get("maxReplicas"))


@SPEC_RULES.finds(
    "schedules",
    says="must be at most the spec's maxReplicas {most}, is {least}; or set maxReplicas too",
    cel="self.schedules.all(s, has(s.maxReplicas) || !has(s.minReplicas)"
    " || s.minReplicas <= self.maxReplicas)",
    cel_says="a schedule's minReplicas must be at most the spec's maxReplicas; or set maxReplicas too",
)
def _schedule_above_the_spec(spec: Data) -> Iterator[At]:
    most = spec.get("maxReplicas")
    for index, schedule in entries(spec, "schedules"):
        least = schedule.get("minReplicas")
        if schedule.get("maxReplicas") is None and _disordered(least, most):
            yield At(("schedules", index, "minReplicas"), {"least": least, "most": most})


@SPEC_RULES.finds(
    "schedules",
    says="must be at least the spec's minReplicas {least}, is {most}; or set minReplicas too",
    cel="self.schedules.all(s, has(s.minReplicas) || !has(s.maxReplicas)"
    " || s.maxReplicas >= self.minReplicas)",
    cel_says="a schedule's maxReplicas must be at least the spec's minReplicas; or set minReplicas too",
)
def _schedule_below_the_spec(spec: Data) -> Iterator[At]:
    least = spec.get("minReplicas", DEFAULT_MIN_REPLICAS)
    for index, schedule in entries(spec, "schedules"):
        most = schedule.get("maxReplicas")
        if schedule.get("minReplicas") is None and _disordered(least, most):
            yield At(("schedules", index, "maxReplicas"), {"least": least, "most": most})


# Semantics, names and roles


@SPEC_RULES.breaks(
    "zeroRule",
    says="goes with semantics: HPA only: remove it, or set semantics",
    cel=f"!has(self.zeroRule) || self.semantics == '{Semantics.HPA}'",
)
def _zero_rule_of_llm(spec: Data) -> bool:
    return "zeroRule" in spec and spec.get("semantics") != Semantics.HPA


_CEL_NAME = (
    "(has({0}.name) ? {0}.name : has({0}.signal) ? {0}.signal"
    " : has({0}.cloudMonitoring) ? 'cloudMonitoring' : 'query')"
)
_REPEATED = 'is "{name}" as in {first}: give each its own name'


@SPEC_RULES.finds(
    "metrics",
    says=_REPEATED,
    cel="self.metrics.all(a, self.metrics.exists_one(b,"
    f" {_CEL_NAME.format('a')} == {_CEL_NAME.format('b')}))",
    cel_says="two metrics have the same name: give each its own (default: the signal's, or query)",
)
def _repeated_metric(spec: Data) -> Iterator[At]:
    names = {index: metric_name(metric) for index, metric in entries(spec, "metrics")}
    yield from _repeated("metrics", names)


@SPEC_RULES.finds("schedules", says=_REPEATED)  # the API server merges schedules by their names
def _repeated_schedule(spec: Data) -> Iterator[At]:
    names = {index: schedule.get("name") for index, schedule in entries(spec, "schedules")}
    yield from _repeated("schedules", names)


def _repeated(field: str, names: dict[int, Any]) -> Iterator[At]:
    seen: dict[str, int] = {}
    for index, name in names.items():
        if isinstance(name, str) and seen.setdefault(name, index) != index:
            yield At((field, index, "name"), {"name": name, "first": f"{field}[{seen[name]}]"})


@SPEC_RULES.breaks(
    "metrics",
    says="every metric is a Guard: at least one must have the role Driver",
    cel=f"self.metrics.exists(m, m.role != '{Role.GUARD}')",
)
def _no_driver(spec: Data) -> bool:
    metrics = entries(spec, "metrics")
    return bool(metrics) and all(metric.get("role") == Role.GUARD for _, metric in metrics)


# Documents


def check_document(document: Data, say: Say) -> None:
    """Reports what every rule finds in a whole policy."""
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    SPEC_RULES.check(spec, below(("spec",), say))
    for index, metric in entries(spec, "metrics"):
        path: FieldPath = ("spec", "metrics", index)
        METRIC_RULES.check(metric, below(path, say))
        if isinstance(metric.get("target"), Mapping):
            TARGET_RULES.check(metric["target"], below((*path, "target"), say))
    for index, schedule in entries(spec, "schedules"):
        SCHEDULE_RULES.check(schedule, below(("spec", "schedules", index), say))
