"""One source for many askers: what was asked a moment ago is not asked again, and failures last.

An answer is reused while it is fresh, and whoever asks what is being asked already waits for that
answer. When a source fails, its last good answer stands in for a while, marked as partial: its
samples keep their own times, so the age limits of the policies go on counting, and a partial
answer never removes replicas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

from autoscaler.policy.models import LLM_MAX_AGE_SECONDS
from autoscaler.ports import Answer, MetricSource, Question

FRESH_SECONDS = 1.0
"""Policies that sync at about the same time share an answer, and none decides much later for it."""


class ClosableSource(MetricSource, Protocol):
    """A source that holds connections."""

    def close(self) -> None:
        """Gives them back."""


_Key = tuple[Question, frozenset[str]]


@dataclass(frozen=True, slots=True)
class _Entry:
    """An answer or one to come, when it was asked for, and the last one without an error."""

    asked: float
    answer: Future[Answer]
    good: Answer | None = None
    good_at: float = 0.0


class SharedSource:
    """A MetricSource in front of another. Safe to use from several threads."""

    def __init__(
        self,
        source: ClosableSource,
        fresh_seconds: float = FRESH_SECONDS,
        keep_seconds: float = LLM_MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh_seconds``: how long an answer is reused; ``keep_seconds``: how long it stands in."""
        self._source = source
        self._fresh_seconds = fresh_seconds
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[_Key, _Entry] = {}

    def close(self) -> None:
        """Closes the source behind."""
        self._source.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.MetricSource."""
        where = frozenset(namespaces)
        with self._lock:
            entries, ours = self._claim(questions, where)
        if ours:
            self._ask(ours, where)
        return {question: entry.answer.result() for question, entry in entries.items()}

    def _claim(
        self, questions: Collection[Question], where: frozenset[str]
    ) -> tuple[dict[Question, _Entry], dict[Question, _Entry]]:
        """Every question's entry, and those among them that this call has to ask for."""
        now = self._clock()
        self._entries = {
            key: entry
            for key, entry in self._entries.items()
            if not entry.answer.done() or now - max(entry.asked, entry.good_at) <= self._keep_seconds
        }
        entries, ours = {}, {}
        for question in questions:
            entry = self._entries.get((question, where))
            if entry is None or (entry.answer.done() and now - entry.asked >= self._fresh_seconds):
                good, good_at = (entry.good, entry.good_at) if entry else (None, 0.0)
                entry = ours[question] = _Entry(now, Future(), good, good_at)
                self._entries[question, where] = entry
            entries[question] = entry
        return entries, ours

    def _ask(self, ours: Mapping[Question, _Entry], where: frozenset[str]) -> None:
        try:
            answers = self._source.answers(ours.keys(), where)
        except BaseException as error:
            with self._lock:
                for question, entry in ours.items():
                    self._entries.pop((question, where), None)
                    entry.answer.set_exception(error)
            raise
        with self._lock:
            for question, entry in ours.items():
                self._settle((question, where), entry, answers.get(question, Answer(error="not answered")))

    def _settle(self, key: _Key, entry: _Entry, answer: Answer) -> None:
        now = self._clock()
        if answer.error is None:
            self._entries[key] = replace(entry, good=answer, good_at=now)
        elif entry.good is not None and now - entry.good_at <= self._keep_seconds:
            warning = f"{answer.error}; the last answer is {now - entry.good_at:.0f} s old"
            answer = replace(entry.good, warnings=(*entry.good.warnings, warning))
        entry.answer.set_result(answer)
