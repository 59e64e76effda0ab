"""A parsed request -> the body that answers it, or the refusal that a Kubernetes client understands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from autoscaler.adapter import api_resources as discovery
from autoscaler.adapter import openapi
from autoscaler.adapter.api_resources import Document
from autoscaler.adapter.metric_cache import CachedList, MetricCache
from autoscaler.adapter.registry import MetricRegistry, ServedMetric
from autoscaler.adapter.requests import (
    ALL,
    ApiRequest,
    CustomMetricRequest,
    DiscoveryRequest,
    ExternalMetricRequest,
    OpenApiRequest,
)
from autoscaler.adapter.wire import CUSTOM, EXTERNAL, PODS, VERSIONS, value_list
from autoscaler.errors import ClusterError, TargetError
from autoscaler.selectors import Requirements, matches, parse_selector, selector_text


class RefusedError(Exception):
    """An answer that is an error: HTTP status, Kubernetes' reason for it, and a message."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code = code
        self.reason = reason
        super().__init__(message)


class Handlers:
    """Discovery and values, of what is declared at the moment."""

    def __init__(self, declared: Callable[[], MetricRegistry], board: MetricCache) -> None:
        self._declared = declared
        self._board = board
        self._served: MetricRegistry | None = None

    async def answer(self, asked: ApiRequest, accept: str) -> Document:
        """The body for a request.

        Raises:
            RefusedError: there is no such thing, or the request makes no sense.
        """
        served = self._current()
        if isinstance(asked, CustomMetricRequest):
            return Document(await self._custom(asked, served))
        if isinstance(asked, ExternalMetricRequest):
            return Document(await self._external(asked, served))
        if isinstance(asked, DiscoveryRequest):
            return _discovery(asked, accept, served)
        if isinstance(asked, OpenApiRequest):
            return Document(_openapi(asked))
        raise RefusedError(404, "NotFound", "the server could not find the requested resource")

    def _current(self) -> MetricRegistry:
        served = self._declared()
        if served is not self._served:
            self._board.keep(served)
            self._served = served
        return served

    async def _custom(self, asked: CustomMetricRequest, served: MetricRegistry) -> bytes:
        declared = served.find(asked.namespace, asked.resource, asked.metric)
        measures = _chosen(declared, asked.metric_selector, asked.resource, asked.metric)
        if asked.resource != PODS.plural:
            return await self._objects(asked, measures, served)
        measure = _only(measures)
        table = await self._board.table(measure, asked.version, served)
        if asked.name != ALL:
            return _one(asked, table.items)
        names = await self._selected(measure, table, asked.selector)
        if names is None:
            return table.body
        items = (item for name, item in table.items.items() if name in names)
        return value_list(CUSTOM, asked.version, items)

    async def _selected(
        self, measure: ServedMetric, table: CachedList, selector: str
    ) -> frozenset[str] | None:
        if selector:
            selector = selector_text(_requirements(selector))
        try:
            return await self._board.chosen(measure, table, selector)
        except (TargetError, ClusterError) as error:
            raise RefusedError(503, "ServiceUnavailable", str(error)) from None

    async def _objects(
        self, asked: CustomMetricRequest, measures: Sequence[ServedMetric], served: MetricRegistry
    ) -> bytes:
        if asked.selector:
            raise RefusedError(400, "BadRequest", "labelSelector chooses pods only: name the object")
        names = {measure.object for measure in measures}
        if asked.name != ALL and asked.name not in names:
            raise _not_found(asked)
        wanted = sorted(str(name) for name in names if asked.name in (ALL, name))
        chosen = [_only([one for one in measures if one.object == name]) for name in wanted]
        items = await self._items(chosen, asked.version, served)
        if not items and asked.name != ALL:
            raise _not_found(asked)
        return value_list(CUSTOM, asked.version, items)

    async def _external(self, asked: ExternalMetricRequest, served: MetricRegistry) -> bytes:
        declared = served.find(asked.namespace, "", asked.metric)
        measures = _chosen(declared, asked.metric_selector, "", asked.metric)
        items = await self._items(measures, asked.version, served)
        # The HPA adds them up, and a part would pass for less load.
        return value_list(EXTERNAL, asked.version, items if len(items) == len(measures) else ())

    async def _items(
        self, measures: Sequence[ServedMetric], version: str, served: MetricRegistry
    ) -> list[str]:
        """Of several measures with one value each, in their order, and waited for at the same time."""
        tables = await asyncio.gather(*(self._board.table(one, version, served) for one in measures))
        return [item for table in tables for item in table.items.values()]


def _requirements(selector: str) -> Requirements:
    try:
        return parse_selector(selector)
    except ValueError as error:
        raise RefusedError(400, "BadRequest", str(error)) from None


def _chosen(
    declared: Sequence[ServedMetric], selector: str, resource: str, metric: str
) -> Sequence[ServedMetric]:
    """The measures whose declared labels a metric selector finds; it never reaches a query."""
    if not declared:
        where = f" for {resource}" if resource else ""
        raise RefusedError(404, "NotFound", f"the server could not find the metric {metric}{where}")
    if not selector:
        return declared
    requirements = _requirements(selector)
    return [measure for measure in declared if matches(requirements, dict(measure.labels))]


def _only(measures: Sequence[ServedMetric]) -> ServedMetric:
    """The one measure that is meant. Two matches are an error: neither the first nor their sum is right."""
    if len(measures) == 1:
        return measures[0]
    if not measures:
        raise RefusedError(404, "NotFound", "the server could not find the metric with these labels")
    shown = "; ".join(",".join(f"{key}={value}" for key, value in one.labels) or "none" for one in measures)
    message = f"{len(measures)} series have this name: choose one with metricLabelSelector: {shown}"
    raise RefusedError(400, "BadRequest", message)


def _one(asked: CustomMetricRequest, items: Mapping[str, str]) -> bytes:
    item = items.get(asked.name)
    if item is None:
        raise _not_found(asked)
    return value_list(CUSTOM, asked.version, (item,))


def _not_found(asked: CustomMetricRequest) -> RefusedError:
    message = f"the server could not find the metric {asked.metric} for {asked.resource} {asked.name}"
    return RefusedError(404, "NotFound", message)


def _discovery(asked: DiscoveryRequest, accept: str, served: MetricRegistry) -> Document:
    if asked.version:
        return discovery.resource_list(asked.group, asked.version, served.names())
    if asked.group:
        return discovery.group(asked.group)
    version = discovery.wants_aggregated(accept)
    if version is None:
        return discovery.group_list(VERSIONS)
    return discovery.aggregated(VERSIONS, served.names(), version)


def _openapi(asked: OpenApiRequest) -> bytes:
    if asked.group:
        return openapi.v3_of(asked.group, asked.version)
    return openapi.v2() if asked.form == "v2" else openapi.v3()
