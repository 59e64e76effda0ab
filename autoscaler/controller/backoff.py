"""Exponential back-off, for each key by itself: only one that fails is tried ever more rarely."""

from __future__ import annotations

from collections.abc import Hashable
from math import inf
from typing import Generic, TypeVar

from autoscaler.exponential_backoff import doubled

_Key = TypeVar("_Key", bound=Hashable)


class Backoff(Generic[_Key]):
    """Times before which keys are not tried again. Different keys may be used side by side."""

    def __init__(self, first_seconds: float, longest_seconds: float) -> None:
        """``first_seconds``: after one failure; each further one doubles it, up to ``longest_seconds``."""
        self._first = first_seconds
        self._longest = longest_seconds
        self._failed: dict[_Key, tuple[int, float]] = {}
        """How often it failed, and when the wait ends."""

    def fail(self, key: _Key, now: float) -> float:
        """Notes a failure at ``now``; returns the seconds until the next try."""
        failures, _ = self._failed.get(key, (0, now))
        wait = doubled(self._first, self._longest, failures)
        self._failed[key] = failures + 1, now + wait
        return wait

    def clear(self, key: _Key) -> None:
        """Forgets the failures of a key: it succeeded, or is gone."""
        self._failed.pop(key, None)

    def expire(self, key: _Key) -> None:
        """Lets a key be tried now; another failure still doubles its delay."""
        if key in self._failed:
            self._failed[key] = self._failed[key][0], -inf

    def until(self, key: _Key) -> float:
        """When the key may be tried again; minus infinity without a failure."""
        return self._failed.get(key, (0, -inf))[1]

    def __contains__(self, key: _Key) -> bool:
        """True if the last try failed."""
        return key in self._failed

    def __len__(self) -> int:
        """How many keys failed at their last try."""
        return len(self._failed)
