"""One source for many policies: a recent question is not asked again, a good answer outlasts failures.

An answer is reused while it is fresh, and a question that is already being asked waits for that
answer. When a source fails, its last good answer replaces it for a while, marked as partial: its
samples keep their own times, so the age limits of the policies still apply, and it never removes
replicas: where a policy does not hold for gaps, the outage counts (``metrics.readings``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, replace
from threading import Lock
from typing import Protocol

from autoscaler.api.models import LLM_MAX_AGE_SECONDS
from autoscaler.ports.metrics import Answer, MetricSource, Question, SignalQuestion

FRESH_SECONDS = 1.0
"""Policies that sync at about the same time share an answer, and none decides much later for it."""


class ClosableSource(MetricSource, Protocol):
    """A source that holds connections."""

    def close(self) -> None:
        """Closes the connections."""


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    """An answer or one to come, for which namespaces, and when it was asked for."""

    asked: float
    where: frozenset[str]
    answer: Future[Answer]

    def covers(self, question: Question, where: frozenset[str]) -> bool:
        """True if the entry covers all of these namespaces; a query has none."""
        return not isinstance(question, SignalQuestion) or where <= self.where

    def is_good(self) -> bool:
        """True if the answer has arrived, from the source itself and without an error."""
        return self.answer.done() and self.answer.result().error is None

    def supersedes(self, older: _Entry) -> bool:
        """True if this entry replaces an older one; a failure does not replace the last good answer."""
        return older.answer.done() and older.where <= self.where and (self.is_good() or not older.is_good())


class CachedSource:
    """A MetricSource in front of another. Safe to use from several threads.

    An answer for more namespaces serves those who ask for some of them: its points name theirs.
    """

    def __init__(
        self,
        source: ClosableSource,
        fresh_seconds: float = FRESH_SECONDS,
        keep_seconds: float = LLM_MAX_AGE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``fresh_seconds``: how long an answer is reused; ``keep_seconds``: how long it covers failures."""
        self._source = source
        self._fresh_seconds = fresh_seconds
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._lock = Lock()
        self._entries: dict[Question, list[_Entry]] = {}

    def close(self) -> None:
        """Closes the wrapped source."""
        self._source.close()

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        """One answer for each question; ports.metrics.MetricSource."""
        where = frozenset(namespaces)
        with self._lock:
            self._forget()
            ours: dict[Question, _Entry] = {}
            entries = {question: self._entry(question, where, ours) for question in questions}
        if ours:
            self._ask(ours, where)
        return {question: self._await_answer(question, where, entry) for question, entry in entries.items()}

    def _forget(self) -> None:
        now = self._clock()
        for question, entries in list(self._entries.items()):
            kept = [one for one in entries if not one.answer.done() or now - one.asked <= self._keep_seconds]
            if kept:
                self._entries[question] = kept
            else:
                del self._entries[question]

    def _entry(self, question: Question, where: frozenset[str], ours: dict[Question, _Entry]) -> _Entry:
        """The entry that answers a question; one that this call has to ask for is put into ``ours``."""
        now = self._clock()
        for entry in reversed(self._entries.setdefault(question, [])):
            pending = not entry.answer.done()
            if entry.covers(question, where) and (pending or now - entry.asked < self._fresh_seconds):
                return entry
        entry = ours[question] = _Entry(now, where, Future())
        self._entries[question].append(entry)
        return entry

    def _ask(self, ours: Mapping[Question, _Entry], where: frozenset[str]) -> None:
        try:
            answers = self._source.answers(ours.keys(), where)
        except BaseException as error:
            with self._lock:
                for question, entry in ours.items():
                    self._entries[question].remove(entry)
                    entry.answer.set_exception(error)
            raise
        with self._lock:
            for question, entry in ours.items():
                entry.answer.set_result(answers.get(question, Answer(error="not answered")))
                kept = [one for one in self._entries[question] if one is entry or not entry.supersedes(one)]
                self._entries[question] = kept

    def _await_answer(self, question: Question, where: frozenset[str], entry: _Entry) -> Answer:
        answer = entry.answer.result()
        if answer.error is None:
            return answer
        with self._lock:
            now = self._clock()
            for last in reversed(self._entries.get(question, [])):
                age = now - last.asked
                if last.is_good() and last.covers(question, where) and age <= self._keep_seconds:
                    warning = f"{answer.error}; the last answer is {age:.0f} s old"
                    good = last.answer.result()
                    return replace(good, warnings=(*good.warnings, warning), outage=answer.error)
        return answer
