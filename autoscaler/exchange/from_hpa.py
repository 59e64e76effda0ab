"""A HorizontalPodAutoscaler (autoscaling/v2) as a ScalingPolicy that decides as it does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from autoscaler.exchange.documents import Source
from autoscaler.exchange.names import Meaning, bare_name, meaning, prometheus_name, query
from autoscaler.policy.models import API_VERSION
from autoscaler.policy.quantity import from_milli, parse_quantity
from autoscaler.policy.rules import FieldPath

METRICS_ANNOTATION = "vllm-autoscaler.io/metrics"
"""What ``autoscale hpa`` writes next to an HPA: what its metrics are, as JSON by name."""

_LABELS_OF = {"Service": "service", "Ingress": "ingress", "Namespace": "namespace"}
_POLICY_LABEL = "policy"


def policy_of_hpa(source: Source) -> dict[str, Any]:
    """The policy document; without metrics where none could be carried over."""
    spec, metadata = source.part("spec"), source.part("metadata")
    if source.data.get("apiVersion") != "autoscaling/v2":
        source.remark(("apiVersion",), f"is read as autoscaling/v2, not {source.data.get('apiVersion')}")
    known = _annotated(source)
    metrics = [_metric(source, index, known) for index in source.items("spec", "metrics")]
    if not metrics:
        source.remark(("spec",), "has no metrics, which means CPU to an HPA: not carried over")
    kept = {key: spec[key] for key in ("scaleTargetRef", "minReplicas", "maxReplicas") if key in spec}
    behavior = {"behavior": spec["behavior"]} if "behavior" in spec else {}
    return {
        "apiVersion": API_VERSION,
        "kind": "ScalingPolicy",
        "metadata": {key: metadata[key] for key in ("name", "namespace") if key in metadata},
        "spec": {
            **kept,
            "semantics": "HPA",
            "metrics": _named([metric for metric in metrics if metric is not None]),
            **behavior,
        },
    }


def _annotated(source: Source) -> Mapping[str, Mapping[str, Any]]:
    text = source.part("metadata", "annotations").get(METRICS_ANNOTATION, "{}")
    try:
        known = json.loads(text)
    except (ValueError, TypeError):
        source.remark(("metadata", "annotations"), f"{METRICS_ANNOTATION} is no JSON: ignored")
        return {}
    return known if isinstance(known, dict) else {}


def _metric(source: Source, index: int, known: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    path: FieldPath = ("spec", "metrics", index)
    kind = str(source.part(*path).get("type", ""))
    field = kind.lower()
    found = source.part(*path, field)
    name = source.part(*path, field, "metric").get("name")
    if kind not in ("Pods", "Object", "External") or not isinstance(name, str):
        message = f"a metric of type {kind or 'nothing'} is not carried over: no CPU or memory here"
        source.remark(path, message)
        return None
    target = _target(source, (*path, field, "target"), kind)
    if target is None:
        return None
    if name in known:
        return {"name": name, **known[name], "target": target}
    meant = meaning(name)
    if meant is not None:
        return _as_signal(source, (*path, field), meant, target)
    return _as_query(source, (*path, field), kind, name, target, found)


def _target(source: Source, path: FieldPath, kind: str) -> dict[str, Any] | None:
    target = source.part(*path)
    if "averageValue" in target:
        type_ = "PodsAverage" if kind == "Pods" else "AverageValue"
        return {"type": type_, "averageValue": target["averageValue"]}
    if "value" in target and kind != "Pods":
        return {"type": "Value", "value": target["value"]}
    source.remark(path, f"is no target of a {kind} metric: not carried over")
    return None


def _as_signal(source: Source, path: FieldPath, meant: Meaning, target: dict[str, Any]) -> dict[str, Any]:
    labels = source.part(*path, "metric", "selector", "matchLabels")
    if set(labels) - {_POLICY_LABEL}:
        source.remark((*path, "metric", "selector"), f"is not carried over: {meant.signal} is of all series")
    if meant.scale == 1:
        return {"signal": str(meant.signal), "target": target}
    message = f"{meant.signal} is {float(meant.scale):g} of the metric's unit: the target is converted"
    source.remark(path, message)
    key = "value" if "value" in target else "averageValue"
    milli = int(parse_quantity(target[key]) * meant.scale * 1000)
    return {"signal": str(meant.signal), "target": {**target, key: from_milli(milli)}}


def _as_query(
    source: Source,
    path: FieldPath,
    kind: str,
    name: str,
    target: dict[str, Any],
    found: Mapping[str, Any],
) -> dict[str, Any] | None:
    series = prometheus_name(name)
    if series is None:
        source.remark((*path, "metric", "name"), f"{name} is no name in PromQL: not carried over")
        return None
    labels = {} if ":" in series and "|" in name and bare_name(name) == name else _namespace(source)
    selector = source.part(*path, "metric", "selector")
    labels |= {str(key): str(value) for key, value in (selector.get("matchLabels") or {}).items()}
    if selector.get("matchExpressions"):
        message = "matchExpressions are not carried over: add them to the query"
        source.remark((*path, "metric", "selector"), message)
    if kind == "Object":
        labels |= _described(source, path, found.get("describedObject") or {})
    text = query(series, labels)
    if kind != "Pods":
        text = f"sum({text})"
    source.remark((*path, "metric", "name"), f"is no signal of the catalogue: check the query {text}")
    return {"name": bare_name(name)[:63], "query": text, "target": target}


def _namespace(source: Source) -> dict[str, str]:
    namespace = source.part("metadata").get("namespace")
    return {"namespace": str(namespace)} if namespace else {}


def _described(source: Source, path: FieldPath, described: Mapping[str, Any]) -> dict[str, str]:
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
