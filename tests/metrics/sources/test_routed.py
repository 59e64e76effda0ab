"""Each question goes to the source that is registered for its kind."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import pytest

from autoscaler.api.models import CloudMonitoring, Signal
from autoscaler.errors import QueryError
from autoscaler.metrics.sources.cached import ClosableSource
from autoscaler.metrics.sources.factory import open_source
from autoscaler.metrics.sources.routed import LazySource, RoutedSource
from autoscaler.ports.metrics import (
    Answer,
    CloudQuestion,
    Point,
    PromqlQuestion,
    Question,
    SignalQuestion,
)
from autoscaler.settings import MetricSettings

WAITING = SignalQuestion(Signal.WAITING)
FREE = PromqlQuestion("sum(load)")
BACKLOG = CloudQuestion(CloudMonitoring(filter='metric.type="x"'))


class Source:
    """Answers with its own number."""

    def __init__(self, number: float) -> None:
        self.answer = Answer(points=(Point(number, 0.0),))
        self.asked: list[Question] = []
        self.open = True

    def close(self) -> None:
        self.open = False

    def answers(
        self, questions: Collection[Question], _namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        self.asked += questions
        return dict.fromkeys(questions, self.answer)


def routed(prometheus: ClosableSource, cloud: ClosableSource) -> RoutedSource:
    return RoutedSource({SignalQuestion: prometheus, PromqlQuestion: prometheus, CloudQuestion: cloud})


def test_signals_go_to_prometheus_and_time_series_to_cloud_monitoring():
    prometheus, cloud = Source(1), Source(2)
    source = routed(prometheus, cloud)
    told = source.answers([WAITING, BACKLOG, FREE], ["chat"])
    assert told == {WAITING: prometheus.answer, BACKLOG: cloud.answer, FREE: prometheus.answer}
    assert (prometheus.asked, cloud.asked) == ([WAITING, FREE], [BACKLOG])
    source.close()
    assert (prometheus.open, cloud.open) == (False, False)


@pytest.mark.parametrize("asked", [[], [WAITING], [BACKLOG]], ids=["nothing", "one", "the other"])
def test_a_source_without_a_question_is_not_asked(asked: list[Question]):
    prometheus, cloud = Source(1), Source(2)
    source = routed(prometheus, cloud)
    assert list(source.answers(asked, ["chat"])) == asked
    assert prometheus.asked + cloud.asked == asked
    source.close()


def test_a_source_is_opened_when_it_is_needed_and_once():
    opened: list[Source] = []

    def open_cloud() -> Source:
        opened.append(Source(2))
        return opened[-1]

    source = routed(Source(1), LazySource("Cloud Monitoring", open_cloud))
    source.answers([WAITING], ["chat"])
    assert opened == []
    for _ in range(2):
        source.answers([BACKLOG], ["chat"])
    source.close()
    assert [one.open for one in opened] == [False]


def test_without_a_project_the_reason_is_told():
    source = open_source(MetricSettings(prometheus_url="http://127.0.0.1:9"))
    assert "--cloud-monitoring-project" in str(source.answers([BACKLOG], ["chat"])[BACKLOG].error)
    source.close()


def test_without_credentials_the_others_are_answered_all_the_same():
    def open_cloud() -> Source:
        raise QueryError("no credentials for Google")

    source = routed(Source(1), LazySource("Cloud Monitoring", open_cloud))
    told = source.answers([WAITING, BACKLOG], ["chat"])
    assert told[BACKLOG].error == "no credentials for Google"
    assert told[WAITING].error is None
    source.close()


def test_what_breaks_cloud_monitoring_breaks_nothing_else():
    class Broken(Source):
        def answers(self, *_):
            raise TypeError("a bug")

    source = routed(Source(1), LazySource("Cloud Monitoring", lambda: Broken(2)))
    told = source.answers([WAITING, BACKLOG], ["chat"])
    assert told[BACKLOG].error == "TypeError: a bug"
    assert told[WAITING].error is None
    source.close()
