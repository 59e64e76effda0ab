"""The speed of each policy's target: its lane, its back-off after a time-out, and the syncs under way.

A target that times out holds a thread each time that it is asked. So it is asked ever more rarely
until it answers, and its condition says so: meanwhile nothing is scaled, up or down.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar

from autoscaler.controller.backoff import Backoff
from autoscaler.controller.reconcile import Sync
from autoscaler.controller.workers import Lane
from autoscaler.ports.policies import AnyPolicy, StoredPolicy
from autoscaler.telemetry.controller_metrics import ControllerMetrics

SLOW_SECONDS = 2.0
"""A sync that holds a thread for longer is slow."""

FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 5.0, 30.0
"""Between tries of a target that timed out."""

SYNC_SECONDS = 120.0
"""No sync takes longer that is not stuck: three attempts of two reads (10 s each) and two writes (4 s each),
and metrics that are asked for again (11 s). Its policy's period, up to as much, is added."""

Key = tuple[str, str, str]
"""Namespace, name and uid: a policy that is deleted and created again starts from the beginning."""

_Result = TypeVar("_Result")


def key_of(policy: AnyPolicy) -> Key:
    """The key of a policy."""
    return policy.namespace, policy.name, policy.uid


class Paces:
    """The paces of all policies. Different policies may be used side by side."""

    def __init__(self, clock: Callable[[], float], metrics: ControllerMetrics) -> None:
        """``clock``: seconds that do not jump. Sets the gauges of ``metrics`` that belong to these."""
        self._clock = clock
        self._lanes: dict[Key, Lane] = {}
        self._backoff: Backoff[Key] = Backoff(FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS)
        self._under_way: dict[Key, tuple[float, float]] = {}
        """When each sync began, and how long it may take."""
        metrics.oldest_sync.set_function(self.oldest_seconds)
        metrics.targets_in_backoff.set_function(lambda: len(self._backoff))

    def lane(self, key: Key) -> Lane:
        """The lane of a policy's next sync."""
        return self._lanes.get(key, Lane.NEW)

    def until(self, key: Key) -> float:
        """When a policy may be synced again."""
        return self._backoff.until(key)

    def forget(self, key: Key) -> None:
        """Forgets a policy that is gone, or that another process syncs now."""
        self._lanes.pop(key, None)
        self._backoff.clear(key)

    @contextmanager
    def watch(self, stored: StoredPolicy) -> Iterator[Watch]:
        """The time of one sync, which is under way within the context."""
        key = key_of(stored)
        period = stored.policy.spec.sync_period_seconds
        watch = Watch(self._clock, lambda sync, seconds: self._judge(key, sync, seconds))
        self._under_way[key] = self._clock(), SYNC_SECONDS + min(period, SYNC_SECONDS)
        try:
            yield watch
        finally:
            self._under_way.pop(key, None)

    def oldest_seconds(self) -> float:
        """The age of the oldest sync under way; 0 where there is none."""
        return max((self._clock() - began for began, _ in list(self._under_way.values())), default=0.0)

    def stuck(self) -> str | None:
        """The sync that is stuck; None while none is."""
        now = self._clock()
        for (namespace, name, _), (began, limit) in list(self._under_way.items()):
            if now - began > limit:
                return f"the sync of {namespace}/{name} has taken {now - began:.0f} s"
        return None

    def _judge(self, key: Key, sync: Sync, seconds: float) -> Sync:
        """The sync; where its target timed out, with the time until it is asked again."""
        outcome = sync.outcome
        is_slow = seconds >= SLOW_SECONDS
        self._lanes[key] = Lane.SLOW if is_slow else Lane.QUICK
        if not is_slow or not (outcome.unanswered or outcome.in_doubt):
            self._backoff.clear(key)
            return sync
        wait = self._backoff.fail(key, self._clock())
        message = f"{outcome.message}; next try in {wait:.0f} s, and no scaling up or down until then"
        return replace(sync, outcome=replace(outcome, message=message))


class Watch:
    """Measures how long a sync holds its thread for its target's sake."""

    def __init__(self, clock: Callable[[], float], judge: Callable[[Sync, float], Sync]) -> None:
        self._clock = clock
        self._judge = judge
        self._began = clock()

    def apart(self, work: Callable[[], _Result]) -> _Result:
        """Excludes the time of the block, which is not the target's."""
        began = self._clock()
        try:
            return work()
        finally:
            self._began += self._clock() - began

    def judge(self, sync: Sync) -> Sync:
        """Sets the policy's pace by its sync; returns the sync with what its conditions should say."""
        return self._judge(sync, self._clock() - self._began)
