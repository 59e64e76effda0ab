"""Any server that speaks Prometheus' query API, Managed Service for Prometheus among them."""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock

from autoscaler.errors import QueryError, SourceError
from autoscaler.exponential_backoff import doubled
from autoscaler.metrics.promql import Area, render, render_query
from autoscaler.metrics.sources.bounded_queries import RetryPolicy, query_all
from autoscaler.metrics.sources.connection import PrometheusConnection, QueryResult
from autoscaler.metrics.sources.vectors import exporters, pod_buckets, pod_points, query_points, unrated
from autoscaler.ports.metrics import Answer, PromqlQuestion, Question, SignalQuestion


class PrometheusSource:
    """Renders questions, asks each query once, and tries again while there is time.

    A server that asks for a pause (Retry-After) gets it, across calls too: until then every
    question is answered with an error at once.
    """

    def __init__(self, connection: PrometheusConnection, area: Area, pace: RetryPolicy | None = None) -> None:
        self._connection = connection
        self._area = area
        self._pace = pace or RetryPolicy()
        self._pool = ThreadPoolExecutor(self._pace.concurrency, thread_name_prefix="prometheus")
        self._closed = Event()
        self._lock = Lock()
        self._paused_until = 0.0

    def close(self) -> None:
        """Ends the wait for all pending answers; afterwards nothing can be asked."""
        self._closed.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connection.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.metrics.MetricSource."""
        queries = {question: self._queries(question, namespaces) for question in questions}
        every = (query for several in queries.values() for query in several)
        results = query_all(self._pool, every, self._ask, self._pace.deadline, self._closed)
        return {
            question: _answer(question, [results[query] for query in several])
            for question, several in queries.items()
        }

    def _queries(self, question: Question, namespaces: Collection[str]) -> tuple[str, ...]:
        if isinstance(question, SignalQuestion):
            return render(question.signal, question.window_seconds, self._area, namespaces)
        assert isinstance(question, PromqlQuestion)  # the other kind that it is registered for
        return (render_query(question.query),)

    def _ask(self, query: str, deadline: float) -> QueryResult:
        """One query, until it is answered or refused, or there is no time for another try."""
        reasons: list[str] = []
        while True:
            left = deadline - time.monotonic()
            self._obey_pause(left)
            try:
                return self._connection.instant(query, min(self._pace.attempt, max(left, 0.001)))
            except SourceError as error:
                pause = self._pause(len(reasons), error.retry_after_seconds)
                reasons.append(str(error))
            if time.monotonic() + pause >= deadline or self._closed.wait(pause):
                tries = "1 try" if len(reasons) == 1 else f"{len(reasons)} tries"
                raise SourceError(f"{'; '.join(dict.fromkeys(reasons))} ({tries})")

    def _pause(self, tried: int, asked_for: float | None) -> float:
        """How long to wait before the next try; what the server asked for is noted for all."""
        pause = random.uniform(0.0, doubled(self._pace.first_wait, self._pace.longest_wait, tried))
        if not asked_for:
            return pause
        asked_for = min(asked_for, self._pace.longest_pause)
        with self._lock:
            self._paused_until = max(self._paused_until, time.monotonic() + asked_for)
        return max(pause, asked_for)

    def _obey_pause(self, left: float) -> None:
        with self._lock:
            pause = self._paused_until - time.monotonic()
        if pause >= left:
            raise SourceError(f"the server asked for a pause, of which {max(pause, 0.0):.0f} s are left")
        if pause > 0:
            self._closed.wait(pause)


def _answer(question: Question, outcomes: Sequence[QueryResult | str]) -> Answer:
    """All results joined. Where some namespaces' query failed, the others' answer is partial."""
    results = [outcome for outcome in outcomes if isinstance(outcome, QueryResult)]
    errors = tuple(dict.fromkeys(outcome for outcome in outcomes if isinstance(outcome, str)))
    if errors and not results:
        return Answer(error="; ".join(errors))
    warnings = errors + tuple(dict.fromkeys(warning for result in results for warning in result.warnings))
    remarks = tuple(dict.fromkeys(remark for result in results for remark in result.remarks))
    try:
        return replace(_read(question, results), warnings=warnings, remarks=remarks)
    except QueryError as error:
        return Answer(error=str(error))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        return Answer(error=f"the server's answer is malformed: {error!r}")


def _read(question: Question, results: Sequence[QueryResult]) -> Answer:
    if not isinstance(question, SignalQuestion):
        return Answer(points=query_points(results))
    info = question.signal.info
    if info.is_quantile:
        return Answer(buckets=pod_buckets(results))
    return Answer(
        points=pod_points(info, results),
        exporters=exporters(results) if info.abstains else (),
        unrated=unrated(results) if info.optional else frozenset(),
    )
