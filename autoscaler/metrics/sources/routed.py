"""Each question to the source that is registered for its kind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

from autoscaler.errors import QueryError
from autoscaler.metrics.sources.cached import ClosableSource
from autoscaler.ports.metrics import Answer, Question

_log = logging.getLogger(__name__)


class RoutedSource:
    """Several sources as one, asked side by side."""

    def __init__(self, sources: Mapping[type[Question], ClosableSource]) -> None:
        """``sources``: by the kind of question that they answer; one may answer several kinds."""
        self._sources = sources
        self._each = tuple(dict.fromkeys(sources.values()))
        self._aside = ThreadPoolExecutor(4, thread_name_prefix="source-round")

    def close(self) -> None:
        """Closes them all."""
        self._aside.shutdown(wait=False, cancel_futures=True)
        for source in self._each:
            source.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.metrics.MetricSource."""
        asked = [(source, self._questions_for(source, questions)) for source in self._each]
        here, *others = [pair for pair in asked if pair[1]] or asked[:1]
        aside = [self._aside.submit(source.answers, given, namespaces) for source, given in others]
        found = dict(here[0].answers(here[1], namespaces))
        for answers in aside:
            found |= answers.result()
        return found

    def _questions_for(self, source: ClosableSource, questions: Collection[Question]) -> list[Question]:
        return [question for question in questions if self._sources[type(question)] is source]


class LazySource:
    """A source that is opened when first needed. Its failures are answers: others do not fail with it."""

    def __init__(self, name: str, open_source: Callable[[], ClosableSource]) -> None:
        """``name``: for the log."""
        self._name = name
        self._open = open_source
        self._source: ClosableSource | None = None
        self._lock = Lock()

    def close(self) -> None:
        """Closes it if it was opened."""
        if self._source is not None:
            self._source.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.metrics.MetricSource."""
        try:
            with self._lock:
                self._source = self._source or self._open()
            return self._source.answers(questions, namespaces)
        except QueryError as error:
            return dict.fromkeys(questions, Answer(error=str(error)))
        except Exception as error:  # the answers of other sources are not lost with it
            _log.exception("%s failed", self._name)
            return dict.fromkeys(questions, Answer(error=f"{type(error).__name__}: {error}"))


class MissingSource:
    """Stands for a source that is not configured: every answer says why."""

    def __init__(self, reason: str) -> None:
        self._answer = Answer(error=reason)

    def close(self) -> None:
        """Nothing is open."""

    def answers(
        self,
        questions: Collection[Question],
        namespaces: Collection[str],  # noqa: ARG002
    ) -> Mapping[Question, Answer]:
        """The reason, for each question; ports.metrics.MetricSource."""
        return dict.fromkeys(questions, self._answer)
