"""The rules between the fields of a MetricExport."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.api.metric_rules import BELONGS_TO_NO_POD, OWN_SHARE, quantile_of_no_latency
from autoscaler.api.rules import At, Data, FieldRules, Say, below, entries
from autoscaler.api.vocabulary import CLUSTER_SIGNALS, FRACTION_SIGNALS
from autoscaler.selectors import selector_of

EXPORTED_METRIC_RULES = FieldRules("ExportedMetric")
EXPORT_SPEC_RULES = FieldRules("ExportSpec")


# Metrics


@EXPORTED_METRIC_RULES.breaks(says="signal and query are both missing: set one of them")
def _no_source(metric: Data) -> bool:
    return "signal" not in metric and "query" not in metric


@EXPORTED_METRIC_RULES.breaks("query", says="signal and query are both set: keep one")
def _two_sources(metric: Data) -> bool:
    return "signal" in metric and "query" in metric


EXPORTED_METRIC_RULES.add(quantile_of_no_latency)


@EXPORTED_METRIC_RULES.breaks(
    "series", says="goes with a query only, the catalogue says how a signal is reduced: remove it"
)
def _series_of_a_signal(metric: Data) -> bool:
    return "signal" in metric and metric.get("series", "Single") != "Single"


@EXPORTED_METRIC_RULES.breaks("resource", says=f"{BELONGS_TO_NO_POD}: set resource to Namespace or External")
def _cluster_signal_of_pods(metric: Data) -> bool:
    return metric.get("signal") in tuple(CLUSTER_SIGNALS) and metric.get("resource", "Pods") == "Pods"


@EXPORTED_METRIC_RULES.breaks("resource", says=f"{OWN_SHARE}: set resource to Pods")
def _one_share(metric: Data) -> bool:
    return metric.get("signal") in tuple(FRACTION_SIGNALS) and metric.get("resource", "Pods") != "Pods"


# Selectors and names


@EXPORT_SPEC_RULES.breaks("selector", says="names no label: set matchLabels or matchExpressions")
def _empty_selector(spec: Data) -> bool:
    selector = spec.get("selector")
    return isinstance(selector, Mapping) and not (
        selector.get("matchLabels") or selector.get("matchExpressions")
    )


@EXPORT_SPEC_RULES.finds("selector", says="is not a label selector: {error}")
def _unreadable_selector(spec: Data) -> Iterator[At]:
    selector = spec.get("selector")
    try:
        selector_of(selector if isinstance(selector, Mapping) else {})
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        yield At(("selector",), {"error": error})


@EXPORT_SPEC_RULES.finds("metrics", says='"{name}" is served by metrics[{first}] already')
def _served_twice(spec: Data) -> Iterator[At]:
    seen: dict[tuple[Any, ...], int] = {}
    for index, metric in entries(spec, "metrics"):
        aliases = metric.get("aliases")
        for name in (metric.get("name"), *(aliases if isinstance(aliases, list) else ())):
            key = (name, str(metric.get("resource", "Pods")), str(metric.get("labels")))
            if isinstance(name, str) and seen.setdefault(key, index) != index:
                yield At(("metrics", index, "name"), {"name": name, "first": seen[key]})


# Documents


def check_export(document: Data, say: Say) -> None:
    """Reports what every rule finds in a whole export."""
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        return
    EXPORT_SPEC_RULES.check(spec, below(("spec",), say))
    for index, metric in entries(spec, "metrics"):
        EXPORTED_METRIC_RULES.check(metric, below(("spec", "metrics", index), say))
