"""Google Cloud Monitoring's time series, for metrics that PromQL cannot reach."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import isnan, nan
from threading import Event

from google.api_core.exceptions import (
    DeadlineExceeded,
    GoogleAPICallError,
    InternalServerError,
    ResourceExhausted,
    RetryError,
    ServiceUnavailable,
)
from google.api_core.retry import Retry, if_exception_type
from google.auth.exceptions import GoogleAuthError
from google.cloud.monitoring_v3 import (
    Aggregation,
    ListTimeSeriesRequest,
    ListTimeSeriesResponse,
    MetricServiceClient,
    TimeInterval,
    TimeSeries,
)

from autoscaler.api.metric_rules import UNALIGNED
from autoscaler.errors import QueryError, SourceError
from autoscaler.metrics.promql import SCRAPE_LABELS
from autoscaler.metrics.sources.bounded_queries import RetryPolicy, query_all
from autoscaler.metrics.sources.notes import cloud_said
from autoscaler.ports.metrics import Answer, CloudQuestion, Point, Question

LOOKBACK_SECONDS = 600
"""How far back a series' newest point is looked for; policies limit its age."""
MAX_SERIES = 1000
_MANAGED_PROMETHEUS = "prometheus.googleapis.com/"

_TEMPORARY = (ServiceUnavailable, ResourceExhausted, InternalServerError, DeadlineExceeded)


class CloudMonitoringSource:
    """Answers each ``CloudQuestion`` by one call (and one for each further page)."""

    def __init__(
        self,
        project: str,
        client: MetricServiceClient,
        pace: RetryPolicy | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``project``: the project whose metrics scope is asked."""
        self._project = project
        self._client = client
        self._pace = pace or RetryPolicy()
        self._clock = clock
        self._pool = ThreadPoolExecutor(self._pace.concurrency, thread_name_prefix="cloud-monitoring")
        self._closed = Event()

    def close(self) -> None:
        """Ends the wait for all pending answers; afterwards nothing can be asked."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._client.transport.close()  # type: ignore[no-untyped-call]

    def answers(
        self,
        questions: Collection[Question],
        namespaces: Collection[str],  # noqa: ARG002 - a filter says itself what belongs to it
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.metrics.MetricSource."""
        outcomes = query_all(self._pool, questions, self._ask, self._pace.deadline, self._closed)
        return {
            question: outcome if isinstance(outcome, Answer) else Answer(error=outcome)
            for question, outcome in outcomes.items()
        }

    def _ask(self, question: Question, deadline: float) -> Answer:
        left = max(0.001, deadline - time.monotonic())
        retry = Retry(
            predicate=if_exception_type(*_TEMPORARY),
            initial=self._pace.first_wait,
            maximum=self._pace.longest_wait,
            timeout=left,
        )
        try:
            pager = self._client.list_time_series(
                request=self._request(question), retry=retry, timeout=min(self._pace.attempt, left)
            )
            return _answer(pager.pages)
        except RetryError as error:
            raise SourceError(f"{_describe_error(error.cause)}, for {left:.1f} s") from error
        except GoogleAPICallError as error:
            raise QueryError(_describe_error(error)) from error
        except GoogleAuthError as error:
            raise SourceError(f"no token from Google: {error}") from error

    def _request(self, question: Question) -> ListTimeSeriesRequest:
        assert isinstance(question, CloudQuestion)  # what it is registered for
        cloud, now = question.cloud, self._clock()
        interval = {
            "start_time": {"seconds": int(now) - LOOKBACK_SECONDS - question.window_seconds},
            "end_time": {"seconds": int(now)},
        }
        request = ListTimeSeriesRequest(
            name=f"projects/{self._project}",
            filter=cloud.filter,
            interval=TimeInterval(interval),
            view=ListTimeSeriesRequest.TimeSeriesView.FULL,
        )
        if cloud.per_series_aligner != UNALIGNED:
            request.aggregation = Aggregation(
                alignment_period={"seconds": question.window_seconds},
                per_series_aligner=cloud.per_series_aligner,
                cross_series_reducer=cloud.cross_series_reducer,
            )
        return request


def _answer(pages: Iterable[ListTimeSeriesResponse]) -> Answer:
    """All pages' points; notes beside them mean that data may be missing."""
    found: dict[object, Point] = {}
    warnings: list[str] = []
    for page in pages:
        for identity, point in _points(page.time_series):
            found[identity] = _once(found.get(identity), point)
        # The client has no field for regions yet; a later one may.
        warnings += cloud_said(page.execution_errors, getattr(page, "unreachable", ()))
        if len(found) > MAX_SERIES:
            raise QueryError(f"the filter matches over {MAX_SERIES} series: set crossSeriesReducer")
    return Answer(points=tuple(found.values()), warnings=tuple(dict.fromkeys(warnings)))


def _identity(one: TimeSeries) -> object:
    """The common key of series that count once: those of a pod that Managed Prometheus scrapes twice."""
    labels = {**one.resource.labels, **one.metric.labels}
    if not one.metric.type.startswith(_MANAGED_PROMETHEUS) or not labels.get("pod"):
        return object()  # like no other
    own = frozenset(pair for pair in labels.items() if pair[0] not in SCRAPE_LABELS)
    return one.metric.type, own


def _once(known: Point | None, point: Point) -> Point:
    """One of two points of one series: the larger value (NaN before all), as old as the older."""
    if known is None:
        return point
    value = point.value if isnan(point.value) or point.value > known.value else known.value
    return Point(value, min(known.timestamp, point.timestamp))


def _points(series: Iterable[TimeSeries]) -> Iterator[tuple[object, Point]]:
    """Each series' identity and newest point, which comes first, at its own time.

    Raises:
        QueryError: the values are not numbers.
    """
    for one in series:
        if not one.points:
            continue
        newest = one.points[0]
        value = _number(one.metric.type, newest.value)
        yield _identity(one), Point(value, newest.interval.end_time.timestamp())


def _number(metric: str, value: object) -> float:
    kind = type(value).pb(value).WhichOneof("value")  # type: ignore[attr-defined]
    if kind == "distribution_value":
        raise QueryError(f"{metric} is a distribution: set perSeriesAligner, e.g. ALIGN_PERCENTILE_95")
    if kind == "string_value":
        raise QueryError(f"{metric} is a text, not a number")
    return nan if kind is None else float(getattr(value, kind))


def _describe_error(error: BaseException | None) -> str:
    """The status and message of a failed call."""
    status = getattr(getattr(error, "grpc_status_code", None), "name", type(error).__name__)
    return f"{status}: {getattr(error, 'message', error)}"
