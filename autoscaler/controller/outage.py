"""An outage that meets many policies is told once, and once more, with their number, when it is over."""

from __future__ import annotations

from threading import Lock

from autoscaler.ports.policies import AnyPolicy


class Outage:
    """Whom it has met so far. Safe to use from several threads."""

    def __init__(self) -> None:
        self._met: set[tuple[str, str]] = set()
        self._lock = Lock()

    def meets(self, policy: AnyPolicy) -> bool:
        """It meets a policy; whether that is the first."""
        with self._lock:
            is_first = not self._met
            self._met.add((policy.namespace, policy.name))
            return is_first

    def ends(self) -> int:
        """Somebody has got an answer; how many policies had none before, 0 where nothing was wrong."""
        with self._lock:
            met = len(self._met)
            self._met.clear()
            return met
