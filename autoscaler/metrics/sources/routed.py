"""Each question to the source that can answer it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from autoscaler.errors import QueryError
from autoscaler.metrics.sources.cached import ClosableSource
from autoscaler.ports import Answer, Question

_log = logging.getLogger(__name__)

_NO_CLOUD = Answer(
    error="no Cloud Monitoring here: --google-project or --cloud-monitoring-project names its project"
)


class RoutedSource:
    """Prometheus for signals and queries; Cloud Monitoring, opened when first needed, for the rest."""

    def __init__(
        self, prometheus: ClosableSource, open_cloud: Callable[[], ClosableSource] | None = None
    ) -> None:
        self._prometheus = prometheus
        self._open_cloud = open_cloud
        self._cloud: ClosableSource | None = None
        self._lock = Lock()
        self._aside = ThreadPoolExecutor(4, thread_name_prefix="cloud-monitoring-round")

    def close(self) -> None:
        """Closes both."""
        self._aside.shutdown(wait=False, cancel_futures=True)
        self._prometheus.close()
        if self._cloud is not None:
            self._cloud.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.MetricSource."""
        cloud = [question for question in questions if question.cloud is not None]
        if not cloud:
            return self._prometheus.answers(questions, namespaces)
        aside = self._aside.submit(self._ask_cloud, cloud)
        rest = [question for question in questions if question.cloud is None]
        told = self._prometheus.answers(rest, namespaces) if rest else {}
        return {**told, **aside.result()}

    def _ask_cloud(self, questions: Collection[Question]) -> Mapping[Question, Answer]:
        if self._open_cloud is None:
            return dict.fromkeys(questions, _NO_CLOUD)
        try:
            with self._lock:
                self._cloud = self._cloud or self._open_cloud()
            return self._cloud.answers(questions, ())
        except QueryError as error:
            return dict.fromkeys(questions, Answer(error=str(error)))
        except Exception as error:  # what Prometheus answered is not lost with it
            _log.exception("Cloud Monitoring failed")
            return dict.fromkeys(questions, Answer(error=f"{type(error).__name__}: {error}"))
