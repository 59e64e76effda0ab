"""Cloud Monitoring's MetricService on loopback, with the client library's own types.

It keeps to what the API documents of ``timeSeries.list``: points newest first and within the interval,
pages, and what it refuses. Aligning is left to Google: aligned series are given as such.
"""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

import grpc
from google.api.distribution_pb2 import Distribution
from google.cloud.monitoring_v3 import (
    ListTimeSeriesRequest,
    ListTimeSeriesResponse,
    MetricServiceClient,
    Point,
    TimeSeries,
)
from google.cloud.monitoring_v3.services.metric_service.transports import MetricServiceGrpcTransport
from google.rpc.status_pb2 import Status

PROJECT = "models-prod"


def series(metric: str, *points: tuple[float, object], **labels: str) -> TimeSeries:
    """``points``: time in seconds since the epoch, and the value; newest first, as the API has them."""
    return TimeSeries(
        metric={"type": metric, "labels": labels},
        points=[
            Point(
                interval={"end_time": {"seconds": int(at), "nanos": int(at % 1 * 1e9)}}, value=_value(value)
            )
            for at, value in points
        ],
    )


def _value(value: object) -> dict[str, object]:
    if isinstance(value, bool):
        return {"bool_value": value}
    if isinstance(value, int):
        return {"int64_value": value}
    if isinstance(value, str):
        return {"string_value": value}
    if isinstance(value, Distribution):
        return {"distribution_value": value}
    return {"double_value": value}


class CloudMonitoring:
    """The server. ``faults`` come first: each (status, message, delay) is used up by one call."""

    def __init__(self, *found: TimeSeries, page_size: int = 100_000) -> None:
        self.series = list(found)
        self.page_size = page_size
        self.faults: deque[tuple[grpc.StatusCode, str, float]] = deque()
        self.execution_errors: list[Status] = []
        self.requests: list[ListTimeSeriesRequest] = []
        self._pool = ThreadPoolExecutor(4)
        self._server = grpc.server(self._pool)
        method = grpc.unary_unary_rpc_method_handler(
            self._list, ListTimeSeriesRequest.deserialize, ListTimeSeriesResponse.serialize
        )
        service = "google.monitoring.v3.MetricService"
        handler = grpc.method_handlers_generic_handler(service, {"ListTimeSeries": method})
        self._server.add_generic_rpc_handlers((handler,))
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def client(self) -> MetricServiceClient:
        """A client of the library, without TLS and credentials."""
        return MetricServiceClient(
            transport=MetricServiceGrpcTransport(channel=grpc.insecure_channel(self.address))
        )

    def _list(self, request: ListTimeSeriesRequest, context: grpc.ServicerContext) -> ListTimeSeriesResponse:
        self.requests.append(request)
        if self.faults:
            status, message, delay = self.faults.popleft()
            time.sleep(delay)
            context.abort(status, message)
        self._refuse(request, context)
        start = int(request.page_token or 0)
        end = start + self.page_size
        return ListTimeSeriesResponse(
            time_series=[self._within(request, one) for one in self.series[start:end]],
            next_page_token=str(end) if end < len(self.series) else "",
            execution_errors=self.execution_errors,
        )

    def _refuse(self, request: ListTimeSeriesRequest, context: grpc.ServicerContext) -> None:
        aligned = bool(request.aggregation.per_series_aligner)
        if request.name != f"projects/{PROJECT}":
            context.abort(grpc.StatusCode.PERMISSION_DENIED, f"Permission denied on {request.name}")
        if "metric.type" not in request.filter:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "The filter must name a metric.type")
        if aligned and request.aggregation.alignment_period.total_seconds() < 60:
            context.abort(
                grpc.StatusCode.INVALID_ARGUMENT, "The alignment period must be at least 60 seconds"
            )
        if request.aggregation.cross_series_reducer and not aligned:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "A reducer needs an aligner")

    def _within(self, request: ListTimeSeriesRequest, found: TimeSeries) -> TimeSeries:
        start, end = request.interval.start_time, request.interval.end_time
        points = [point for point in found.points if start < point.interval.end_time <= end]
        return TimeSeries(metric=found.metric, points=points)

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop(None).wait(5)
        self._pool.shutdown()
