"""The names that HPAs ask for, and their meaning here: a signal of the catalogue, or PromQL. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from autoscaler.api.signals import Kind, Signal

_MANAGED = re.compile(r"prometheus\.googleapis\.com\|(.+)\|(gauge|counter|histogram|summary|unknown)")
_CLOUD = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+)\|(.+)")
_PROMETHEUS = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.ASCII)
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*", re.ASCII)
_SELECTOR = r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{[^{}]*\})?"
_SUM = re.compile(rf"sum\s*\(\s*{_SELECTOR}\s*\)|{_SELECTOR}", re.ASCII)
_EITHER = re.compile(r"\s+or\s+|\s*\+\s*")
_PREFIXES = ("metric.labels.", "resource.labels.", "metadata.user_labels.")


@dataclass(frozen=True, slots=True)
class Meaning:
    """A signal, and the factor from the metric's unit to the signal's."""

    signal: Signal
    scale: Fraction = Fraction(1)


def bare_name(name: str) -> str:
    """The metric's own name, without Cloud Monitoring's words around it."""
    match = _MANAGED.fullmatch(name)
    return match[1] if match else name


def meaning(name: str) -> Meaning | None:
    """The signal of a metric's name; None where the catalogue has none."""
    return _MEANINGS.get(bare_name(name))


def signal_of_query(text: str) -> Meaning | None:
    """The signal that a query adds up, such as ``sum(vllm:num_requests_waiting{namespace="a"})``.

    Several names of one metric are one as well, also where the query adds them up: a renamed metric is
    there under both for a while. None for any other query. The matchers are not looked at: a signal is
    of the target's own pods.
    """
    matches = [_SUM.fullmatch(part) for part in _EITHER.split(text.strip())]
    names = [match[1] or match[2] for match in matches if match]
    if len(set(names)) < len(matches):  # another query, or other matchers of one name
        return None
    meanings = {_SERIES.get(name) for name in names}
    return meanings.pop() if len(meanings) == 1 else None


def _series() -> dict[str, Meaning]:
    """Gauges of vLLM and DCGM. A counter or a histogram itself is not a signal: its rate or quantile is."""
    return {
        name: Meaning(signal, Fraction(str(source.scale)))
        for signal in Signal
        if len(signal.info.sources) == 1
        for source in signal.info.sources
        if source.kind is Kind.GAUGE
        for name in source.names
    }


_SERIES = _series()
_MEANINGS = {
    **{str(signal): Meaning(signal) for signal in Signal},
    **_SERIES,
    **{name.removeprefix("vllm:"): meant for name, meant in _SERIES.items()},
}


def kind_of(name: str) -> str:
    """The kind in a name of Cloud Monitoring, e.g. ``counter``; empty where the name has none."""
    match = _MANAGED.fullmatch(name)
    return match[2] if match else ""


def prometheus_name(name: str) -> str | None:
    """The name of a metric in PromQL; None for a name that PromQL cannot have.

    Managed Service for Prometheus calls ``pubsub.googleapis.com|subscription|age`` of Cloud
    Monitoring ``pubsub_googleapis_com:subscription_age``.
    """
    bare = bare_name(name)
    match = _CLOUD.fullmatch(bare)
    if match:
        bare = re.sub(r"\W", "_", match[1]) + ":" + re.sub(r"\W", "_", match[2])
    return bare if _PROMETHEUS.fullmatch(bare) else None


def query(name: str, labels: Mapping[str, str]) -> str:
    """The series of a metric with these labels. Values are escaped, whatever they are."""
    matchers = ",".join(f"{_label(key)}={json.dumps(value)}" for key, value in labels.items())
    return f"{name}{{{matchers}}}" if matchers else name


def _label(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    return key if _LABEL.fullmatch(key) else re.sub(r"\W", "_", key)
