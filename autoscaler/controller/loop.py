"""The run loop: which policies are due, what to ask for all of them, a bounded pool that syncs them.

Policies with one period are due at the same moments, so that what they ask is asked once. A slow
target keeps one worker busy and its own policy waiting, no other; one that timed out is asked ever
more rarely (pace.py, workers.py). Only the leader syncs; a process that gains the lead begins with
what is saved, not with what it once knew.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from math import floor

from autoscaler.api.models import ScalingPolicy
from autoscaler.api.status import read_status
from autoscaler.api.vocabulary import Action
from autoscaler.controller.actuator import WriteOutcome
from autoscaler.controller.clock import Clock
from autoscaler.controller.observation import QueryResults, QueryRights, questions
from autoscaler.controller.pace import Key, Paces, Watch, key_of
from autoscaler.controller.reconcile import PolicyMemory, Reconciler, Sync
from autoscaler.controller.recorder import Recorder
from autoscaler.controller.round import Round, StoppedError
from autoscaler.controller.workers import WorkerPool
from autoscaler.errors import ClusterError
from autoscaler.ports.metrics import Answer, MetricSource, Question
from autoscaler.ports.policies import PolicyStore, StoredPolicy
from autoscaler.ports.targets import Fence
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from autoscaler.telemetry.log_once import News

WORKERS = 16
LOOK_SECONDS = 0.5
"""How often to look for new, edited and due policies."""

STUCK_SECONDS = 120.0
"""Without a look for this long the loop is not alive."""

Edit = tuple[ScalingPolicy, str | None]
"""The policy in force, and what is wrong with the newest edit of it."""

UNREAD = "the policies were not read yet"

_log = logging.getLogger(__name__)


class Controller:
    """Keeps all policies of a store in force until it is stopped."""

    def __init__(
        self,
        source: MetricSource,
        store: PolicyStore,
        fence: Fence,
        reconciler: Reconciler,
        recorder: Recorder,
        metrics: ControllerMetrics,
        workers: int = WORKERS,
    ) -> None:
        self._source = source
        self._store = store
        self._fence = fence
        self._reconciler = reconciler
        self._recorder = recorder
        self._metrics = metrics
        self._clock: Clock = reconciler.clock
        self._rights: QueryRights = reconciler.rights
        self._workers = WorkerPool(workers)
        self._paces = Paces(self._clock.steady, metrics)
        self._memories: dict[Key, PolicyMemory] = {}
        self._due: dict[Key, tuple[float, Edit]] = {}
        self._refused: set[Key] = set()
        self.busy: set[Key] = set()
        """The policies that are being synced."""
        self._leads = False
        self._looked = self._clock.steady()
        self._source_error: str | None = None
        self._trouble = News(UNREAD)
        self._stop = threading.Event()

    # Health

    def alive(self) -> str | None:
        """Why this process should be restarted; None while it works."""
        silent = self._clock.steady() - self._looked
        if silent > STUCK_SECONDS:
            return f"the loop has stood still for {silent:.0f} s"
        return self._paces.stuck()

    def ready(self) -> str | None:
        """The reason why this process is not ready; None when it can work, or stand by to."""
        return self._trouble.text or None

    # Running

    def run(self, stop: threading.Event) -> None:
        """Syncs until ``stop`` is set; then what is under way is finished, and nothing new begun.

        To end a look that waits for metrics, close their source after setting it.
        """
        self._stop = stop
        while not stop.is_set():
            try:
                self.step()
            except Exception:  # a loop that ends in silence would scale nothing any more
                _log.exception("a look at the policies failed")
                self._metrics.errors.labels("InternalError").inc()
            stop.wait(LOOK_SECONDS)
        self.close()

    def close(self) -> None:
        """Waits for what is under way, and begins nothing that still waits for a worker."""
        self._workers.close()

    def step(self) -> None:
        """Begins the sync of every policy that is due, and does not wait for them."""
        self._looked = self._clock.steady()
        policies = self._policies()
        if policies is not None and self._has_lead():
            self._metrics.count_policies(stored.policy.spec.mode for stored in policies)
            self._record_refused()
            self._launch(self._now_due(policies))

    def once(self) -> Sequence[Sync]:
        """Syncs every policy now, and waits for them.

        Raises:
            ClusterError: the policies cannot be read.
        """
        return [future.result() for future in self._launch(list(self._store.policies()))]

    def _policies(self) -> Sequence[StoredPolicy] | None:
        try:
            policies = self._store.policies()
        except ClusterError as error:
            level = logging.INFO if self._trouble.text == UNREAD else logging.WARNING
            if self._trouble.is_new(str(error)):
                _log.log(level, "waiting for the policies", extra={"error": str(error)})
            return None
        if self._trouble.is_new(""):
            _log.info("policies read", extra={"policies": len(policies)})
        return policies

    def _has_lead(self) -> bool:
        leads = self._fence.may_write()
        if leads != self._leads:
            _log.info("leading" if leads else "standing by")
            self._leads = leads
            self._metrics.leading.set(leads)
            self._forget({*self._due, *self._refused, *self._memories})
        return leads

    def _now_due(self, policies: Sequence[StoredPolicy]) -> list[StoredPolicy]:
        """The policies to sync now: those whose time has come, the new and the edited ones."""
        now = self._clock.steady()
        present = {key_of(stored): stored for stored in policies}
        self._forget(self._due.keys() - present.keys())
        due = []
        for key, stored in present.items():
            at, (policy, problem) = self._due.get(key, (now, _edit(stored)))
            is_edited = policy is not stored.policy or problem != stored.problem
            if max(at, self._paces.until(key)) > now and not is_edited:
                continue
            if key in self.busy:
                self._metrics.late.inc()
            else:
                due.append(stored)
            period = stored.policy.spec.sync_period_seconds
            self._due[key] = ((floor(now / period) + 1) * period, _edit(stored))
        return due

    def _record_refused(self) -> None:
        """Records refused policies at every look, because they are never due."""
        refused = {key_of(one): one for one in self._store.refused()}
        self._forget(self._refused - refused.keys())
        self._refused = set(refused)
        for one in refused.values():
            self._recorder.refuse(one, self._clock.wall())

    def _forget(self, gone: Collection[Key]) -> None:
        for key in list(gone):
            self._due.pop(key, None)
            self._memories.pop(key, None)
            self._paces.forget(key)
            self._recorder.forget(*key[:2])

    # One tick

    def _launch(self, due: Sequence[StoredPolicy]) -> list[Future[Sync]]:
        if not due:
            return []
        try:
            shared = Round(lambda: self._ask(due), self._clock.steady)
        except StoppedError:
            return []
        begun = (self._begin(stored, shared) for stored in due)
        return [future for future in begun if future is not None]

    def _begin(self, stored: StoredPolicy, shared: Round) -> Future[Sync] | None:
        """Hands a sync to the workers; one that they do not take is due again at the next look."""
        key, memory = key_of(stored), self._memory(stored)
        self.busy.add(key)
        try:
            lane = self._paces.lane(key)
            return self._workers.submit(stored.namespace, lane, lambda: self._sync(stored, memory, shared))
        except Exception:
            _log.exception("a sync could not begin", extra={"policy": "/".join(key[:2])})
            self._metrics.errors.labels("InternalError").inc()
            self.busy.discard(key)
            self._due.pop(key, None)
            return None

    def _memory(self, stored: StoredPolicy) -> PolicyMemory:
        return self._memories.setdefault(key_of(stored), PolicyMemory(status=read_status(stored.status)))

    def _ask(self, due: Sequence[StoredPolicy]) -> QueryResults:
        """Everything that these policies need to know, each question once.

        Raises:
            StoppedError: what was asked in vain is not a failure, and decides nothing.
        """
        asked = {*questions(due, self._rights), *self._reconciler.asks}
        namespaces = {stored.namespace for stored in due}
        with self._metrics.source_seconds.time():
            answers = self._answers(asked, namespaces)
        if self._stop.is_set():
            raise StoppedError
        self._count(answers)
        return answers

    def _count(self, answers: QueryResults) -> None:
        """Counts and logs each failed question, also while its last answer is used instead."""
        errors = [error for answer in answers.values() if (error := answer.error or answer.outage)]
        self._metrics.questions.labels("error").inc(len(errors))
        self._metrics.questions.labels("ok").inc(len(answers) - len(errors))
        self._log_source(errors[0] if errors and len(errors) == len(answers) else None)

    def _log_source(self, error: str | None) -> None:
        """Logs once that no metric can be read, and once the recovery; reasons change meanwhile."""
        if (error is None) != (self._source_error is None):
            if error is None:
                _log.info("metrics can be read again")
            else:
                _log.warning("no metric can be read: holding, and trying again", extra={"error": error})
        self._source_error = error

    def _answers(self, asked: Collection[Question], namespaces: Collection[str]) -> Mapping[Question, Answer]:
        try:
            return self._source.answers(asked, namespaces)
        except Exception as error:  # whatever it is: no metric, no scaling down, and try again
            if not self._stop.is_set():
                _log.exception("the metric source failed")
                self._metrics.errors.labels("InternalError").inc()
            return dict.fromkeys(asked, Answer(error=f"the metric source failed: {error}"))

    def _sync(self, stored: StoredPolicy, memory: PolicyMemory, shared: Round) -> Sync:
        """One policy's sync, whatever happens in it."""
        key = key_of(stored)
        try:
            with self._paces.watch(stored) as watch, self._metrics.sync_seconds.time():
                sync = watch.judge(self._synced(stored, memory, shared, watch))
            self._recorder.record(sync, memory)
        except StoppedError:
            raise
        except Exception:
            _log.exception("a sync could not be recorded", extra={"policy": "/".join(key[:2])})
            self._metrics.errors.labels("InternalError").inc()
            raise
        finally:
            if self._memories.get(key) is not memory:  # forgotten meanwhile, so what was recorded now is too
                self._paces.forget(key)
                self._recorder.forget(*key[:2])
            self.busy.discard(key)
        return sync

    def _synced(self, stored: StoredPolicy, memory: PolicyMemory, shared: Round, watch: Watch) -> Sync:
        period = stored.policy.spec.sync_period_seconds
        try:
            return self._reconciler.sync(stored, memory, lambda: watch.apart(lambda: shared.answers(period)))
        except StoppedError:
            raise
        except Exception as error:  # one policy's trouble never stops the others
            _log.exception("a sync failed", extra={"namespace": stored.namespace, "policy": stored.name})
            outcome = WriteOutcome(Action.FAILED, "InternalError", f"{type(error).__name__}: {error}")
            return Sync(stored, self._clock.wall(), outcome)


def _edit(stored: StoredPolicy) -> Edit:
    return stored.policy, stored.problem
