"""A KEDA ScaledObject as a ScalingPolicy: the same rules, since KEDA's HPA decides by them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from autoscaler.api.models import API_VERSION
from autoscaler.exchange.keda_triggers import triggers
from autoscaler.exchange.source_documents import SourceDocument

_FALLBACKS = {"static": "Static", "currentReplicasIfHigher": "CurrentReplicasIfHigher"}
_HOLD = "currentReplicas"
"""KEDA's word for the behavior of every policy without a fallback."""
_POLLING_SECONDS = 30
_LEFT_OUT = {
    "cooldownPeriod": "the last replica goes by scaleDown's rules like every other",
    "initialCooldownPeriod": "a start is protected by guards.pendingReplicas",
    "idleReplicaCount": "there is minReplicas only",
}
_BOUNDS = {"minReplicas": "minReplicaCount", "maxReplicas": "maxReplicaCount"}
_BEHAVIOR = ("spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
_ANNOTATION = "autoscaling.keda.sh/"
_PAUSED, _PAUSED_AT = f"{_ANNOTATION}paused", f"{_ANNOTATION}paused-replicas"
_ONE_WAY = {f"{_ANNOTATION}paused-scale-in": "scaleDown", f"{_ANNOTATION}paused-scale-out": "scaleUp"}


def policy_of_scaled_object(source: SourceDocument) -> dict[str, Any]:
    """The policy document; without metrics where none could be carried over."""
    spec, metadata = source.part("spec"), source.part("metadata")
    _name_origins(source)
    for field, why in _LEFT_OUT.items():
        if field in spec:
            source.remark(("spec", field), f"is not carried over: {why}")
    _remark_advanced(source)
    metrics, schedules = triggers(source)
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
            **_mode(source),
            "metrics": metrics,
            **_behavior(source),
            **_fallback(source),
            **({"schedules": schedules} if schedules else {}),
        },
    }


def _name_origins(source: SourceDocument) -> None:
    source.words.update(_BOUNDS)
    source.origins |= {("spec", ours): ("spec", keda) for ours, keda in _BOUNDS.items()}
    source.origins["spec", "behavior"] = _BEHAVIOR
    source.origins["spec", "fallback", "afterSeconds"] = ("spec", "fallback", "failureThreshold")
    source.origins["spec", "metrics"] = ("spec", "triggers")


def _remark_advanced(source: SourceDocument) -> None:
    path = ("spec", "advanced")
    advanced = source.part(*path)
    if "scalingModifiers" in advanced:
        message = "is not carried over: KEDA decides by the formula alone, the policy by each trigger's own"
        source.remark((*path, "scalingModifiers"), f"{message} threshold: write the formula as one query")
    if advanced.get("restoreToOriginalReplicaCount") is True:
        message = "set it to false before you delete the ScaledObject, which else puts the replicas back"
        source.remark((*path, "restoreToOriginalReplicaCount"), message)


def _annotations(source: SourceDocument) -> Mapping[str, str]:
    found = source.part("metadata", "annotations")
    return {key: str(value) for key, value in found.items() if str(key).startswith(_ANNOTATION)}


def _is_on(annotations: Mapping[str, str], key: str) -> bool:
    return annotations.get(key, "false").lower() == "true"


def _mode(source: SourceDocument) -> dict[str, str]:
    """A pause is a pause. KEDA has set the replicas of ``paused-replicas`` already; here they stay."""
    annotations = _annotations(source)
    for key in sorted(annotations.keys() - {_PAUSED, _PAUSED_AT, *_ONE_WAY}):
        source.remark(("metadata", "annotations", key), "is not carried over")
    if _PAUSED_AT in annotations:
        message = (
            f"becomes mode: Paused: replicas stay as they are, {annotations[_PAUSED_AT]} where KEDA set them"
        )
        source.remark(("metadata", "annotations", _PAUSED_AT), message)
    elif not _is_on(annotations, _PAUSED):
        return {}
    return {"mode": "Paused"}


def _behavior(source: SourceDocument) -> dict[str, Any]:
    """As written; a pause in one direction is ``selectPolicy: Disabled``, as KEDA writes it in its HPA."""
    config = source.part(*_BEHAVIOR[:-1])
    annotations = _annotations(source)
    stopped = [side for key, side in _ONE_WAY.items() if _is_on(annotations, key)]
    if not stopped:
        return {"behavior": config["behavior"]} if "behavior" in config else {}
    disabled = {side: {**source.part(*_BEHAVIOR, side), "selectPolicy": "Disabled"} for side in stopped}
    return {"behavior": {**source.part(*_BEHAVIOR), **disabled}}


def _fallback(source: SourceDocument) -> dict[str, Any]:
    path = ("spec", "fallback")
    fallback = source.part(*path)
    behavior = str(fallback.get("behavior", "static"))
    if not fallback or behavior == _HOLD:
        return {}
    failures = source.whole((*path, "failureThreshold"), 3)
    polling = source.whole(("spec", "pollingInterval"), _POLLING_SECONDS)
    if failures is None or polling is None:
        return {}
    if behavior not in _FALLBACKS:
        source.remark((*path, "behavior"), f"{behavior} is carried over as Static")
    kept = {"replicas": fallback.get("replicas"), "afterSeconds": max(1, failures * polling)}
    return {"fallback": {**kept, "behavior": _FALLBACKS.get(behavior, "Static")}}
