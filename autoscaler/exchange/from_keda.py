"""A KEDA ScaledObject as a ScalingPolicy: the same rules, since KEDA's HPA decides by them."""

from __future__ import annotations

from typing import Any

from autoscaler.exchange.documents import Source
from autoscaler.policy.models import API_VERSION
from autoscaler.policy.schedule import window_seconds

_FALLBACKS = {"static": "Static", "currentReplicasIfHigher": "CurrentReplicasIfHigher"}
_POLLING_SECONDS = 30
_LEFT_OUT = {
    "cooldownPeriod": "the last replica goes by scaleDown's rules like every other",
    "initialCooldownPeriod": "a start is protected by guards.pendingReplicas",
    "idleReplicaCount": "there is minReplicas only",
}


def policy_of_scaled_object(source: Source) -> dict[str, Any]:
    """The policy document; without metrics where none could be carried over."""
    spec, metadata = source.part("spec"), source.part("metadata")
    for field, why in _LEFT_OUT.items():
        if field in spec:
            source.remark(("spec", field), f"is not carried over: {why}")
    advanced = source.part("spec", "advanced")
    if "scalingModifiers" in advanced:
        path = ("spec", "advanced", "scalingModifiers")
        source.remark(path, "is not carried over: write the formula as one query")
    metrics, schedules = _triggers(source)
    config = source.part("spec", "advanced", "horizontalPodAutoscalerConfig")
    ref = {"apiVersion": "apps/v1", "kind": "Deployment", **source.part("spec", "scaleTargetRef")}
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata},
        "spec": {
            "scaleTargetRef": {key: ref[key] for key in ("apiVersion", "kind", "name") if key in ref},
            "minReplicas": spec.get("minReplicaCount", 0),
            "maxReplicas": spec.get("maxReplicaCount", 100),
            "semantics": "HPA",
            "metrics": metrics,
            **({"behavior": config["behavior"]} if "behavior" in config else {}),
            **_fallback(source),
            **({"schedules": schedules} if schedules else {}),
        },
    }


def _fallback(source: Source) -> dict[str, Any]:
    fallback = source.part("spec", "fallback")
    if not fallback:
        return {}
    behavior = str(fallback.get("behavior", "static"))
    if behavior not in _FALLBACKS:
        source.remark(("spec", "fallback", "behavior"), f"{behavior} is carried over as Static")
    polling = source.part("spec").get("pollingInterval", _POLLING_SECONDS)
    seconds = max(1, int(fallback.get("failureThreshold", 3)) * int(polling))
    kept = {"replicas": fallback.get("replicas"), "afterSeconds": seconds}
    return {"fallback": {**kept, "behavior": _FALLBACKS.get(behavior, "Static")}}


def _triggers(source: Source) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    metrics, schedules = [], []
    for index in source.items("spec", "triggers"):
        trigger = source.part("spec", "triggers", index)
        kind = trigger.get("type")
        if kind == "prometheus":
            metrics.append(_prometheus(source, index, trigger))
        elif kind == "cron":
            schedules += _cron(source, index)
        else:
            path = ("spec", "triggers", index)
            source.remark(path, f"a trigger of type {kind} is not carried over: write a query for it")
    return metrics, schedules


def _prometheus(source: Source, index: int, trigger: Any) -> dict[str, Any]:
    path = ("spec", "triggers", index, "metadata")
    metadata = source.part(*path)
    if str(metadata.get("activationThreshold", "0")) != "0":
        message = "is not carried over: any value above 0 proposes a replica"
        source.remark((*path, "activationThreshold"), message)
    if str(metadata.get("ignoreNullValues", "true")).lower() != "false":
        source.remark(path, "an empty or NaN answer was 0 to KEDA and holds the replicas here")
    if "serverAddress" in metadata:
        message = "is not carried over: the controller's --prometheus-url counts"
        source.remark((*path, "serverAddress"), message)
    kind = "Value" if trigger.get("metricType") == "Value" else "AverageValue"
    key = "value" if kind == "Value" else "averageValue"
    name = trigger.get("name") or f"query-{index}"
    return {
        "name": str(name)[:63],
        "query": metadata.get("query", ""),
        "target": {"type": kind, key: metadata.get("threshold", "")},
    }


def _cron(source: Source, index: int) -> list[dict[str, Any]]:
    path = ("spec", "triggers", index, "metadata")
    metadata = source.part(*path)
    start, end = str(metadata.get("start", "")), str(metadata.get("end", ""))
    zone = str(metadata.get("timezone", "Etc/UTC"))
    seconds = window_seconds(start, end, zone)
    if seconds is None:
        source.remark(path, "start and end are no window: not carried over")
        return []
    desired = int(metadata.get("desiredReplicas", 1))
    schedule = {"name": f"cron-{index}", "cron": start, "durationSeconds": seconds, "timeZone": zone}
    return [{**schedule, "minReplicas": desired}]
