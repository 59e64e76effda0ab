"""The life of one replica, from the order to its end."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartPhases:
    """A start's seconds by phase: no node available, node, image, weights, engine."""

    waiting_s: float = 0.0
    node_s: float = 0.0
    image_s: float = 0.0
    weights_s: float = 0.0
    engine_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ReplicaLife:
    """One replica from order to end of drain, in seconds; ``ready_s`` None if it never was.

    ``start`` None: the run began with this replica ready.
    """

    name: str
    ordered_s: float
    ready_s: float | None
    drain_s: float | None
    ended_s: float
    start: StartPhases | None = None

    @property
    def billed_from_s(self) -> float:
        """When billing begins: at its order, or at its node's order where it waited for a node."""
        return self.ordered_s + (self.start.waiting_s if self.start else 0.0)
