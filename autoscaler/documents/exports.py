"""MetricExport: metrics that are served to others, such as a HorizontalPodAutoscaler, under any name.

A ScalingPolicy's own metrics are served without one. An export gives names that existing HPAs
already ask for, and serves what no policy uses.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from autoscaler.api import models
from autoscaler.api.fields import ApiModel, Int
from autoscaler.api.models import API_VERSION, LLM_MAX_AGE_SECONDS, Metadata, Signal
from autoscaler.api.rules import Fault
from autoscaler.api.schema import DIALECT, model_schema
from autoscaler.api.vocabulary import CLUSTER_SIGNALS, FRACTION_SIGNALS, QUANTILE_SIGNALS
from autoscaler.documents.document_checks import head_faults, model_faults, problem_at, read_file
from autoscaler.documents.yaml_source import Node, read_documents
from autoscaler.errors import PolicyError, Problem
from autoscaler.selectors import Requirements, selector_of

KIND = "MetricExport"
_START = f"an export begins with apiVersion: {API_VERSION} and kind: {KIND}"

MetricName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_:]([-A-Za-z0-9_.:|+]*[A-Za-z0-9_])?$"
    ),
]
"""What may stand in a URL's path after escaping, ``prometheus.googleapis.com|up|gauge`` included."""


class SelectorExpression(ApiModel):
    """One of a LabelSelector's matchExpressions."""

    key: str
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """How the label is compared."""
    values: tuple[str, ...] = ()
    """For `In` and `NotIn`."""


class LabelSelector(ApiModel):
    """Kubernetes' LabelSelector. It must choose by at least one label."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels and their values."""
    match_expressions: tuple[SelectorExpression, ...] = ()
    """Other conditions."""

    @property
    def requirements(self) -> Requirements:
        """The same for matching."""
        return selector_of(self.model_dump(mode="json", by_alias=True))


class ExportedMetric(ApiModel):
    """One metric: what it is, and under which names it is served."""

    name: MetricName
    """What clients ask for, e.g. `num_requests_waiting`."""
    aliases: Annotated[tuple[MetricName, ...], Field(max_length=8)] = ()
    """Further names of the same, e.g. `prometheus.googleapis.com|vllm:num_requests_waiting|gauge`."""
    signal: Signal | None = None
    """A signal of the catalogue. Exactly one of `signal` and `query` is set."""
    query: Annotated[str, StringConstraints(min_length=1, max_length=8192)] | None = None
    """PromQL. With `resource: Pods` it must keep the `pod` label, and `namespace` if it has several."""
    quantile: Annotated[float, Field(strict=True, gt=0.0, lt=1.0)] | None = None
    """For `ttft` and `itl`: which quantile. Default 0.95."""
    window_seconds: Annotated[Int, Field(ge=15, le=3600)] = 60
    """For rates and quantiles: the window they are taken over."""
    resource: Literal["Pods", "Namespace", "External"] = "Pods"
    """`Pods`: a value for each pod (an HPA's Pods metric). `Namespace`: one value that describes the
    namespace (an HPA's Object metric). `External`: one value without an object."""
    series: Literal["Single", "Sum", "Mean", "Max", "Min"] = "Single"
    """With `query`: how several series of one pod, or of the one value, become one. `Single`: they
    do not, and the value is absent. For signals the catalogue says."""
    labels: dict[str, str] = Field(default_factory=dict)
    """What metric selectors choose by, e.g. `model: llama`. They never reach the query."""
    max_age_seconds: Annotated[Int, Field(ge=1, le=86400)] = LLM_MAX_AGE_SECONDS
    """A sample older than this is absent."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(metric_faults)


class ExportSpec(ApiModel):
    """Whose metrics, and which."""

    selector: LabelSelector
    """The pods. Values of others, and of pods that are gone, are not served."""
    metrics: Annotated[tuple[ExportedMetric, ...], Field(min_length=1, max_length=256)]
    """What is served."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(spec_faults)


class MetricExport(ApiModel):
    """Metrics of some pods, under names of your choice."""

    api_version: Literal["vllm-autoscaler.io/v1alpha1"]
    """Always `vllm-autoscaler.io/v1alpha1`."""
    kind: Literal["MetricExport"]
    """Always `MetricExport`."""
    metadata: Metadata
    """The export's name, and the namespace that its metrics are served in."""
    spec: ExportSpec
    """The export itself."""


@cache
def export_schema() -> dict[str, Any]:
    """The JSON Schema of a MetricExport."""
    return {"$schema": DIALECT, **model_schema(MetricExport, models, sys.modules[__name__])}


def export_schema_text() -> str:
    """The schema for editors."""
    return json.dumps(export_schema(), indent=2, ensure_ascii=False) + "\n"


# Rules between fields, over plain data


def metric_faults(metric: Mapping[str, Any]) -> Iterator[Fault]:
    """A metric is a signal or a query, and of a resource that it can describe."""
    signal, resource = metric.get("signal"), metric.get("resource", "Pods")
    if ("signal" in metric) is ("query" in metric):
        given = "are both set: keep one" if "signal" in metric else "are both missing: set one of them"
        yield ("query",) if "query" in metric else (), f"signal and query {given}"
    if "quantile" in metric and signal not in tuple(QUANTILE_SIGNALS):
        yield ("quantile",), "goes with the signals ttft and itl only: remove it"
    if "signal" in metric and metric.get("series", "Single") != "Single":
        yield ("series",), "goes with a query only, the catalogue says how a signal is reduced: remove it"
    if signal in tuple(CLUSTER_SIGNALS) and resource == "Pods":
        yield ("resource",), f"{signal} belongs to no pod: set resource to Namespace or External"
    if signal in tuple(FRACTION_SIGNALS) and resource != "Pods":
        yield ("resource",), f"{signal} is each pod's own share: set resource to Pods"


def spec_faults(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """The selector chooses something, and no name is used twice for the same thing."""
    yield from _selector_faults(spec.get("selector"))
    seen: dict[tuple[Any, ...], int] = {}
    metrics = spec.get("metrics")
    for index, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        if not isinstance(metric, Mapping):
            continue
        aliases = metric.get("aliases") or []
        for name in (metric.get("name"), *(aliases if isinstance(aliases, list) else ())):
            key = (name, metric.get("resource", "Pods"), str(metric.get("labels")))
            if isinstance(name, str) and seen.setdefault(key, index) != index:
                yield ("metrics", index, "name"), f'"{name}" is served by metrics[{seen[key]}] already'


def _selector_faults(selector: Any) -> Iterator[Fault]:
    if not isinstance(selector, Mapping):
        return
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        yield ("selector",), "chooses by no label: set matchLabels or matchExpressions"
    try:
        selector_of(selector)
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        yield ("selector",), f"is no label selector: {error}"


def _document_faults(document: Mapping[str, Any]) -> Iterator[Fault]:
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    for path, message in spec_faults(spec):
        yield ("spec", *path), message
    metrics = spec.get("metrics")
    for index, metric in enumerate(metrics if isinstance(metrics, list) else ()):
        if isinstance(metric, Mapping):
            for path, message in metric_faults(metric):
                yield ("spec", "metrics", index, *path), message


# Loading


@dataclass(frozen=True, slots=True)
class LoadedExport:
    """An export and where it was written."""

    export: MetricExport
    file: str
    line: int


def is_export(raw: bytes) -> bool:
    """Whether a text means to be exports: it names their kind, and not that of policies."""
    kinds = set(re.findall(rb"(?m)^kind:\s*[\"']?(\w+)", raw))
    return KIND.encode() in kinds and b"ScalingPolicy" not in kinds


def load_exports(path: Path) -> tuple[LoadedExport, ...]:
    """Every export of a YAML file. Raises ``PolicyError`` with all problems in file order."""
    return load_export_text(read_file(path), str(path))


def load_export_text(text: str | bytes, file: str) -> tuple[LoadedExport, ...]:
    """Every export of a YAML text; ``file`` names it in messages. Raises ``PolicyError``."""
    documents, problems = read_documents(text, file)
    if not documents and not problems:
        problems.append(Problem(file, None, "", f"holds no export: {_START}"))
    loaded: list[LoadedExport] = []
    for root in documents:
        export, faults = _check(root)
        problems += [problem_at(file, root, fault) for fault in faults if not root.is_refused(fault[0])]
        if export is not None:
            loaded.append(LoadedExport(export, file, root.line))
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: problem.line or 0))
    return tuple(loaded)


def _check(root: Node) -> tuple[MetricExport | None, list[Fault]]:
    if root.refused:
        return None, []
    if not isinstance(root.data, dict):
        return None, [((), f"is no mapping: {_START}")]
    faults = [*head_faults(root.data, KIND), *_document_faults(root.data)]
    try:
        return MetricExport.model_validate(root.data, by_alias=True, by_name=False), faults
    except ValidationError as error:
        return None, [*faults, *model_faults(error, export_schema())]
