"""A pool of GPU nodes with a limit: one node holds one replica.

A node that a pod leaves stays for ``idle_s`` and can be taken again at once (its image is there).
Then it is deleted, and another may be ordered in its place. Without a node left, a pod waits Pending.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

IDLE_S = 600.0
"""The cluster autoscaler's scale-down-unneeded-time by default."""


@dataclass(frozen=True, slots=True)
class NodeLimits:
    """At most ``most`` nodes; ``warm`` of them exist at time 0, idle; an idle node stays ``idle_s``."""

    most: int
    warm: int = 0
    idle_s: float = IDLE_S


class NodePool:
    """Nodes in use and idle ones. Times in seconds and never backwards."""

    def __init__(self, limits: NodeLimits) -> None:
        self.idle_node_s = 0.0
        """Seconds that nodes stood idle, summed; they are billed like used ones."""
        self._limits = limits
        self._used = 0
        # Each idle node: idle since, usable from (it may still be on its way).
        self._idle: deque[tuple[float, float]] = deque([(0.0, 0.0)] * limits.warm)

    def use(self, nodes: int) -> None:
        """Adds the nodes of the pods that a run begins with; these pods take no warm nodes."""
        self._used += nodes

    def take(self, now: float) -> float | None:
        """Takes a node: seconds until an idle one is usable, ``inf`` for a new one, None if none is left."""
        self._delete_old(now)
        if self._idle:
            since, usable = self._idle.popleft()
            self.idle_node_s += now - since
            self._used += 1
            return max(0.0, usable - now)
        if self._used >= self._limits.most:
            return None
        self._used += 1
        return inf

    def release(self, now: float, usable_from: float) -> None:
        """Frees the node of a pod; the node may still be on its way."""
        self._used -= 1
        self._idle.append((now, usable_from))

    def close(self, now: float) -> None:
        """Ends the run: counts idle nodes as idle until now, or until they were deleted."""
        self._delete_old(now)
        self.idle_node_s += sum(max(0.0, now - since) for since, _ in self._idle)
        self._idle.clear()

    def _delete_old(self, now: float) -> None:
        while self._idle and self._idle[0][0] + self._limits.idle_s <= now:
            self._idle.popleft()
            self.idle_node_s += self._limits.idle_s
