"""An outage of many policies is logged once, and once more, with their number, when it ends."""

from __future__ import annotations

from threading import Lock

from autoscaler.ports.policies import AnyPolicy


class Outage:
    """The policies that it has met so far. Thread-safe."""

    def __init__(self) -> None:
        self._met: set[tuple[str, str]] = set()
        self._lock = Lock()

    def meets(self, policy: AnyPolicy) -> bool:
        """Adds a policy; True if it is the first."""
        with self._lock:
            is_first = not self._met
            self._met.add((policy.namespace, policy.name))
            return is_first

    def ends(self) -> int:
        """Ends with the first answer; returns how many policies had none before, 0 without an outage."""
        with self._lock:
            met = len(self._met)
            self._met.clear()
            return met
