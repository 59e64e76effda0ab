"""MetricExport: metrics that are served to others, such as a HorizontalPodAutoscaler, under any name.

A ScalingPolicy's own metrics are served without one. An export gives names that existing HPAs
already ask for, and serves what no policy uses.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, ValidationError, model_validator

from autoscaler.api import models
from autoscaler.api.fields import ApiModel, Int
from autoscaler.api.models import API_VERSION, LLM_MAX_AGE_SECONDS, Metadata, Signal
from autoscaler.api.rules import Say
from autoscaler.api.schema import DIALECT, model_schema
from autoscaler.documents.document_checks import Report, check_head, read_file, say_model_errors
from autoscaler.documents.export_rules import EXPORT_SPEC_RULES, EXPORTED_METRIC_RULES, check_export
from autoscaler.documents.yaml_source import Node, read_documents
from autoscaler.errors import Diagnostic, PolicyError
from autoscaler.selectors import Requirements, selector_of

KIND = "MetricExport"
_START = f"an export begins with apiVersion: {API_VERSION} and kind: {KIND}"

MetricName = Annotated[
    str,
    StringConstraints(
        min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_:]([-A-Za-z0-9_.:|+]*[A-Za-z0-9_])?$"
    ),
]
"""The characters allowed in a URL's path after escaping, ``prometheus.googleapis.com|up|gauge`` included."""


class SelectorExpression(ApiModel):
    """One of a LabelSelector's matchExpressions."""

    key: str
    """The label."""
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    """The comparison of the label."""
    values: tuple[str, ...] = ()
    """For `In` and `NotIn`."""


class LabelSelector(ApiModel):
    """Kubernetes' LabelSelector. It must name at least one label."""

    match_labels: dict[str, str] = Field(default_factory=dict)
    """Labels and their values."""
    match_expressions: tuple[SelectorExpression, ...] = ()
    """Other conditions."""

    @property
    def requirements(self) -> Requirements:
        """The same for matching."""
        return selector_of(self.model_dump(mode="json", by_alias=True))


class ExportedMetric(ApiModel):
    """One metric: its definition, and the names that it is served under."""

    name: MetricName
    """The name that clients ask for, e.g. `num_requests_waiting`."""
    aliases: Annotated[tuple[MetricName, ...], Field(max_length=8)] = ()
    """Further names of the same metric, e.g. `prometheus.googleapis.com|vllm:num_requests_waiting|gauge`."""
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
    """Labels for metric selectors, e.g. `model: llama`. They never reach the query."""
    max_age_seconds: Annotated[Int, Field(ge=1, le=86400)] = LLM_MAX_AGE_SECONDS
    """A sample older than this is absent."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(EXPORTED_METRIC_RULES)


class ExportSpec(ApiModel):
    """The pods, and their metrics."""

    selector: LabelSelector
    """The pods. Values of others, and of pods that are gone, are not served."""
    metrics: Annotated[tuple[ExportedMetric, ...], Field(min_length=1, max_length=256)]
    """The metrics that are served."""

    @model_validator(mode="after")
    def _rules(self) -> Self:
        return self.enforce(EXPORT_SPEC_RULES)


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


# Loading


@dataclass(frozen=True, slots=True)
class LoadedExport:
    """An export and where it was written."""

    export: MetricExport
    file: str
    line: int


def is_export(raw: bytes) -> bool:
    """True if a text names the kind of exports, and not that of policies."""
    kinds = set(re.findall(rb"(?m)^kind:\s*[\"']?(\w+)", raw))
    return KIND.encode() in kinds and b"ScalingPolicy" not in kinds


def load_exports(path: Path) -> tuple[LoadedExport, ...]:
    """Every export of a YAML file. Raises ``PolicyError`` with all problems in file order."""
    return load_export_text(read_file(path), str(path))


def load_export_text(text: str | bytes, file: str) -> tuple[LoadedExport, ...]:
    """Every export of a YAML text; ``file`` names it in messages. Raises ``PolicyError``."""
    documents, problems = read_documents(text, file)
    if not documents and not problems:
        problems.append(Diagnostic(file, None, "", f"holds no export: {_START}"))
    loaded: list[LoadedExport] = []
    for root in documents:
        report = Report(file, root)
        export = _check(root, report.say)
        problems += report.found
        if export is not None:
            loaded.append(LoadedExport(export, file, root.line))
    if problems:
        raise PolicyError(sorted(problems, key=lambda problem: problem.line or 0))
    return tuple(loaded)


def _check(root: Node, say: Say) -> MetricExport | None:
    """One document's export; reports everything that is wrong with it."""
    if root.refused:
        return None
    if not isinstance(root.data, dict):
        say((), f"is not a mapping: {_START}")
        return None
    check_head(root.data, KIND, say)
    check_export(root.data, say)
    try:
        return MetricExport.model_validate(root.data, by_alias=True, by_name=False)
    except ValidationError as error:
        say_model_errors(error, export_schema(), say)
        return None
