"""The triggers of a ScaledObject: ``prometheus`` as metrics, ``cron`` as schedules, others not at all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.api.rules import FieldPath
from autoscaler.api.schedule import window_seconds
from autoscaler.exchange.metric_names import signal_of_query
from autoscaler.exchange.source_documents import SourceDocument
from autoscaler.exchange.units import in_units_of_the_signal, suits

_KNOWN = {"query", "threshold", "metricName", "activationThreshold", "ignoreNullValues"}
_CONNECTION = {"serverAddress", "authModes", "unsafeSsl", "customHeaders", "timeout", "cortexOrgID"}
_OF_METRIC = {"query": "query", "target": "threshold"}
_OF_SCHEDULE = {
    "cron": "start",
    "durationSeconds": "end",
    "timeZone": "timezone",
    "minReplicas": "desiredReplicas",
}
_RESOURCES = ("cpu", "memory")


def triggers(source: SourceDocument) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The metrics and the schedules."""
    metrics: list[dict[str, Any]] = []
    schedules: list[dict[str, Any]] = []
    for index in source.items("spec", "triggers"):
        kind = source.part("spec", "triggers", index).get("type")
        if kind == "prometheus":
            _name_origins(source, ("spec", "metrics", len(metrics)), index, _OF_METRIC)
            metrics.append(_prometheus(source, index))
        elif kind == "cron":
            _name_origins(source, ("spec", "schedules", len(schedules)), index, _OF_SCHEDULE)
            schedules += _cron(source, index)
        else:
            why = "no CPU or memory here" if kind in _RESOURCES else "write a query for it"
            source.remark(("spec", "triggers", index), f"a trigger of type {kind} is not carried over: {why}")
    return metrics, schedules


def _name_origins(source: SourceDocument, place: FieldPath, index: int, fields: Mapping[str, str]) -> None:
    trigger: FieldPath = ("spec", "triggers", index)
    source.origins[place] = trigger
    source.origins |= {(*place, ours): (*trigger, "metadata", keda) for ours, keda in fields.items()}


def _prometheus(source: SourceDocument, index: int) -> dict[str, Any]:
    trigger = source.part("spec", "triggers", index)
    path: FieldPath = ("spec", "triggers", index, "metadata")
    metadata = source.part(*path)
    for key, message in _left_out(trigger, metadata):
        source.remark(
            (*path[:-1], "authenticationRef") if key == "authenticationRef" else (*path, key), message
        )
    if str(metadata.get("ignoreNullValues", "true")).lower() != "false":
        source.remark(path, "an empty or NaN answer was 0 to KEDA and holds the replicas here")
    kind = "Value" if trigger.get("metricType") == "Value" else "AverageValue"
    key = "value" if kind == "Value" else "averageValue"
    target = {"type": kind, **({key: metadata["threshold"]} if "threshold" in metadata else {})}
    text = metadata.get("query", "")
    meant = signal_of_query(text) if isinstance(text, str) else None
    if meant is not None and suits(meant, target):
        message = f"{text} becomes the signal {meant.signal}, which is of the target's own pods"
        source.remark((*path, "query"), message)
        return in_units_of_the_signal(source, (*path, "threshold"), meant, target)
    return {"name": str(trigger.get("name") or f"query-{index}")[:63], "query": text, "target": target}


def _left_out(trigger: Mapping[str, Any], metadata: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The fields that mean nothing here, and why."""
    if str(metadata.get("activationThreshold", "0")) != "0":
        yield "activationThreshold", "is not carried over: any value above 0 proposes a replica"
    where = "is not carried over: the controller's own options say where metrics are and how to log in"
    if "authenticationRef" in trigger:
        yield "authenticationRef", where
    for key in sorted(map(str, metadata.keys() - _KNOWN)):
        yield key, where if key in _CONNECTION else "is not carried over"


def _cron(source: SourceDocument, index: int) -> list[dict[str, Any]]:
    path = ("spec", "triggers", index, "metadata")
    metadata = source.part(*path)
    start, end = str(metadata.get("start", "")), str(metadata.get("end", ""))
    zone = str(metadata.get("timezone", "Etc/UTC"))
    seconds = window_seconds(start, end, zone)
    if seconds is None:
        source.remark(path, "start and end are not a window: not carried over")
        return []
    desired = source.whole((*path, "desiredReplicas"), 1)
    most = source.part("spec").get("maxReplicaCount", 100)
    if desired is None or not isinstance(most, int):
        return []
    if desired > most:
        source.remark(
            (*path, "desiredReplicas"), f"becomes {most}, which is maxReplicaCount, as for KEDA's HPA"
        )
    schedule = {"name": f"cron-{index}", "cron": start, "durationSeconds": seconds, "timeZone": zone}
    return [{**schedule, "minReplicas": min(desired, most)}]
