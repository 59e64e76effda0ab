"""Each question goes to the source that can answer it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from autoscaler.api.models import CloudMonitoring, Signal
from autoscaler.errors import QueryError
from autoscaler.metrics.sources.routed import RoutedSource
from autoscaler.ports import Answer, Point, Question

WAITING = Question(signal=Signal.WAITING)
BACKLOG = Question(cloud=CloudMonitoring(filter='metric.type="x"'))


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


def test_signals_go_to_prometheus_and_time_series_to_cloud_monitoring():
    prometheus, cloud = Source(1), Source(2)
    routed = RoutedSource(prometheus, lambda: cloud)
    told = routed.answers([WAITING, BACKLOG], ["chat"])
    assert told == {WAITING: prometheus.answer, BACKLOG: cloud.answer}
    assert (prometheus.asked, cloud.asked) == ([WAITING], [BACKLOG])
    routed.close()
    assert (prometheus.open, cloud.open) == (False, False)


def test_cloud_monitoring_is_opened_when_it_is_needed_and_once():
    opened: list[Source] = []

    def open_cloud() -> Source:
        opened.append(Source(2))
        return opened[-1]

    routed = RoutedSource(Source(1), open_cloud)
    routed.answers([WAITING], ["chat"])
    assert opened == []
    for _ in range(2):
        routed.answers([BACKLOG], ["chat"])
    routed.close()
    assert len(opened) == 1


def test_without_a_project_the_reason_is_told():
    routed = RoutedSource(Source(1))
    assert "--cloud-monitoring-project" in str(routed.answers([BACKLOG], ["chat"])[BACKLOG].error)
    routed.close()


def test_without_credentials_the_others_are_answered_all_the_same():
    def open_cloud() -> Source:
        raise QueryError("no credentials for Google")

    routed = RoutedSource(Source(1), open_cloud)
    told = routed.answers([WAITING, BACKLOG], ["chat"])
    assert told[BACKLOG].error == "no credentials for Google"
    assert told[WAITING].error is None
    routed.close()


def test_what_breaks_cloud_monitoring_breaks_nothing_else():
    class Broken(Source):
        def answers(self, *_):
            raise TypeError("a bug")

    routed = RoutedSource(Source(1), lambda: Broken(2))
    told = routed.answers([WAITING, BACKLOG], ["chat"])
    assert told[BACKLOG].error == "TypeError: a bug"
    assert told[WAITING].error is None
    routed.close()
