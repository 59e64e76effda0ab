"""Questions about signals as PromQL: one query for all workloads of some namespaces. Pure.

A query answers with values and with the samples' own times, which an instant query otherwise
hides, distinguished by a label: Managed Prometheus has no staleness, so a value may be minutes old.
A pod may be scraped twice, and counts once; ``sources.vectors`` combines its series.
Nothing here is beyond the PromQL of Prometheus 2.42, and metric names are matched
exactly, as Managed Prometheus (2.44) asks for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from autoscaler.api.signals import Kind, Reduction, Signal, SignalInfo, SignalSource

PART = "autoscaler_part"
"""The label of the series that are not values, which values lack."""
EXPORTER = "exporter"
"""Its value for the time of an exporter, which may have no series of the metric yet."""
TIME = "time"
"""Its value for times: of each pod, that of its oldest sample. Where a signal has several sources, the
others' times are ``time 1`` and so on."""
OUTSIDE = "outside"
"""Its value for values that cannot be, which a sum would hide; ``outside 1`` and so on likewise."""

MAX_NAMESPACES_CHARACTERS = 4096
"""How long the alternative of namespaces in one selector may become; DCGM's query holds 8 of them."""

_SELECTOR = re.compile(
    r"""\s*[a-zA-Z_:][\w:]*\s*(\{(?:[^{}"'`\#]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*\}\s*)?""", re.ASCII
)
"""A metric with or without matchers, and nothing else."""
_REGEX_SPECIAL = frozenset(r"\.+*?()|[]{}^$")


SCRAPE_LABELS = (
    "job",
    "instance",
    "service",
    "endpoint",
    "container",
    "prometheus",
    "prometheus_replica",
    "replica",
    "receive_replica",
    "__replica__",
)
"""Labels of a scrape, an operator, or one of several equal servers: two scrapes of a pod differ in them."""


@dataclass(frozen=True, slots=True)
class Area:
    """The part of a source that belongs to this cluster; None where a label need not match.

    Managed Prometheus sets all three labels and answers for every cluster in the project's
    metrics scope.
    """

    cluster: str | None = None
    location: str | None = None
    project: str | None = None


def render(signal: Signal, window_seconds: int, area: Area, namespaces: Collection[str]) -> tuple[str, ...]:
    """The queries that together answer for ``namespaces``; one unless the names are very many."""
    return tuple(
        _query(signal.info, window_seconds, area, chunk) for chunk in _chunks(sorted(set(namespaces)))
    )


def render_query(query: str) -> str:
    """A query of a policy, as it is; a bare selector also asks for the samples' own times."""
    if not _SELECTOR.fullmatch(query):
        return query
    return f"{query}\nor {_timed(f'timestamp({query})', TIME)}"


def text(value: str) -> str:
    """``value`` as a PromQL string, quotes included."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _chunks(names: list[str]) -> Iterator[str]:
    """Matchers' right-hand sides (operator and string) for as many names each as fit."""
    chunk: list[str] = []
    length = 0
    for name in names:
        if chunk and length + len(name) >= MAX_NAMESPACES_CHARACTERS:
            yield _one_of(chunk)
            chunk, length = [], 0
        chunk.append(name)
        length += len(name) + 1
    if chunk:
        yield _one_of(chunk)


def _one_of(names: list[str]) -> str:
    if len(names) == 1:
        return f"={text(names[0])}"
    literal = ("".join(f"\\{char}" if char in _REGEX_SPECIAL else char for char in name) for name in names)
    return f"=~{text('|'.join(literal))}"


def _query(info: SignalInfo, window: int, area: Area, namespaces: str) -> str:
    asked = _Asked(info, window, area, namespaces)
    parts = [" + ".join(asked.values(source) for source in info.sources)]
    for index, source in enumerate(info.sources):
        parts.append(_timed(asked.times(source), f"{TIME} {index}" if index else TIME))
        if len(info.sources) > 1:
            parts.append(_timed(asked.negatives(source), f"{OUTSIDE} {index}" if index else OUTSIDE))
        if source.alongside:
            parts.append(_timed(asked.exporters(source), EXPORTER))
    return "\nor ".join(parts)


def _timed(expression: str, name: str) -> str:
    return f'label_replace({expression}, "{PART}", "{name}", "", "")'


_Levels = tuple[tuple[str, tuple[str, ...]], ...]
"""Aggregations from the innermost outwards: an operator, and the labels that it keeps beside the pod's."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """One signal, and its namespaces."""

    info: SignalInfo
    window: int
    area: Area
    namespaces: str

    def values(self, source: SignalSource) -> str:
        """Each series of the exporter once, however often it is scraped.

        Series of one scrape are added up, for a version may have labels that are not known here; of
        several scrapes the larger counts. Shares of one GPU or engine are never added. Where sources
        are added up, or there are buckets, the series of a pod are added up here already.
        """
        own = source.labels
        levels: _Levels = (("max", own),)
        if source.kind is Kind.HISTOGRAM:
            own = ("le", *own)
            levels = (("sum", (*own, *SCRAPE_LABELS)), ("max", own), ("sum", ("le",)))
        elif self.info.series is Reduction.SUM:
            levels = (("sum", (*own, *SCRAPE_LABELS)), *levels)
        if len(self.info.sources) > 1:
            levels = (*levels, ("sum", ()))
        suffix = "_bucket" if source.kind is Kind.HISTOGRAM else ""
        rate = "" if source.kind is Kind.GAUGE else f"[{self.window}s]"
        found = self._by_pod(source, suffix, f"rate({{}}{rate})" if rate else "{}", levels)
        return found if source.scale == 1.0 else f"{source.scale:g} * {found}"

    def times(self, source: SignalSource) -> str:
        """The time of each pod's oldest sample."""
        suffix = "_count" if source.kind is Kind.HISTOGRAM else ""
        return self._by_pod(source, suffix, "timestamp({})", (("min", ()),))

    def negatives(self, source: SignalSource) -> str:
        """The lowest of a pod's values that are below 0, which the sum of several sources would hide."""
        return self._by_pod(source, "", "{} < 0", (("min", ()),))

    def exporters(self, source: SignalSource) -> str:
        """When each exporter's other series are of; a target that is up exists whatever it exports."""
        ((_, matchers),) = self._layouts(source)
        lowest: _Levels = (("min", ()),)
        ours = [f"{name}{{{matchers}}}" for name in source.alongside]
        up = f"up{{{matchers}, pod=~{text(source.exporters)}}}"
        found = [_grouped(f"timestamp({selector})", "", lowest) for selector in (*ours, up)]
        found[-1] += f" and on (namespace, pod) ({_grouped(up, '', lowest)} == 1)"
        return f"({' or on (namespace, pod) '.join(found)})"

    def _by_pod(self, source: SignalSource, suffix: str, of: str, levels: _Levels) -> str:
        """One expression over all of a source's names and layouts; for each pod the first that has it."""
        found = [
            _grouped(of.format(f"{name}{suffix}{{{matchers}}}"), prefix, levels)
            for name in source.names
            for prefix, matchers in self._layouts(source)
        ]
        return found[0] if len(found) == 1 else f"({' or on (namespace, pod) '.join(found)})"

    def _layouts(self, source: SignalSource) -> Iterator[tuple[str, str]]:
        """The prefix of the labels that name a series' pod, and the matchers of those series."""
        scope = [
            f"{label}={text(value)}"
            for label, value in (
                ("cluster", self.area.cluster),
                ("location", self.area.location),
                ("project_id", self.area.project),
            )
            if value is not None
        ]
        if not source.about_other_pods:
            yield "", ", ".join([*scope, f"namespace{self.namespaces}"])
            return
        yield "exported_", ", ".join([*scope, f"exported_namespace{self.namespaces}", 'exported_pod!=""'])
        yield "", ", ".join([*scope, f"namespace{self.namespaces}", 'exported_pod=""'])


def _grouped(series: str, prefix: str, levels: _Levels) -> str:
    """Aggregated by the pod first, and only then named by it: two exporters may report on the same pod."""
    pod = tuple(f"{prefix}{label}" for label in ("namespace", "pod"))
    for operator, labels in levels:
        series = f"{operator} by ({', '.join((*pod, *labels))}) ({series})"
    for label in ("namespace", "pod") if prefix else ():
        series = f'label_replace({series}, "{label}", "$1", "{prefix}{label}", "(.*)")'
    return series
