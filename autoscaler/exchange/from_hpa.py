"""A HorizontalPodAutoscaler (autoscaling/v2) as a ScalingPolicy that decides as it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoscaler.api.models import API_VERSION
from autoscaler.api.rules import FieldPath
from autoscaler.exchange.metric_names import Meaning, bare_name, kind_of, meaning, prometheus_name, query
from autoscaler.exchange.source_documents import SourceDocument
from autoscaler.exchange.units import in_units_of_the_signal, suits, why_unsuited

METRICS_ANNOTATION = "vllm-autoscaler.io/metrics"
"""The annotation by ``autoscale hpa`` that defines an HPA's metrics, as JSON by name."""

_LABELS_OF = {"Service": "service", "Ingress": "ingress", "Namespace": "namespace"}
_POLICY_LABEL = "policy"
_RESOURCES = ("Resource", "ContainerResource")


def policy_of_hpa(source: SourceDocument) -> dict[str, Any] | None:
    """The policy document, without metrics where none could be carried over; None for an HPA of KEDA's."""
    spec, metadata = source.part("spec"), source.part("metadata")
    if _is_of_keda(source):
        source.remark(("metadata", "ownerReferences"), "is KEDA's: import its ScaledObject")
        return None
    if source.data.get("apiVersion") != "autoscaling/v2":
        source.remark(("apiVersion",), f"is read as autoscaling/v2, not {source.data.get('apiVersion')}")
    if spec.get("minReplicas") == 0:
        message = (
            "metrics are read at 0, as by Kubernetes 1.36; zeroRule: v1.37 takes the 0 of others for a pause"
        )
        source.remark(("spec", "minReplicas"), message)
    metrics = _metrics(source)
    kept = {key: spec[key] for key in ("scaleTargetRef", "minReplicas", "maxReplicas") if key in spec}
    behavior = {"behavior": spec["behavior"]} if "behavior" in spec else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata},
        "spec": {
            **kept,
            "semantics": "HPA",
            "metrics": _named(metrics),
            **behavior,
        },
    }


def _is_of_keda(source: SourceDocument) -> bool:
    path = ("metadata", "ownerReferences")
    return any(source.part(*path, index).get("kind") == "ScaledObject" for index in source.items(*path))


def _annotated(source: SourceDocument) -> Mapping[str, Mapping[str, Any]]:
    text = source.part("metadata", "annotations").get(METRICS_ANNOTATION, "{}")
    try:
        known = json.loads(text)
    except (ValueError, TypeError):
        source.remark(("metadata", "annotations"), f"{METRICS_ANNOTATION} is not JSON: ignored")
        return {}
    return known if isinstance(known, dict) else {}


def _metrics(source: SourceDocument) -> list[dict[str, Any]]:
    known, indices = _annotated(source), source.items("spec", "metrics")
    if not indices:
        source.remark(("spec",), "has no metrics, which means CPU to an HPA: not carried over")
    metrics: list[dict[str, Any]] = []
    for index in indices:
        metric = _metric(source, index, known)
        if metric is not None:
            field = str(source.part("spec", "metrics", index)["type"]).lower()
            source.origins["spec", "metrics", len(metrics)] = ("spec", "metrics", index, field)
            metrics.append(metric)
    return metrics


def _metric(
    source: SourceDocument, index: int, known: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    path: FieldPath = ("spec", "metrics", index)
    kind = str(source.part(*path).get("type", ""))
    if kind not in ("Pods", "Object", "External"):
        why = "no CPU or memory here" if kind in _RESOURCES else "an HPA has none"
        source.remark(path, f"a metric of type {kind or 'nothing'} is not carried over: {why}")
        return None
    field = kind.lower()
    name = source.part(*path, field, "metric").get("name")
    if not isinstance(name, str):
        source.remark((*path, field), f"names no metric of type {kind}: not carried over")
        return None
    target = _target(source, (*path, field, "target"), kind)
    if target is None:
        return None
    metric = _read(source, (*path, field), kind, name, target, known)
    return {**metric, "type": kind} if metric is not None and kind == "Object" else metric


def _read(
    source: SourceDocument,
    path: FieldPath,
    kind: str,
    name: str,
    target: dict[str, Any],
    known: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any] | None:
    """The metric of a policy; None, and a remark, where a policy cannot have it."""
    if isinstance(known.get(name), dict):
        return {"name": name, **known[name], "target": target}
    meant = meaning(name)
    if meant is not None and suits(meant, target):
        return _as_signal(source, path, meant, target)
    return _as_query(source, path, kind, name, target)


def _target(source: SourceDocument, path: FieldPath, kind: str) -> dict[str, Any] | None:
    target = source.part(*path)
    if "averageValue" in target:
        type_ = "PodsAverage" if kind == "Pods" else "AverageValue"
        return {"type": type_, "averageValue": target["averageValue"]}
    if "value" in target and kind != "Pods":
        return {"type": "Value", "value": target["value"]}
    source.remark(path, f"is not a target of a {kind} metric: not carried over")
    return None


def _as_signal(
    source: SourceDocument, path: FieldPath, meant: Meaning, target: dict[str, Any]
) -> dict[str, Any]:
    selector = source.part(*path, "metric", "selector")
    if set(_labels(selector)) - {_POLICY_LABEL} or selector.get("matchExpressions"):
        source.remark((*path, "metric", "selector"), f"is not carried over: {meant.signal} is of all series")
    return in_units_of_the_signal(source, path, meant, target)


def _labels(selector: Mapping[str, Any]) -> dict[str, str]:
    found = selector.get("matchLabels")
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def _as_query(
    source: SourceDocument, path: FieldPath, kind: str, name: str, target: dict[str, Any]
) -> dict[str, Any] | None:
    series, type_ = prometheus_name(name), kind_of(name)
    if series is None or type_ in ("histogram", "summary"):
        what = f"a {type_}" if series else "no name in PromQL"
        source.remark((*path, "metric", "name"), f"{name} is {what}: not carried over")
        return None
    labels = {} if ":" in series and "|" in name and bare_name(name) == name else _namespace(source)
    selector = source.part(*path, "metric", "selector")
    labels |= _labels(selector)
    if selector.get("matchExpressions"):
        message = "matchExpressions are not carried over: add them to the query"
        source.remark((*path, "metric", "selector"), message)
    if kind == "Object":
        labels |= _described(source, path)
    text = query(series, labels)
    if type_ == "counter":
        text = f"rate({text}[5m])"  # what the Stackdriver adapter makes of one
    if kind != "Pods":
        text = f"sum({text})"
    meant = meaning(name)
    why = why_unsuited(meant, target) if meant is not None else None
    message = f"stays a query, as {why}" if why else "is not a signal of the catalogue"
    source.remark((*path, "metric", "name"), f"{message}: check the query {text}")
    return {"name": bare_name(name)[:63], "query": text, "target": target}


def _namespace(source: SourceDocument) -> dict[str, str]:
    namespace = source.part("metadata").get("namespace")
    return {"namespace": str(namespace)} if namespace else {}


def _described(source: SourceDocument, path: FieldPath) -> dict[str, str]:
    described = source.part(*path, "describedObject")
    kind, name = str(described.get("kind", "")), str(described.get("name", ""))
    label = _LABELS_OF.get(kind, kind.lower())
    source.remark((*path, "describedObject"), f"which series are of {kind} {name} is a guess: {label}")
    return {label: name} if label else {}


def _named(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Names are unique here: the second of two gets a number."""
    seen: dict[str, int] = {}
    for metric in metrics:
        name = str(metric.get("name", metric.get("signal")))
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            metric["name"] = f"{name[:60]}-{seen[name]}"
    return metrics
