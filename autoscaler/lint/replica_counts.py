"""Warnings about bounds, behavior and fallback."""

from __future__ import annotations

from collections.abc import Iterator

from autoscaler.api.models import ZERO_REPLICA_SIGNALS, Metric, Role, SelectPolicy, Spec
from autoscaler.api.rules import At, FieldPath
from autoscaler.documents.promql_checks import vanishes_at_zero
from autoscaler.lint.rule import Rules

_SLOW_SCALE_UP_SECONDS = 120

rule = Rules[Spec]()


# 0 replicas


@rule(
    "stuck-at-zero",
    "scaleUp allows nothing from 0 replicas (a percentage of 0 is 0, selectPolicy Min takes the least, "
    "Disabled forbids all), so the policy stays there; add a policy of type Pods, with selectPolicy Max",
)
def _stuck_at_zero(spec: Spec) -> Iterator[At]:
    """0 replicas are allowed and scaleUp has only Percent policies, or a selectPolicy that allows nothing."""
    rules = spec.scale_up
    least_wins = rules.select_policy is SelectPolicy.MIN
    percent = [policy.type == "Percent" for policy in rules.policies]
    if all(percent) or (least_wins and any(percent)) or rules.select_policy is SelectPolicy.DISABLED:
        yield from map(At, _zero_places(spec))


@rule(
    "blind-at-zero",
    "every driver comes from the pods and vanishes with the last one, so nothing wakes the policy at 0 "
    "replicas; add gatewayQueue, or a query on a queue in front",
)
def _blind_at_zero(spec: Spec) -> Iterator[At]:
    """0 replicas are allowed and every driver comes from the pods."""
    if not any(_exists_at_zero(metric) for metric in spec.metrics if metric.role is Role.DRIVER):
        yield from map(At, _zero_places(spec))


def _zero_places(spec: Spec) -> Iterator[FieldPath]:
    """Where the policy allows 0 replicas."""
    if spec.min_replicas == 0:
        yield ("spec", "minReplicas")
    for index, schedule in enumerate(spec.schedules):
        if schedule.min_replicas == 0:
            yield ("spec", "schedules", index, "minReplicas")


def _exists_at_zero(metric: Metric) -> bool:
    if metric.query is not None:
        return not vanishes_at_zero(metric.query)
    return metric.signal in ZERO_REPLICA_SIGNALS


# Behavior


@rule(
    "no-down-stabilization",
    "0 removes replicas at every dip, and each takes minutes to start again; 300 or more suits LLMs",
)
def _no_down_stabilization(spec: Spec) -> Iterator[At]:
    """`scaleDown.stabilizationWindowSeconds` is 0."""
    down = spec.scale_down
    if down.stabilization_window_seconds == 0 and down.select_policy is not SelectPolicy.DISABLED:
        yield At(("spec", "behavior", "scaleDown", "stabilizationWindowSeconds"))


@rule(
    "slow-scale-up",
    "{window} s of waiting come on top of the minutes that a replica takes to start; 60 or less is better",
)
def _slow_scale_up(spec: Spec) -> Iterator[At]:
    """`scaleUp.stabilizationWindowSeconds` is above 120."""
    window = spec.scale_up.stabilization_window_seconds
    if window > _SLOW_SCALE_UP_SECONDS:
        yield At(("spec", "behavior", "scaleUp", "stabilizationWindowSeconds"), {"window": window})


@rule("scaling-disabled", "selectPolicy is Disabled in both directions, so this policy does nothing")
def _scaling_disabled(spec: Spec) -> Iterator[At]:
    """`selectPolicy` is `Disabled` both ways."""
    if all(rules.select_policy is SelectPolicy.DISABLED for rules in (spec.scale_up, spec.scale_down)):
        yield At(("spec", "behavior"))


@rule("fixed-replicas", "equals maxReplicas and there is no schedule, so this policy does nothing")
def _fixed_replicas(spec: Spec) -> Iterator[At]:
    """`minReplicas` equals `maxReplicas`, without schedules."""
    if spec.min_replicas == spec.max_replicas and not spec.schedules:
        yield At(("spec", "minReplicas"))


# Fallback


@rule("fallback-above-max", "{replicas} is above maxReplicas, so only {highest} will run")
def _fallback_above_max(spec: Spec) -> Iterator[At]:
    """`fallback.replicas` is above every `maxReplicas`."""
    highest = max([spec.max_replicas, *(window.max_replicas or 0 for window in spec.schedules)])
    if spec.fallback is not None and spec.fallback.replicas > highest:
        yield At(("spec", "fallback", "replicas"), {"replicas": spec.fallback.replicas, "highest": highest})


@rule("fallback-zero", "0 stops serving when monitoring fails; keep enough replicas for a usual day")
def _fallback_zero(spec: Spec) -> Iterator[At]:
    """`fallback` is `Static` with 0 replicas."""
    fallback = spec.fallback
    if fallback is not None and fallback.replicas == 0 and fallback.behavior == "Static":
        yield At(("spec", "fallback", "replicas"))
