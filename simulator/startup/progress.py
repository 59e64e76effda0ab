"""The starts of a cluster's pods: which wait for a node, which load, and when each will be ready."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import inf

from simulator.startup.nodes import NodePool
from simulator.startup.plan import StartDraw, StartupModel, profile_model
from simulator.startup.replica_life import StartPhases
from simulator.startup.sharing import SharedStorage
from simulator.vllm.profile import Profile


@dataclass(slots=True)
class PodStart:
    """One pod's start, in seconds of the run; ``inf`` where a time is not known yet."""

    ordered_s: float
    draw: StartDraw
    node_ordered_s: float = inf
    node_s: float = 0.0
    image_s: float = 0.0
    weights_end_s: float = inf

    @property
    def loading_at(self) -> float:
        """When the container begins to run, with node and image there."""
        return self.node_ordered_s + self.node_s + self.image_s

    @property
    def ready_at(self) -> float:
        """When the server answers."""
        return self.weights_end_s + self.draw.engine_s

    def phases(self, until: float) -> StartPhases:
        """The seconds spent in every phase by ``until``."""
        edges = (
            self.ordered_s,
            self.node_ordered_s,
            self.node_ordered_s + self.node_s,
            self.loading_at,
            self.weights_end_s,
            self.ready_at,
        )
        times = [min(edge, until) for edge in edges]
        return StartPhases(*(end - start for start, end in pairwise(times)))


class StartupTracker:
    """All starts in progress; pods are keys. Pods wait for nodes in the order in which they came."""

    def __init__(
        self, startup: StartupModel, profile: Profile, seed: int, nodes: NodePool | None = None
    ) -> None:
        """``nodes`` None: there is always one more node."""
        self.nodes = nodes
        self._startup = startup
        self._seed = seed
        self._model = profile_model(profile)
        shared = startup.shared_gb_per_s
        self._storage = SharedStorage(inf if shared is None else shared * 1e9)
        self._starting: dict[int, PodStart] = {}
        self._waiting: list[int] = []

    def order(self, pod: int, now: float) -> PodStart:
        """Adds a pod that is ordered now; ``assign_nodes`` computes when it will be ready."""
        start = PodStart(now, self._startup.draw(self._model, self._seed, pod))
        self._starting[pod] = start
        self._waiting.append(pod)
        return start

    def cancel(self, pod: int, now: float) -> None:
        """Removes a pod while it starts, and frees its node if it has one."""
        self._storage.advance(now)
        self._storage.drop(pod)
        start = self._starting.pop(pod)
        if pod in self._waiting:
            self._waiting.remove(pod)
        elif self.nodes is not None:
            self.nodes.release(now, start.node_ordered_s + start.node_s)

    def finished(self, pod: int) -> None:
        """Removes a pod that has become ready; it keeps its node."""
        del self._starting[pod]
        self._storage.drop(pod)

    def ended(self, now: float) -> None:
        """Frees the node of a pod that was ready and has ended."""
        if self.nodes is not None:
            self.nodes.release(now, now)

    def assign_nodes(self, now: float) -> None:
        """Gives nodes to the pods that wait, and computes again when every load ends."""
        self._storage.advance(now)
        while self._waiting and self._place(self._waiting[0], now):
            self._waiting.pop(0)
        for pod, end_s in self._storage.ends().items():
            self._starting[pod].weights_end_s = end_s

    def _place(self, pod: int, now: float) -> bool:
        """Gives the pod a node and returns True, if there is one; an idle node has the image already."""
        start, draw = self._starting[pod], self._starting[pod].draw
        start.node_s, start.image_s = draw.node_s, draw.image_s
        if self.nodes is not None:
            wait_s = self.nodes.take(now)
            if wait_s is None:
                return False
            if wait_s < inf:
                start.node_s, start.image_s = wait_s, 0.0
        start.node_ordered_s = now
        self._storage.add(pod, start.loading_at, draw.weights_bytes, draw.bytes_per_s)
        return True
