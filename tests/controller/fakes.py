"""A small world in memory behind the ports, in which a test can break what it likes."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from autoscaler.api.models import ScalingPolicy, Signal
from autoscaler.controller.actuator import Actuator
from autoscaler.controller.clock import Clock
from autoscaler.controller.decision_log import DecisionLog
from autoscaler.controller.loop import Controller
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import Reconciler, Sync
from autoscaler.controller.recorder import Recorder
from autoscaler.decision.types import Pod, PodPhase
from autoscaler.errors import ClusterError, ConflictError, TargetError
from autoscaler.ports.metrics import Answer, Point, Question, SignalQuestion
from autoscaler.ports.policies import AnyPolicy, Conflict, RefusedPolicy, StoredPolicy
from autoscaler.ports.targets import Scale, TargetKey, TargetPods
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from tests.decision.builders import metric, policy

START = 1_800_000_000.0
CHAT = policy(metric(5, signal="waiting"), maxReplicas=10)


class FakeClock:
    """Time that passes when a test says so. A jump moves the wall clock alone."""

    def __init__(self) -> None:
        self.passed = 0.0
        self.jumped = 0.0

    def now(self) -> float:
        return START + self.passed + self.jumped

    @property
    def clock(self) -> Clock:
        return Clock(wall=self.now, steady=lambda: self.passed)


@dataclass
class Workload:
    """One Deployment whose pods are there at once, unless ``ready`` says how many are ready.

    ``created``: how many could be made at all; ``hidden``: how many of them a watch that lags does not show.
    """

    replicas: int = 2
    version: int = 1
    ready: int | None = None
    gone: bool = False
    created: int | None = None
    hidden: int = 0

    @property
    def there(self) -> int:
        """How many pods there are."""
        return self.replicas if self.created is None else min(self.created, self.replicas)

    def pods(self, name: str) -> tuple[Pod, ...]:
        ready = self.there if self.ready is None else min(self.ready, self.there)
        return tuple(
            Pod(f"{name}-{n}", PodPhase.RUNNING if n < ready else PodPhase.PENDING, ready=n < ready)
            for n in range(self.there)
        )


@dataclass
class FakeTargets:
    """Scale targets by ``namespace/name``; ``faults`` are raised one by one by the next calls of a method."""

    workloads: dict[str, Workload] = field(default_factory=dict)
    faults: dict[str, list[Exception | None]] = field(default_factory=dict)
    written: list[tuple[str, int]] = field(default_factory=list)
    before_write: Any = None
    read_fresh: list[bool] = field(default_factory=list)
    """Of each read: whether it had to be a call."""
    found: TargetPods = field(default_factory=TargetPods)
    """What is known of the pods' owners."""
    delays: dict[str, Callable[[], object]] = field(default_factory=dict)

    def _fail(self, method: str) -> None:
        queue = self.faults.get(method)
        fault = queue.pop(0) if queue else None
        if fault is not None:
            raise fault

    def read(self, target: TargetKey, *, fresh: bool = False) -> Scale:
        self._fail("read")
        self.read_fresh.append(fresh)
        name = f"{target.namespace}/{target.ref.name}"
        if name in self.delays:
            self.delays[name]()
        workload = self.workloads.get(name)
        if workload is None:
            raise TargetError(f"there is no {target.ref.kind} {name}")
        return Scale(workload.replicas, workload.there, f"app={name}", str(workload.version))

    def write(self, target: TargetKey, scale: Scale, replicas: int) -> Scale:
        name = f"{target.namespace}/{target.ref.name}"
        workload = self.workloads[name]
        if self.before_write is not None:
            self.before_write(workload)
        queue = self.faults.get("write")
        fault = queue.pop(0) if queue else None
        if isinstance(fault, LostAnswerError):
            self._set(name, workload, replicas)
        if fault is not None:
            raise fault
        if scale.resource_version != str(workload.version):
            raise ConflictError("the object has been modified")
        self._set(name, workload, replicas)
        return replace(scale, replicas=replicas, resource_version=str(workload.version))

    def _set(self, name: str, workload: Workload, replicas: int) -> None:
        workload.replicas = replicas
        workload.version += 1
        self.written.append((name, replicas))

    def pods(self, namespace: str, selector: str) -> Sequence[Pod]:
        self._fail("pods")
        name = selector.removeprefix("app=")
        workload = self.workloads[name]
        return workload.pods(name.rpartition("/")[2])[: max(workload.there - workload.hidden, 0)]

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        return replace(self.found, pods=tuple(self.pods(target.namespace, selector)))


class LostAnswerError(ClusterError):
    """The write took effect, and the connection broke before the answer came."""


@dataclass
class FakeSource:
    """Answers with one load per pod of each workload, at the present time unless ``age`` says otherwise."""

    targets: FakeTargets
    clock: FakeClock
    loads: dict[str, float] = field(default_factory=dict)
    running: dict[str, float] = field(default_factory=dict)
    gateway: float = 0.0
    age: float = 0.0
    error: str | None = None
    outage: str | None = None
    asked: list[Collection[Question]] = field(default_factory=list)
    fault: Exception | None = None
    when_asked: Callable[[], object] | None = None

    def answers(
        self, questions: Collection[Question], namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        self.asked.append(questions)
        if self.when_asked is not None:
            self.when_asked()
        if self.fault is not None:
            raise self.fault
        told = {question: self._answer(question, namespaces) for question in questions}
        return {question: replace(answer, outage=self.outage) for question, answer in told.items()}

    def _answer(self, question: Question, namespaces: Collection[str]) -> Answer:
        if self.error is not None:
            return Answer(error=self.error)
        signal = question.signal if isinstance(question, SignalQuestion) else None
        if signal in (Signal.WAITING, None):
            return Answer(points=tuple(self._points(namespaces)))
        if signal is Signal.GATEWAY_QUEUE:
            return Answer(points=tuple(Point(self.gateway, self.clock.now(), one) for one in namespaces))
        if signal is Signal.RUNNING:
            now = self.clock.now()
            return Answer(points=tuple(Point(value, now, "chat", pod) for pod, value in self.running.items()))
        points = tuple(replace(point, value=0.0) for point in self._points(namespaces))
        return Answer(points=points)

    def _points(self, namespaces: Collection[str]) -> Iterator[Point]:
        for name, workload in self.targets.workloads.items():
            namespace, _, target = name.partition("/")
            if namespace in namespaces:
                for pod in workload.pods(target):
                    if pod.ready:
                        yield Point(
                            self.loads.get(name, 0.0), self.clock.now() - self.age, namespace, pod.name
                        )


@dataclass
class FakeStore:
    """Policies and the statuses that were written."""

    stored: dict[str, StoredPolicy] = field(default_factory=dict)
    broken: list[RefusedPolicy] = field(default_factory=list)
    writes: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)
    fault: Exception | None = None
    write_fault: Exception | None = None

    def put(self, policy_: ScalingPolicy, namespace: str = "chat", name: str = "vllm", **fields: Any) -> None:
        key = f"{namespace}/{name}"
        old = self.stored.get(key)
        given = {"uid": key, "generation": old.generation + 1 if old else 1, **fields}
        given.setdefault("status", old.status if old else None)
        self.stored[key] = StoredPolicy(namespace, name, policy_, **given)

    def policies(self) -> Sequence[StoredPolicy]:
        if self.fault is not None:
            raise self.fault
        return list(self.stored.values())

    def refused(self) -> Sequence[RefusedPolicy]:
        return self.broken

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        if self.write_fault is not None:
            raise self.write_fault
        key = f"{stored.namespace}/{stored.name}"
        self.writes.append((key, status))
        if key in self.stored:
            self.stored[key] = replace(self.stored[key], status=status)


@dataclass
class FakeEvents:
    """What was told, as ``(policy, kind, reason, message)``."""

    told: list[tuple[str, str, str, str]] = field(default_factory=list)

    def emit(self, stored: AnyPolicy, kind: str, reason: str, message: str) -> None:
        self.told.append((f"{stored.namespace}/{stored.name}", kind, reason, message))

    @property
    def reasons(self) -> list[str]:
        return [reason for _, _, reason, _ in self.told]


@dataclass
class FakeOwners:
    """Claims that a test sets."""

    found: tuple[Conflict, ...] = ()
    fault: Exception | None = None

    def conflicts(self, stored: StoredPolicy) -> Sequence[Conflict]:
        if self.fault is not None:
            raise self.fault
        return self.found


@dataclass
class FakeSelectors:
    """Others that select the same pods, as a test says."""

    found: tuple[str, ...] = ()

    def selecting(self, stored: StoredPolicy, selector: str) -> Sequence[str]:
        return self.found


@dataclass
class FakeFence:
    """Leads until it is told not to."""

    leads: bool = True

    def may_write(self) -> bool:
        return self.leads


@dataclass
class FakeCosts:
    """Deletion costs by pod."""

    costs: dict[str, int] = field(default_factory=dict)
    fault: Exception | None = None

    def write(self, namespace: str, costs: Mapping[str, int]) -> None:
        if self.fault is not None:
            raise self.fault
        self.costs |= costs


@dataclass
class CostsThatTakeTheLead(FakeCosts):
    """Writing them takes so long that another process leads afterwards."""

    fence: FakeFence = field(default_factory=FakeFence)

    def write(self, namespace: str, costs: Mapping[str, int]) -> None:
        super().write(namespace, costs)
        self.fence.leads = False


class World:
    """A cluster, a source, and a controller in it that can be started anew."""

    def __init__(self, dry_run: bool = False, allow: frozenset[str] = frozenset()) -> None:
        self.time = FakeClock()
        self.targets = FakeTargets({"chat/vllm": Workload()})
        self.source = FakeSource(self.targets, self.time)
        self.store = FakeStore()
        self.events = FakeEvents()
        self.owners = FakeOwners()
        self.selectors = FakeSelectors()
        self.fence = FakeFence()
        self.metrics = ControllerMetrics()
        self.rights = QueryRights(allow)
        self.dry_run = dry_run
        self.log: DecisionLog | None = None
        self.costs: FakeCosts | None = None
        self.controller = self.new_controller()

    def new_controller(self) -> Controller:
        """As a process that has just been started."""
        actor = Actuator(self.targets, self.owners, self.fence, self.costs, self.dry_run)
        reconciler = Reconciler(self.targets, actor, self.time.clock, self.rights, self.selectors)
        recorder = Recorder(self.store, self.events, self.fence, self.metrics, self.log, self.dry_run)
        return Controller(self.source, self.store, self.fence, reconciler, recorder, self.metrics, workers=2)

    def restart(self) -> None:
        self.controller.close()
        self.controller = self.new_controller()

    def wait(self, *names: str) -> None:
        """Until these policies (default: all) are not being synced."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            busy = {f"{namespace}/{name}" for namespace, name, _ in set(self.controller.busy)}
            if not (busy & set(names) if names else busy):
                return
            time.sleep(0.001)
        raise TimeoutError(f"still busy: {busy}")

    @property
    def chat(self) -> Workload:
        return self.targets.workloads["chat/vllm"]

    def sync(self, load: float | None = None, after: float = 15.0) -> Sync:
        """``after`` seconds later, with this load per pod (as before where None): one sync of chat/vllm."""
        self.time.passed += after
        if load is not None:
            self.source.loads["chat/vllm"] = load
        return next(sync for sync in self.controller.once() if sync.stored.name == "vllm")

    def replicas_over(self, load: float, seconds: float) -> list[int]:
        """The replicas after each sync of a while under the same load per pod."""
        replicas = []
        for _ in range(int(seconds // 15)):
            self.sync(load)
            replicas.append(self.chat.replicas)
        return replicas

    @property
    def status(self) -> Any:
        """The last status of chat/vllm."""
        return self.store.stored["chat/vllm"].status

    def condition(self, kind: str) -> tuple[str, str]:
        """A condition's status and reason."""
        return next((c["status"], c["reason"]) for c in self.status["conditions"] if c["type"] == kind)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"vllm_autoscaler_{name}", labels)


@contextmanager
def world(policy_: ScalingPolicy = CHAT, **fields: Any) -> Iterator[World]:
    """A world with one policy, chat/vllm, closed at the end."""
    made = World(**fields)
    made.store.put(policy_)
    try:
        yield made
    finally:
        made.controller.close()
