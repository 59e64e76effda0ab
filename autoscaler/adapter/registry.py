"""The served metrics of the policies and of the exports, by the paths that ask for them. Pure."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from autoscaler.adapter.api_resources import MetricNames
from autoscaler.adapter.wire import CUSTOM, EXTERNAL, NAMESPACES, PODS, GroupResource
from autoscaler.api.models import Metric, ScaleTargetRef, Spec, Target, TargetType
from autoscaler.documents.exports import ExportedMetric, MetricExport
from autoscaler.metrics.readings import question
from autoscaler.ports.metrics import Question
from autoscaler.ports.policies import StoredPolicy
from autoscaler.ports.targets import TargetKey
from autoscaler.selectors import selector_text
from autoscaler.workload_kinds import plural_of

MAX_LISTED = 1000
"""The most metrics of a group that discovery lists; others are served all the same."""

_NAME = re.compile(r"[^/%\x00-\x20\x7f]{1,253}")


@dataclass(frozen=True, slots=True, eq=False)
class ServedMetric:
    """One metric under one name.

    ``resource`` is what it describes, None for an external metric; ``object`` the name of the one
    object, None for pods, each of which has a value. ``labels`` are what metric selectors choose by.
    ``whose`` are the pods: those of a scale target, or of a selector in text form. ``series``: how
    several series of one pod, or of the one value, become one.
    """

    namespace: str
    name: str
    resource: GroupResource | None
    object: str | None
    labels: tuple[tuple[str, str], ...]
    metric: Metric
    question: Question
    whose: TargetKey | str
    series: str
    max_age_seconds: float

    @property
    def place(self) -> tuple[str, str, str]:
        """The parts of a path: the namespace, the resource (empty for external metrics), the metric."""
        return self.namespace, self.resource.plural if self.resource else "", self.name

    @property
    def each_pod(self) -> bool:
        """True if every pod has a value of its own."""
        return self.resource is PODS


class MetricRegistry:
    """Every measure, found by the path that asks for it.

    ``problems`` says what cannot be served and why.
    """

    def __init__(self, measures: Iterable[ServedMetric], problems: Sequence[str] = ()) -> None:
        self.problems = list(problems)
        self._by_place: dict[tuple[str, str, str], list[ServedMetric]] = defaultdict(list)
        for measure in measures:
            self._add(measure)
        self.namespaces = frozenset(namespace for namespace, _, _ in self._by_place)

    def _add(self, measure: ServedMetric) -> None:
        others = self._by_place[measure.place]
        if any((other.object, other.labels) == (measure.object, measure.labels) for other in others):
            self.problems.append(
                f"{measure.namespace}: {measure.name} is served already: give one of them another name"
            )
        else:
            others.append(measure)

    def find(self, namespace: str, resource: str, metric: str) -> Sequence[ServedMetric]:
        """The measures of a name, which differ in labels or objects. ``resource``: empty for external."""
        return self._by_place.get((namespace, resource, metric), ())

    @property
    def measures(self) -> Iterator[ServedMetric]:
        """All of them."""
        for several in self._by_place.values():
            yield from several

    def names(self) -> MetricNames:
        """The metrics that discovery lists, by group."""
        names: dict[str, set[tuple[GroupResource | None, str]]] = {CUSTOM: set(), EXTERNAL: set()}
        for measure in self.measures:
            names[CUSTOM if measure.resource else EXTERNAL].add((measure.resource, measure.name))
        return {
            group: list(islice(sorted(found, key=lambda pair: (pair[1], str(pair[0]))), MAX_LISTED))
            for group, found in names.items()
        }


def build_registry(
    policies: Iterable[StoredPolicy],
    exports: Iterable[tuple[str, MetricExport]],
    queries_in: Collection[str] = (),
) -> MetricRegistry:
    """The metrics of policies and exports; each export comes with the namespace that it is served in.

    ``queries_in``: the namespaces whose policies may ask more than signals, which may read
    anything; ``*`` is all. Exports are the operator's own, and may.
    """
    measures: list[ServedMetric] = []
    problems: list[str] = []
    for stored in policies:
        for metric in stored.policy.spec.metrics:
            problem = _problem(stored.namespace, metric, queries_in)
            if problem:
                problems.append(f"{stored.namespace}/{stored.name}: {metric.name!r} {problem}")
            else:
                measures += _of_policy(stored, metric)
    for namespace, export in exports:
        selector = selector_text(export.spec.selector.requirements)
        for exported in export.spec.metrics:
            measures += _of_export(namespace, selector, exported)
    return MetricRegistry(measures, problems)


def _problem(namespace: str, metric: Metric, queries_in: Collection[str]) -> str:
    if not _NAME.fullmatch(metric.name):
        return "cannot stand in a URL: give the metric another name"
    if metric.signal is None and namespace not in queries_in and "*" not in queries_in:
        return f"is more than a signal, which is not allowed in {namespace}: see --allow-queries-in"
    return ""


def resource_of(ref: ScaleTargetRef) -> GroupResource:
    """A scale target as a resource in a path, e.g. ``deployments.apps``."""
    group = ref.api_version.rpartition("/")[0]
    plural = plural_of(ref.kind)
    return GroupResource(f"{plural}.{group}" if group else plural, ref.kind, ref.api_version)


def _of_policy(stored: StoredPolicy, metric: Metric) -> Iterator[ServedMetric]:
    """PodsAverage is a value for each pod; others are one value, of the target and external."""
    spec = stored.policy.spec
    target = TargetKey(stored.namespace, spec.scale_target_ref)
    if metric.target.type is TargetType.PODS_AVERAGE:
        yield _policy_measure(stored.namespace, spec, metric, target, PODS, None)
        return
    resource, labels = resource_of(target.ref), (("policy", stored.name),)
    yield _policy_measure(stored.namespace, spec, metric, target, resource, target.ref.name)
    yield _policy_measure(stored.namespace, spec, metric, target, None, None, labels)


def _policy_measure(
    namespace: str,
    spec: Spec,
    metric: Metric,
    target: TargetKey,
    resource: GroupResource | None,
    name: str | None,
    labels: tuple[tuple[str, str], ...] = (),
) -> ServedMetric:
    return ServedMetric(
        namespace=namespace,
        name=metric.name,
        resource=resource,
        object=name,
        labels=labels,
        metric=metric,
        question=question(metric),
        whose=target,
        series="Sum",  # as the engine does
        max_age_seconds=min(spec.max_age_seconds(metric), MAX_AGE_SECONDS),
    )


MAX_AGE_SECONDS = 300.0
"""The HPA looks at no timestamp, so that even ``semantics: HPA`` needs an end of what is served."""


def _of_export(namespace: str, selector: str, exported: ExportedMetric) -> Iterator[ServedMetric]:
    metric = _as_metric(exported)
    resource = {"Pods": PODS, "Namespace": NAMESPACES, "External": None}[exported.resource]
    for name in dict.fromkeys((exported.name, *exported.aliases)):
        yield ServedMetric(
            namespace=namespace,
            name=name,
            resource=resource,
            object=namespace if resource is NAMESPACES else None,
            labels=tuple(sorted(exported.labels.items())),
            metric=metric,
            question=question(metric),
            whose=selector,
            series=exported.series if exported.query else "Sum",
            max_age_seconds=float(exported.max_age_seconds),
        )


def _as_metric(exported: ExportedMetric) -> Metric:
    """The same as a policy's metric; the target only decides whether each pod has a value of its own."""
    if exported.resource == "Pods":
        target = Target(type=TargetType.PODS_AVERAGE, average_value=1)
    else:
        target = Target(type=TargetType.VALUE, value=1)
    return Metric(
        name="exported",
        signal=exported.signal,
        query=exported.query,
        quantile=exported.quantile,
        window_seconds=exported.window_seconds,
        target=target,
    )
