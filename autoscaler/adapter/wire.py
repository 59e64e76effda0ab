"""Answers of the metrics APIs, in their own JSON. Pure: values in, bytes out.

Shapes: ``k8s.io/metrics`` ``pkg/apis/{custom_metrics,external_metrics}``, ``metav1.Status``. The
items are put together as text, because there may be ten thousand of them at every refresh.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from autoscaler.api.quantity import from_milli
from autoscaler.decision.sample_filter import to_milli
from autoscaler.timestamps import to_rfc3339

CUSTOM = "custom.metrics.k8s.io"
EXTERNAL = "external.metrics.k8s.io"
VERSIONS: dict[str, tuple[str, ...]] = {CUSTOM: ("v1beta2", "v1beta1"), EXTERNAL: ("v1beta1",)}
"""The versions of each group, the preferred one first."""
LIST_KINDS = {CUSTOM: "MetricValueList", EXTERNAL: "ExternalMetricValueList"}

Selector = Mapping[str, object]
Item = Callable[[str, float, float], str]
"""(name of the object, value, timestamp) -> one item's JSON."""


@dataclass(frozen=True, slots=True)
class GroupResource:
    """The kind of object that a metric describes. ``plural`` is qualified as in ``deployments.apps``."""

    plural: str
    kind: str
    api_version: str
    namespaced: bool = True


PODS = GroupResource("pods", "Pod", "/v1")
NAMESPACES = GroupResource("namespaces", "Namespace", "/v1", namespaced=False)


def custom_item(
    version: str,
    resource: GroupResource,
    namespace: str,
    metric: str,
    window_seconds: int,
    selector: Selector | None = None,
) -> Item:
    """How items of one metric look in one version of custom.metrics.k8s.io.

    v1beta1 says ``metricName`` and ``window``, v1beta2 ``metric`` and ``windowSeconds``. A window
    of 0 is that of a gauge, as the API has it.
    """
    where = f'"namespace":{_text(namespace)},' if resource.namespaced else ""
    head = f'{{"describedObject":{{"kind":{_text(resource.kind)},{where}"name":'
    chosen = json.dumps(selector, separators=(",", ":"))
    if version == "v1beta1":
        metric_part = f'"metricName":{_text(metric)},'
        tail = f'"window":{window_seconds},"selector":{chosen}}}'
    else:
        metric_part = f'"metric":{{"name":{_text(metric)},"selector":{chosen}}},'
        tail = f'"windowSeconds":{window_seconds}}}'
    middle = f',"apiVersion":{_text(resource.api_version)}}},{metric_part}"timestamp":"'
    return _item(head, middle, tail)


def external_item(metric: str, labels: Mapping[str, str], window_seconds: int) -> Item:
    """How items of one metric look in external.metrics.k8s.io/v1beta1; they name no object."""
    shown = json.dumps(dict(sorted(labels.items())), separators=(",", ":"))
    head = f'{{"metricName":{_text(metric)},"metricLabels":{shown},"timestamp":"'
    tail = f'"window":{window_seconds}}}'
    return lambda _name, value, at: f'{head}{_time(at)}","value":"{quantity(value)}",{tail}'


def _item(head: str, middle: str, tail: str) -> Item:
    def one(name: str, value: float, at: float) -> str:
        return f'{head}{_text(name)}{middle}{_time(at)}","value":"{quantity(value)}",{tail}'

    return one


def value_list(group: str, version: str, items: Iterable[str]) -> bytes:
    """The list that both APIs answer with, for one item and for all."""
    kind = LIST_KINDS[group]
    head = f'{{"kind":"{kind}","apiVersion":"{group}/{version}","metadata":{{}},"items":['
    return f"{head}{','.join(items)}]}}".encode()


def quantity(value: float) -> str:
    """A finite value as a quantity in whole milli units, rounded up: ``"4"``, ``"850m"``."""
    return from_milli(to_milli(value))


def status(code: int, reason: str, message: str) -> bytes:
    """An error as a metav1.Status, which is what clients of Kubernetes expect."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": code,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _text(text: str) -> str:
    return json.dumps(text)


_TIMES: dict[int, str] = {}
_MAX_TIMES = 1024


def _time(at: float) -> str:
    """Whole seconds, cut: the API carries no fraction, and no sample is made younger than it is."""
    second = int(at // 1)
    known = _TIMES.get(second)
    if known is None:
        if len(_TIMES) >= _MAX_TIMES:
            _TIMES.clear()
        known = _TIMES[second] = to_rfc3339(second)
    return known
