"""Many askers, one source: who really asks, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from threading import Barrier, Event, Thread

import pytest

from autoscaler.api.models import Signal
from autoscaler.metrics.sources.cached import CachedSource
from autoscaler.ports.metrics import Answer, Point, PromqlQuestion, Question, SignalQuestion

A, B = PromqlQuestion("a"), PromqlQuestion("b")
GOOD = Answer(points=(Point(3, 100.0),))
FAILED = Answer(error="HTTP 503")


class Source:
    """Answers what ``answer`` says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answer: Callable[[], Answer] = lambda: GOOD
        self.asked: list[set[Question]] = []

    def close(self) -> None:
        self.asked.append(set())

    def answers(
        self, questions: Collection[Question], _namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        self.asked.append(set(questions))
        return {question: self.answer() for question in questions}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def source():
    return Source()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shared(source, clock):
    return CachedSource(source, fresh_seconds=1.0, keep_seconds=90.0, clock=clock)


def test_what_was_asked_a_moment_ago_is_not_asked_again(shared, source, clock):
    shared.answers([A], ["chat"])
    clock.now += 0.9
    assert shared.answers([A, B], ["chat"]) == {A: GOOD, B: GOOD}
    assert source.asked == [{A}, {B}]
    clock.now += 0.2
    shared.answers([A], ["chat"])
    assert source.asked[2:] == [{A}]


SIGNAL = SignalQuestion(Signal.WAITING)


def test_more_namespaces_are_another_question_and_fewer_are_not(shared, source):
    shared.answers([SIGNAL], ["chat"])
    shared.answers([SIGNAL], ["chat", "code"])
    assert len(source.asked) == 2
    shared.answers([SIGNAL], ["code"])
    assert len(source.asked) == 2


def test_a_query_is_the_same_from_every_namespace(shared, source):
    shared.answers([A], ["chat"])
    shared.answers([A], ["code"])
    assert source.asked == [{A}]


def test_the_last_answer_for_fewer_namespaces_cannot_stand_in(shared, source, clock):
    shared.answers([SIGNAL], ["chat"])
    source.answer = lambda: FAILED
    clock.now += 15
    assert shared.answers([SIGNAL], ["chat", "code"])[SIGNAL] == FAILED
    assert shared.answers([SIGNAL], ["chat"])[SIGNAL].points == GOOD.points


def test_whoever_comes_meanwhile_waits_for_the_same_answer(shared, source):
    begun, released, told = Event(), Event(), []

    def slow() -> Answer:
        begun.set()
        released.wait(10)
        return GOOD

    source.answer = slow
    threads = [Thread(target=lambda: told.append(shared.answers([A], ["chat"]))) for _ in range(5)]
    threads[0].start()
    begun.wait(10)
    for thread in threads[1:]:
        thread.start()
    released.set()
    for thread in threads:
        thread.join(10)
    assert told == [{A: GOOD}] * 5
    assert source.asked == [{A}]


def test_a_failure_leaves_the_last_answer_as_a_partial_one(shared, source, clock):
    shared.answers([A], ["chat"])
    source.answer = lambda: FAILED
    clock.now += 30
    told = shared.answers([A], ["chat"])[A]
    assert told.points == GOOD.points
    assert told.warnings == ("HTTP 503; the last answer is 30 s old",)
    assert told.outage == "HTTP 503"


def test_the_last_answer_stands_in_for_a_while_only(shared, source, clock):
    shared.answers([A], ["chat"])
    source.answer = lambda: FAILED
    for _ in range(9):
        clock.now += 10
        assert shared.answers([A], ["chat"])[A].error is None
    clock.now += 1
    assert shared.answers([A], ["chat"])[A] == FAILED


def test_no_more_than_the_newest_and_the_last_good_answer_are_kept(shared, source, clock):
    for answer in (GOOD, GOOD, FAILED, FAILED, FAILED):
        source.answer = lambda given=answer: given
        shared.answers([A], ["chat"])
        clock.now += 2
    assert len(shared._entries[A]) == 2


def test_a_source_that_never_answered_has_nothing_to_leave(shared, source):
    source.answer = lambda: FAILED
    assert shared.answers([A], ["chat"])[A] == FAILED


def test_after_a_failure_the_next_answer_is_whole_again(shared, source, clock):
    shared.answers([A], ["chat"])
    source.answer = lambda: FAILED
    clock.now += 15
    shared.answers([A], ["chat"])
    source.answer = lambda: GOOD
    clock.now += 15
    assert shared.answers([A], ["chat"])[A] == GOOD


def test_a_source_that_breaks_breaks_for_all_who_wait_and_is_asked_again(shared, source):
    def broken() -> Answer:
        raise RuntimeError("bug")

    source.answer = broken
    meet, failures = Barrier(3), []

    def ask() -> None:
        meet.wait(10)
        try:
            shared.answers([A], ["chat"])
        except RuntimeError as error:
            failures.append(str(error))

    threads = [Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert failures == ["bug"] * 3
    source.answer = lambda: GOOD
    assert shared.answers([A], ["chat"])[A] == GOOD


def test_closing_closes_the_source_behind(shared, source):
    shared.close()
    assert source.asked == [set()]
