"""The world of one run: a true workload, faults in front of it, and controllers that see only those."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil

from autoscaler.api.models import ScalingPolicy, Signal
from autoscaler.controller.actuator import Actuator
from autoscaler.controller.clock import Clock
from autoscaler.controller.loop import Controller
from autoscaler.controller.observation import QueryRights
from autoscaler.controller.reconcile import Reconciler
from autoscaler.controller.recorder import Recorder
from autoscaler.decision.types import Pod
from autoscaler.errors import ClusterError, ConflictError
from autoscaler.ports.metrics import Answer, PromqlQuestion, Question, SignalQuestion
from autoscaler.ports.policies import AnyPolicy, RefusedPolicy, StoredPolicy
from autoscaler.ports.targets import Scale, TargetKey, TargetPods
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from tests.controller.fakes import FakeEvents, FakeFence, FakeOwners, FakeStore
from tests.faults.faults import ANSWERED, API, FREEZING, METRICS, SOURCE
from tests.faults.truth import Oracle, Truth

SYNC_SECONDS = 15.0
START = 1_800_000_000.0
JUMP_SECONDS = 3600.0
STALE_SYNCS = 2
SYNCS_TO_LIST = 3
"""A watch that stays silent is followed by a list after 45 s."""
BELIEVED_SECONDS = 60.0
"""How long a copy is believed of which nothing is heard."""
FOREIGN = (Pod("batch-0"), Pod("batch-1"))
"""Pods of another workload, which nobody scrapes."""


@dataclass(frozen=True)
class Span:
    """A fault and when it is on, in seconds from the start."""

    fault: str
    begin: float
    end: float


@dataclass
class FaultyWorld:
    """One workload; ``variants``: the policy, and what it is edited to; ``spans``: what fails when.

    ``wrong``: scale-downs that fresh and complete data would not have ordered.
    """

    truth: Truth
    variants: Sequence[ScalingPolicy]
    spans: Sequence[Span]
    oracle: Oracle
    frozen: dict[Question, Answer] = field(default_factory=dict)
    asked: Question = field(default_factory=lambda: PromqlQuestion(""))
    version: int = 1
    wrong: list[str] = field(default_factory=list)
    downs: int = 0
    ups: int = 0

    def __post_init__(self) -> None:
        self.store = FakeStore()
        self.store.put(self.variants[0])
        self._called = 0
        self._seen: list[tuple[Scale, tuple[Pod, ...]]] = []
        self._fences: list[FakeFence] = []
        self._controllers: list[Controller] = []
        self._start(2 if any(span.fault == "two leaders in turn" for span in self.spans) else 1)

    # Time

    @property
    def now(self) -> float:
        """The true time, which the source and the samples follow."""
        return START + self.truth.now

    def is_on(self, fault: str) -> bool:
        """Whether a fault is on now."""
        return any(span.fault == fault and span.begin <= self.truth.now < span.end for span in self.spans)

    def _wall(self) -> float:
        """What the controller's clock shows."""
        jump = JUMP_SECONDS * (self.is_on("the clock jumps ahead") - self.is_on("the clock jumps back"))
        return self.now + jump

    # Running

    def run(self, seconds: float) -> None:
        """Syncs until then."""
        try:
            while self.truth.now < seconds:
                self.truth.now += SYNC_SECONDS
                self._sync()
        finally:
            for controller in self._controllers:
                controller.close()

    def _sync(self) -> None:
        tick = round(self.truth.now / SYNC_SECONDS)
        if not any(map(self.is_on, FREEZING)):
            self.frozen.clear()
        if self.is_on("somebody scales by hand") and tick % 4 == 0:
            self._set(max(1, self.truth.replicas + (1 if tick % 8 else -1)))
        if self.is_on("policy edits"):
            self._edit(tick)
        if (self.is_on("restarts") and tick % 3 == 0) or self._begins("restart"):
            self._restart()
        self._lead(tick)
        self._seen.append((self._scale(), self.truth.pods()))
        self.oracle.look(self.policy)
        for controller in self._controllers:
            controller.step()
            _wait(controller)

    def _begins(self, fault: str) -> bool:
        last = self.truth.now - SYNC_SECONDS
        return any(span.fault == fault and last < span.begin <= self.truth.now for span in self.spans)

    @property
    def policy(self) -> ScalingPolicy:
        """The policy in force."""
        return self.store.stored["chat/vllm"].policy

    def _edit(self, tick: int) -> None:
        wanted = self.variants[tick // 3 % len(self.variants)]
        if wanted is not self.policy:
            self.store.put(wanted)

    def _start(self, count: int) -> None:
        clock = Clock(wall=self._wall, steady=lambda: self.truth.now)
        for _ in range(count):
            fence = FakeFence(leads=not self._fences)
            reconciler = Reconciler(self, Actuator(self, FakeOwners(), fence), clock, QueryRights())
            metrics = ControllerMetrics()
            recorder = Recorder(self, FakeEvents(), fence, metrics)
            self._fences.append(fence)
            self._controllers.append(Controller(self, self, fence, reconciler, recorder, metrics, workers=1))

    def _restart(self) -> None:
        for controller in self._controllers:
            controller.close()
        self._controllers.clear()
        self._fences.clear()
        self._start(2 if any(span.fault == "two leaders in turn" for span in self.spans) else 1)

    def _lead(self, tick: int) -> None:
        if len(self._fences) == 2 and self.is_on("two leaders in turn"):
            for number, fence in enumerate(self._fences):
                fence.leads = tick // 3 % 2 == number

    # The ports

    def policies(self) -> Sequence[StoredPolicy]:
        return self.store.policies()

    def read(self, _target: TargetKey, *, fresh: bool = False) -> Scale:
        self._fail("read")
        if fresh:
            self._fail("fresh")
        shown = self._scale() if fresh else self._shown()[0]
        if int(shown.resource_version) < self._called:  # as KubeTargets: a call has said more by now
            shown = self._scale()
        self._called = int(shown.resource_version)
        return shown

    def pods(self, _namespace: str, _selector: str) -> Sequence[Pod]:
        self._fail("pods")
        return self._shown()[1]

    def own_pods(self, target: TargetKey, selector: str) -> TargetPods:
        pods = tuple(self.pods(target.namespace, selector))
        if self.is_on("owners cannot be read"):
            return TargetPods(pods + FOREIGN, selector_only="replicasets is forbidden")
        return TargetPods(pods, ("2 of Deployment batch",) if self.is_on("foreign pods") else ())

    def _shown(self) -> tuple[Scale, tuple[Pod, ...]]:
        if self.is_on("the watch is stale"):
            return self._seen[max(0, len(self._seen) - 1 - STALE_SYNCS)]
        listed = self._seen[(len(self._seen) - 1) // SYNCS_TO_LIST * SYNCS_TO_LIST]
        scale = listed[0] if self.is_on("the watch on the target is silent") else self._scale()
        pods = listed[1] if self.is_on("the watch on pods is silent") else self.truth.pods()
        return scale, self._heard(pods)

    def _heard(self, pods: tuple[Pod, ...]) -> tuple[Pod, ...]:
        """Neither watches nor lists say anything of them: what is known is believed for a while."""
        silence = "nothing is heard of pods"
        begins = [span.begin for span in self.spans if span.fault == silence and self.is_on(silence)]
        if not begins:
            return pods
        silent = self.truth.now - begins[0]
        if silent > BELIEVED_SECONDS:
            raise ClusterError(f"/api/v1/pods is {silent:.0f} s old")
        return self._seen[max(0, len(self._seen) - 1 - ceil(silent / SYNC_SECONDS))][1]

    def _scale(self) -> Scale:
        more = 2 * self.is_on("more replicas are reported than pods listed")
        return Scale(self.truth.replicas, self.truth.replicas + more, "app=vllm", str(self.version))

    def write(self, _target: TargetKey, scale: Scale, replicas: int) -> Scale:
        fault = next((name for name in API if "write" in API[name].faults and self.is_on(name)), None)
        if fault is not None and not API[fault].lost:
            raise API[fault].faults["write"]()
        if scale.resource_version != str(self.version):
            raise ConflictError("the object has been modified")
        self._judge(replicas)
        before = self.truth.replicas
        self._set(replicas)
        self.oracle.changed(self.policy, before)
        if fault is not None:
            raise API[fault].faults["write"]()
        self._called = self.version
        return replace(scale, replicas=replicas, resource_version=str(self.version))

    def _judge(self, replicas: int) -> None:
        self.ups += replicas > self.truth.replicas
        if replicas < self.truth.replicas:
            self.downs += 1
            if replicas < self.oracle.lowest:
                wrong = f"{self.truth.replicas} -> {replicas} at {self.truth.now:g} s"
                self.wrong.append(f"{wrong}; good data orders {self.oracle.lowest} or more")

    def _set(self, replicas: int) -> None:
        if replicas != self.truth.replicas:
            self.truth.order(replicas)
            self.version += 1

    def _fail(self, method: str) -> None:
        for name, fault in API.items():
            if method in fault.faults and self.is_on(name):
                raise fault.faults[method]()

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        self._fail("status")
        self.store.write_status(stored, status)

    def refused(self) -> Sequence[RefusedPolicy]:
        return ()

    def answers(
        self, questions: Collection[Question], _namespaces: Collection[str]
    ) -> Mapping[Question, Answer]:
        return {question: self._answer(question) for question in questions}

    @property
    def signal(self) -> Signal | None:
        """The signal that is asked for now; None for a query."""
        return self.asked.signal if isinstance(self.asked, SignalQuestion) else None

    def _answer(self, question: Question) -> Answer:
        for name, error in SOURCE.items():
            if self.is_on(name):
                return Answer(error=error)
        self.asked = question
        answer = self.truth.answer(self.signal, self.truth.now, self.now)
        for name, change in (METRICS | ANSWERED).items():
            if self.is_on(name):
                answer = change(answer, self)
        return answer


def _wait(controller: Controller) -> None:
    deadline = time.monotonic() + 10
    while controller.busy:
        if time.monotonic() > deadline:
            raise TimeoutError("a sync does not end")
        time.sleep(0.0001)
