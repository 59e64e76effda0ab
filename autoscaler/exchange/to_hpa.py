"""A ScalingPolicy as a HorizontalPodAutoscaler, for teams that let the HPA decide."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from autoscaler.api.models import EffectiveRules, Metric, Mode, Role, Semantics, Spec, TargetType
from autoscaler.api.quantity import from_milli
from autoscaler.exchange.from_hpa import METRICS_ANNOTATION
from autoscaler.ports.policies import StoredPolicy


@dataclass(frozen=True, slots=True)
class Written:
    """An HPA, and the parts of the policy that it cannot express."""

    hpa: dict[str, Any]
    remarks: tuple[str, ...]


def hpa_of_policy(stored: StoredPolicy, external: bool) -> Written:
    """The HPA that reads the policy's metrics from our adapter.

    ``external``: values without pods as External metrics; otherwise as Object metrics of the
    target, for clusters in which another server has external.metrics.k8s.io. A metric that names
    its ``type`` keeps it.
    """
    spec = stored.policy.spec
    drivers = [metric for metric in spec.metrics if metric.role is Role.DRIVER]
    metadata: dict[str, Any] = {"name": stored.name}
    if stored.policy.metadata.namespace is not None:
        metadata["namespace"] = stored.policy.metadata.namespace
    metadata["annotations"] = {METRICS_ANNOTATION: json.dumps({one.name: _what(one) for one in drivers})}
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata,
        "spec": {
            "scaleTargetRef": spec.scale_target_ref.model_dump(mode="json", by_alias=True),
            "minReplicas": spec.min_replicas,
            "maxReplicas": spec.max_replicas,
            "metrics": [_metric(stored, metric, external) for metric in drivers],
            **_behavior(spec),
        },
    }
    return Written(hpa, tuple(_remarks(stored.namespace, spec)))


def _what(metric: Metric) -> dict[str, Any]:
    """The definition of a metric, from which reading the HPA again makes the same one."""
    fields = {"signal", "query", "cloud_monitoring", "quantile", "window_seconds"}
    return metric.model_dump(mode="json", by_alias=True, include=fields, exclude_defaults=True)


def _metric(stored: StoredPolicy, metric: Metric, external: bool) -> dict[str, Any]:
    target = metric.target
    quantity = from_milli(target.milli)
    if target.type is TargetType.PODS_AVERAGE:
        pods = {"metric": {"name": metric.name}, "target": {"type": "AverageValue", "averageValue": quantity}}
        return {"type": "Pods", "pods": pods}
    key = "value" if target.type is TargetType.VALUE else "averageValue"
    shown = {"type": str(target.type), key: quantity}
    if metric.type == "External" or (external and metric.type is None):
        selector = {"matchLabels": {"policy": stored.name}}
        return {
            "type": "External",
            "external": {"metric": {"name": metric.name, "selector": selector}, "target": shown},
        }
    described = stored.policy.spec.scale_target_ref.model_dump(mode="json", by_alias=True)
    named = {"describedObject": described, "metric": {"name": metric.name}, "target": shown}
    return {"type": "Object", "object": named}


def _behavior(spec: Spec) -> dict[str, Any]:
    """As written; an absent one means the defaults of a present one with ``semantics: LLM``."""
    if spec.behavior is not None:
        return {"behavior": spec.behavior.model_dump(mode="json", by_alias=True, exclude_none=True)}
    if spec.semantics is Semantics.HPA:
        return {}
    return {"behavior": {"scaleUp": _rules(spec.scale_up), "scaleDown": _rules(spec.scale_down)}}


def _rules(rules: EffectiveRules) -> dict[str, Any]:
    return {
        "stabilizationWindowSeconds": rules.stabilization_window_seconds,
        "selectPolicy": str(rules.select_policy),
        "policies": [rule.model_dump(mode="json", by_alias=True) for rule in rules.policies],
    }


def _remarks(namespace: str, spec: Spec) -> Iterator[str]:
    if spec.semantics is Semantics.LLM:
        yield "semantics: LLM: an HPA has no guards; pending replicas and missing data can scale it down"
    for name, given in (("fallback", spec.fallback), ("schedules", spec.schedules)):
        if given:
            yield f"{name}: an HPA has none"
    if spec.mode is not Mode.ACTIVE:
        yield f"mode: {spec.mode}: an HPA always acts"
    if spec.freeze != "None":
        yield f"freeze: {spec.freeze}: write selectPolicy: Disabled for that direction"
    if spec.min_replicas == 0:
        needs = (
            "needs Kubernetes 1.37, or the gate HPAScaleToZero before it, and an Object or External metric"
        )
        yield f"minReplicas: 0 {needs}; since 1.37 a 0 that is not the HPA's own is a pause"
    sides = (spec.behavior.scale_up, spec.behavior.scale_down) if spec.behavior else ()
    if any(rules is not None and rules.tolerance is not None for rules in sides):
        yield "behavior.*.tolerance needs Kubernetes 1.33 with the gate HPAConfigurableTolerance, or 1.35"
    for metric in spec.metrics:
        for remark in _metric_remarks(namespace, metric):
            yield f"metrics: {metric.name}: {remark}"


def _metric_remarks(namespace: str, metric: Metric) -> Iterator[str]:
    if metric.role is Role.GUARD:
        yield "an HPA has no Guards"
        return
    if metric.signal is None:
        yield f"is not a signal: the adapter needs --allow-queries-in {namespace}"
    if metric.missing_data is not None:
        yield "missingData: an HPA has its own rule, which is Conservative"
