"""Questions to the sources of metrics, and their answers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Protocol, TypeAlias

from autoscaler.api.models import CloudMonitoring, Signal


@dataclass(frozen=True, slots=True)
class SignalQuestion:
    """A signal of the catalogue.

    ``window_seconds``: the window of rates and histograms; 0 for gauges, so that equal questions are equal.
    """

    signal: Signal
    window_seconds: int = 0


@dataclass(frozen=True, slots=True)
class PromqlQuestion:
    """A query of a policy or an export. Its windows are in its text."""

    query: str
    window_seconds: ClassVar[int] = 0


@dataclass(frozen=True, slots=True)
class CloudQuestion:
    """Time series of Cloud Monitoring. ``window_seconds``: the alignment's; 0 for series as they are."""

    cloud: CloudMonitoring
    window_seconds: int = 0


Question: TypeAlias = SignalQuestion | PromqlQuestion | CloudQuestion
"""One thing to ask of a source, for all workloads at once; equal questions are asked once."""


@dataclass(frozen=True, slots=True)
class Point:
    """One value, of one pod where it belongs to one, at its own time and in the signal's unit."""

    value: float
    timestamp: float
    namespace: str | None = None
    pod: str | None = None


@dataclass(frozen=True, slots=True)
class Buckets:
    """One pod's histogram over the window: cumulative rates by upper bound, ascending, +Inf last."""

    bounds: tuple[float, ...]
    rates: tuple[float, ...]
    timestamp: float
    namespace: str
    pod: str


@dataclass(frozen=True)
class Answer:
    """A source's answer to a question.

    ``exporters``: the pods that export a metric, at the time of their oldest series of any metric, where
    the metric itself may have no series yet. ``unrated``: the pods, as namespace and name, whose counter
    is there and has no rate yet. ``error``: nothing could be read, and why. ``warnings``: the server
    itself says that something may be missing, so the answer is partial. ``outage``: why nothing could be
    read this time; then all this is what was read before, and partial as well. ``remarks``: what else the
    server says, e.g. of the query.
    """

    points: tuple[Point, ...] = ()
    buckets: tuple[Buckets, ...] = ()
    exporters: tuple[Point, ...] = ()
    unrated: frozenset[tuple[str, str]] = frozenset()
    error: str | None = None
    warnings: tuple[str, ...] = ()
    outage: str | None = None
    remarks: tuple[str, ...] = ()

    @cached_property
    def in_namespace(self) -> Mapping[str | None, Mapping[str | None, Sequence[Point]]]:
        """The points by namespace and by pod: one answer is read by a thousand policies."""
        found: dict[str | None, dict[str | None, list[Point]]] = {}
        for point in self.points:
            found.setdefault(point.namespace, {}).setdefault(point.pod, []).append(point)
        return found

    @cached_property
    def histograms(self) -> Mapping[tuple[str, str], Buckets]:
        """The buckets by namespace and pod."""
        return {(one.namespace, one.pod): one for one in self.buckets}


class MetricSource(Protocol):
    """A place that metrics are read from."""

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question, within the source's own deadline; failures are answers too.

        ``namespaces``: where the workloads are. Signals never reach beyond them.
        """
