"""The meaning of each server's notes beside an answer: data is missing, or not. Pure.

The table is in docs/metrics.md too, and a test holds the two equal. A note that is not in it means
that something may be missing: an answer that counts as complete may scale down, a partial one never does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

PARTIAL, REMARK = "may be partial", "is whole"


@dataclass(frozen=True, slots=True)
class ServerNote:
    """One kind of note.

    ``field``: where the answer has it. ``begins``: how its text begins, empty for any other text.
    ``meaning``: of the answer. ``source``: an issue or a page that says so.
    """

    servers: str
    field: str
    begins: str
    meaning: str
    source: str


_ENGINE = "Prometheus 2.48 and later, and what has its engine: Thanos, Mimir, Cortex"
_TIME_SERIES = "cloud.google.com/monitoring/api/ref_v3/rest/v3/ListTimeSeriesResponse"

NOTES = (
    ServerNote(_ENGINE, "warnings", "PromQL info", REMARK, "prometheus/prometheus#14135"),
    ServerNote(_ENGINE, "warnings", "PromQL warning", REMARK, "prometheus/prometheus#12152"),
    ServerNote("Prometheus 2.54 and later, 3", "infos", "", REMARK, "prometheus/prometheus#14327"),
    ServerNote("Prometheus: a remote read failed", "warnings", "", PARTIAL, "prometheus/prometheus#10839"),
    ServerNote("Thanos: a store is away", "warnings", "", PARTIAL, "thanos-io/thanos#3418"),
    ServerNote(
        "Cortex that allows partial data",
        "warnings",
        "Query result may contain partial data",
        PARTIAL,
        "cortexproject/cortex#6526",
    ),
    ServerNote(
        "Mimir, which fails rather than answer in part", "warnings", "", PARTIAL, "grafana/mimir#8990"
    ),
    ServerNote(
        "VictoriaMetrics cluster: a vmstorage is away",
        "isPartial",
        "true",
        PARTIAL,
        "VictoriaMetrics/VictoriaMetrics#4721",
    ),
    ServerNote(
        "Managed Service for Prometheus, which documents none",
        "warnings",
        "",
        PARTIAL,
        "cloud.google.com/stackdriver/docs/managed-prometheus/query#http-api-details",
    ),
    ServerNote("Cloud Monitoring: a part failed", "executionErrors", "", PARTIAL, _TIME_SERIES),
    ServerNote("Cloud Monitoring: a region is away", "unreachable", "", PARTIAL, _TIME_SERIES),
)
"""Every note that is known."""

_REMARKS = tuple((note.field, note.begins) for note in NOTES if note.meaning == REMARK)


@dataclass(frozen=True, slots=True)
class Said:
    """The notes of a server beside its answer.

    ``missing``: the notes by which something may be missing. ``remarks``: the others.
    """

    missing: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


def said(answer: Mapping[str, Any]) -> Said:
    """The notes of an answer of Prometheus' query API, as its JSON has them; another form is none."""
    missing: list[str] = []
    remarks: list[str] = []
    for field in ("warnings", "infos"):
        for text in _texts(answer.get(field)):
            (remarks if _is_remark(field, text) else missing).append(text)
    if answer.get("isPartial"):
        missing.append("isPartial: a part of the storage did not answer")
    return Said(tuple(missing), tuple(remarks))


def cloud_said(execution_errors: Iterable[Any], unreachable: Iterable[str]) -> tuple[str, ...]:
    """The notes of a page of Cloud Monitoring's time series; all of them mean missing data."""
    errors = (status.message or "a part of the data is missing" for status in execution_errors)
    return (*errors, *(f"{region} was unreachable" for region in unreachable))


def _is_remark(field: str, text: str) -> bool:
    return any(field == known and text.startswith(begins) for known, begins in _REMARKS)


def _texts(notes: Any) -> list[str]:
    return [str(note) for note in notes] if isinstance(notes, list) else []
