"""The simulated workload: pods that are ordered, start, serve and drain, and the gateway before them.

A pod is billed from its order to the end of its drain, but not while it waits for a node. A draining
pod takes no new requests and ends with its last one; a pod that is removed while it starts ends at
once. Scale-down removes pods that are not ready first, and among equals the newest first, as a
ReplicaSet does.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Literal, TypeAlias

from simulator.startup.nodes import NodePool
from simulator.startup.plan import StartupModel
from simulator.startup.progress import PodStart, StartupTracker
from simulator.startup.replica_life import ReplicaLife
from simulator.vllm.engine import FastReplica
from simulator.vllm.profile import Profile
from simulator.vllm.replica import Replica, StepObserver
from simulator.vllm.request_table import RequestTable, TokenLimit

Routing: TypeAlias = Literal["least-loaded", "round-robin", "random"]


class PodState(Enum):
    """The state of a pod."""

    STARTING = "starting"
    READY = "ready"
    DRAINING = "draining"


@dataclass(slots=True)
class SimulatedPod:
    """One pod and the vLLM inside it. Times in seconds; ``drain_s`` None until it drains.

    ``start`` None: the run began with this pod ready.
    """

    replica: Replica
    state: PodState
    ordered_s: float
    start: PodStart | None = None
    drain_s: float | None = None

    @property
    def ready_at(self) -> float:
        """The time at which it is ready; ``inf`` while that is unknown."""
        return self.ordered_s if self.start is None else self.start.ready_at

    def pending(self, now: float) -> bool:
        """True while its container does not run yet: the node or the image is missing."""
        return self.state is PodState.STARTING and self.start is not None and now < self.start.loading_at

    def life(self, ended_s: float) -> ReplicaLife:
        """The pod's times, for the bill."""
        ready = None if self.state is PodState.STARTING else self.ready_at
        if ready is not None and ready > ended_s:
            ready = None
        phases = None if self.start is None else self.start.phases(ended_s)
        return ReplicaLife(self.replica.name, self.ordered_s, ready, self.drain_s, ended_s, phases)


class Cluster:
    """Pods, routing and the gateway queue. Times never go back."""

    def __init__(
        self,
        profile: Profile,
        startup: StartupModel,
        requests: RequestTable,
        routing: Routing,
        seed: int,
        observer: Callable[[], StepObserver | None] = lambda: None,
        nodes: NodePool | None = None,
        server: type[Replica] = FastReplica,
    ) -> None:
        """``observer`` is called once for every new replica. ``nodes`` None: no limit of nodes.

        ``server``: the engine inside a replica.
        """
        self.requests = requests
        self._server = server
        self._observer = observer
        self.desired = 0
        self.gateway: deque[int] = deque()
        self.pods: list[SimulatedPod] = []
        self.ready: list[Replica] = []
        self.lives: list[ReplicaLife] = []
        self.arrived = 0
        self.last_end = 0.0
        self.next_ready = inf
        self._profile = profile
        self._starts = StartupTracker(startup, profile, seed, nodes)
        block = profile.scheduler.block_size_tokens
        limits = (
            TokenLimit("max_model_len_tokens", profile.max_model_len_tokens),
            TokenLimit("kv_cache_tokens", profile.memory.kv_cache_tokens // block * block),
        )
        self._limit = min(limits, key=lambda limit: limit.tokens)
        self._most_tokens = self._limit.tokens
        self._random = random.Random(seed)
        self._turn = 0
        self._names = 0
        self._choose: Callable[[], Replica] = {
            "least-loaded": self._least_loaded,
            "round-robin": self._round_robin,
            "random": self._any,
        }[routing]

    def start_ready(self, replicas: int) -> None:
        """Adds the pods that a run begins with: ready at 0, without a start-up."""
        self.desired = replicas
        if self._starts.nodes is not None:
            self._starts.nodes.use(replicas)
        for _ in range(replicas):
            self._new_pod(0.0).state = PodState.READY
        self._refresh()

    def scale(self, replicas: int, now: float) -> None:
        """Sets the target's replicas: orders missing pods, removes surplus ones."""
        self.desired = replicas
        serving = [pod for pod in self.pods if pod.state is not PodState.DRAINING]
        for _ in range(replicas - len(serving)):
            pod = self._new_pod(now)
            pod.start = self._starts.order(pod.replica.index, now)
        surplus = len(serving) - replicas
        if surplus > 0:
            serving.sort(key=lambda pod: (pod.state is PodState.STARTING, pod.replica.index))
            for pod in reversed(serving[-surplus:]):
                self._remove(pod, now)
        self._starts.assign_nodes(now)
        self._refresh()

    def arrive(self, row: int, now: float) -> None:
        """Routes a request that arrives at ``now``, or rejects it."""
        self.arrived += 1
        requests = self.requests
        tokens = requests.prompt_tokens[row] + requests.output_tokens[row]
        if tokens > self._most_tokens:
            requests.reject(row, self._limit)
            self.last_end = now
            return
        if not self.ready:
            self.gateway.append(row)
            return
        for replica in self.ready:
            if replica.run_end <= now:
                replica.advance(now)
        self._submit(row, now)

    def bring_up(self, now: float) -> None:
        """Makes the pods ready whose start ends by ``now``; they take the requests at the gateway."""
        for pod in self.pods:
            if pod.state is PodState.STARTING and pod.ready_at <= now:
                pod.state = PodState.READY
                self._starts.finished(pod.replica.index)
        self._refresh()
        while self.gateway and self.ready:
            self._submit(self.gateway.popleft(), now)

    def advance(self, now: float) -> None:
        """Moves every replica to ``now`` and ends the drains that are over."""
        ended = False
        for pod in self.pods:
            replica = pod.replica
            if replica.run_end <= now:
                replica.advance(now)
            if pod.state is PodState.DRAINING and not replica.in_flight:
                ended = True
                self._end(pod, max(replica.last_finish, pod.drain_s or 0.0))
        if ended:
            self.pods = [
                pod for pod in self.pods if pod.state is not PodState.DRAINING or pod.replica.in_flight
            ]
            self._starts.assign_nodes(now)
            self._refresh()

    def in_flight(self) -> int:
        """Requests inside replicas."""
        return sum(pod.replica.in_flight for pod in self.pods)

    def finish(self) -> None:
        """Lets every replica finish its requests; call it when no further requests arrive."""
        for pod in self.pods:
            while pod.replica.in_flight:
                pod.replica.advance(pod.replica.run_end)

    def close(self, now: float) -> None:
        """Ends the run: every pod that still lives is billed up to ``now``."""
        self.advance(now)
        for pod in self.pods:
            self.lives.append(pod.life(now))
        self.pods = []
        self.lives.sort(key=lambda life: (life.ordered_s, life.name))

    def last_finish(self) -> float:
        """When the last request so far ended (completed or rejected)."""
        return max([self.last_end, *(pod.replica.last_finish for pod in self.pods if pod.replica.finished)])

    def _submit(self, row: int, now: float) -> None:
        """Gives a request to the replica that routing chooses; a full replica refuses it."""
        replica = self._choose()
        if replica.is_full:
            self.last_end = now
        replica.submit(row, now)

    def _new_pod(self, now: float) -> SimulatedPod:
        replica = self._server(self._profile, self.requests, f"vllm-{self._names}", self._names, now)
        self._names += 1
        replica.observer = self._observer()
        self.pods.append(SimulatedPod(replica, PodState.STARTING, now))
        return self.pods[-1]

    def _remove(self, pod: SimulatedPod, now: float) -> None:
        if pod.state is PodState.STARTING:
            self.lives.append(pod.life(now))
            self.pods.remove(pod)
            self._starts.cancel(pod.replica.index, now)
            return
        pod.replica.advance(now)
        pod.state = PodState.DRAINING
        pod.drain_s = now
        if not pod.replica.in_flight:
            self._end(pod, now)
            self.pods.remove(pod)

    def _end(self, pod: SimulatedPod, ended_s: float) -> None:
        self.lives.append(pod.life(ended_s))
        self._starts.ended(ended_s)
        if pod.replica.finished:
            self.last_end = max(self.last_end, pod.replica.last_finish)

    def _refresh(self) -> None:
        self.ready = [pod.replica for pod in self.pods if pod.state is PodState.READY]
        self.next_ready = min(
            (pod.ready_at for pod in self.pods if pod.state is PodState.STARTING), default=inf
        )

    def _least_loaded(self) -> Replica:
        """The replica with the fewest requests in flight; the oldest among equals."""
        chosen = self.ready[0]
        fewest = chosen.in_flight
        for replica in self.ready:
            if replica.in_flight < fewest:
                chosen, fewest = replica, replica.in_flight
        return chosen

    def _round_robin(self) -> Replica:
        self._turn += 1
        return self.ready[(self._turn - 1) % len(self.ready)]

    def _any(self) -> Replica:
        return self.ready[self._random.randrange(len(self.ready))]
