"""Questions about signals as PromQL: one query for all workloads of some namespaces. Pure.

A query answers with values and with the samples' own times, which an instant query otherwise
hides, told apart by a label: Managed Prometheus has no staleness, so a value may be minutes old.
Nothing here is beyond the PromQL of Prometheus 2.42, and metric names are matched
exactly, as Managed Prometheus (2.44) asks for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from autoscaler.policy.models import Signal
from autoscaler.signals import CATALOGUE, Kind, Reduction, SignalInfo, Source

PART = "autoscaler_part"
"""The label of the series that are times, which values lack: of each pod, that of its oldest sample."""
EXPORTER = "exporter"
"""Its value for the time of an exporter, which may have no series of the metric yet."""
TIME = "time"
"""Its value; where a signal has several sources, the others' times are ``time 1`` and so on."""

MAX_NAMESPACES_CHARACTERS = 4096
"""How long the alternative of namespaces in one selector may become; DCGM's query holds 8 of them."""

_AGGREGATION = {Reduction.SUM: "sum", Reduction.MEAN: "avg", Reduction.QUANTILE: "sum"}
_SELECTOR = re.compile(
    r"""\s*[a-zA-Z_:][\w:]*\s*(\{(?:[^{}"'`\#]|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')*\}\s*)?""", re.ASCII
)
"""A metric with or without matchers, and nothing else."""
_REGEX_SPECIAL = frozenset(r"\.+*?()|[]{}^$")


@dataclass(frozen=True, slots=True)
class Area:
    """What of a source belongs to this cluster; None where a label need not match.

    Managed Prometheus sets all three labels and answers for every cluster in the project's
    metrics scope.
    """

    cluster: str | None = None
    location: str | None = None
    project: str | None = None


def render(signal: Signal, window_seconds: int, area: Area, namespaces: Collection[str]) -> tuple[str, ...]:
    """The queries that together answer for ``namespaces``; one unless the names are very many."""
    info = CATALOGUE[signal]
    return tuple(_query(info, window_seconds, area, chunk) for chunk in _chunks(sorted(set(namespaces))))


def render_query(query: str) -> str:
    """A query of a policy, as it is; of a bare selector the samples' own times are asked as well."""
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
    values = [_value(info, source, window, area, namespaces) for source in info.sources]
    parts = [" + ".join(values)]
    for index, source in enumerate(info.sources):
        parts.append(_timed(_time(source, area, namespaces), f"{TIME} {index}" if index else TIME))
        if source.alongside:
            parts.append(_timed(_exporters(source, area, namespaces), EXPORTER))
    return "\nor ".join(parts)


def _timed(expression: str, name: str) -> str:
    return f'label_replace({expression}, "{PART}", "{name}", "", "")'


def _value(info: SignalInfo, source: Source, window: int, area: Area, namespaces: str) -> str:
    def take(selector: str) -> str:
        return selector if source.kind is Kind.GAUGE else f"rate({selector}[{window}s])"

    suffix = "_bucket" if source.kind is Kind.HISTOGRAM else ""
    found = _by_pod(source, area, namespaces, _AGGREGATION[info.series], suffix, take)
    return found if source.scale == 1.0 else f"{source.scale:g} * {found}"


def _time(source: Source, area: Area, namespaces: str) -> str:
    suffix = "_count" if source.kind is Kind.HISTOGRAM else ""
    return _by_pod(source, area, namespaces, "min", suffix, lambda selector: f"timestamp({selector})")


def _exporters(source: Source, area: Area, namespaces: str) -> str:
    """When each exporter's other series are of; a target that is up is there whatever it exports."""
    ((grouping, matchers),) = _layouts(source, area, namespaces)
    labels = ("namespace", "pod")
    ours = [f"{name}{{{matchers}}}" for name in source.alongside]
    up = f"up{{{matchers}, pod=~{text(source.exporters)}}}"
    found = [grouping("min", labels, f"timestamp({selector})") for selector in (*ours, up)]
    found[-1] += f" and on (namespace, pod) ({grouping('min', labels, up)} == 1)"
    return f"({' or on (namespace, pod) '.join(found)})"


def _by_pod(
    source: Source,
    area: Area,
    namespaces: str,
    operator: str,
    suffix: str,
    take: Callable[[str], str],
) -> str:
    """One expression over all of a source's names and layouts; for each pod the first that has it."""
    labels = ("namespace", "pod", "le") if suffix == "_bucket" else ("namespace", "pod")
    found = [
        grouping(operator, labels, take(f"{name}{suffix}{{{matchers}}}"))
        for name in source.names
        for grouping, matchers in _layouts(source, area, namespaces)
    ]
    return found[0] if len(found) == 1 else f"({' or on (namespace, pod) '.join(found)})"


_Grouping = Callable[[str, tuple[str, ...], str], str]


def _layouts(source: Source, area: Area, namespaces: str) -> Iterator[tuple[_Grouping, str]]:
    """How to group a source's series by the pod they are about, and which series those are."""
    scope = [
        f"{label}={text(value)}"
        for label, value in (
            ("cluster", area.cluster),
            ("location", area.location),
            ("project_id", area.project),
        )
        if value is not None
    ]
    if not source.about_other_pods:
        yield _plainly, ", ".join([*scope, f"namespace{namespaces}"])
        return
    yield _exported, ", ".join([*scope, f"exported_namespace{namespaces}", 'exported_pod!=""'])
    yield _plainly, ", ".join([*scope, f"namespace{namespaces}", 'exported_pod=""'])


def _plainly(operator: str, labels: tuple[str, ...], series: str) -> str:
    return f"{operator} by ({', '.join(labels)}) ({series})"


def _exported(operator: str, labels: tuple[str, ...], series: str) -> str:
    """Grouped by the ``exported_`` labels first: two exporters may tell of the same pod."""
    found = _plainly(operator, tuple(f"exported_{label}" for label in labels), series)
    for label in labels:
        found = f'label_replace({found}, "{label}", "$1", "exported_{label}", "(.*)")'
    return _plainly("sum", labels, found)
