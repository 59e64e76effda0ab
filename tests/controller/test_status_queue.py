"""Statuses are written beside the syncs: the newest of each policy, scalings first, until they are."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial

import pytest

from autoscaler.controller.status_queue import StatusQueue
from autoscaler.errors import ClusterError
from autoscaler.ports.policies import AnyPolicy, StoredPolicy
from autoscaler.telemetry.controller_metrics import ControllerMetrics
from tests.controller.fakes import CHAT, FakeFence, FakeStore
from tests.servers.eventually import eventually

A, B, C = (StoredPolicy("chat", name, CHAT) for name in "abc")
SCALED = {"lastDecision": {"action": "Scaled"}}


class SlowStore(FakeStore):
    """Lets a test hold back what is being written."""

    def __init__(self) -> None:
        super().__init__()
        self.tries = 0
        self.goes_on = threading.Event()
        self.begun = threading.Event()
        self.refused_names: set[str] = set()

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        self.begun.set()
        self.goes_on.wait(10)
        self.tries += 1
        if self.write_fault is None and stored.name in self.refused_names:
            raise ClusterError("invalid")
        super().write_status(stored, status)

    def has_tried(self, times: int) -> bool:
        return self.tries >= times

    def has_written(self, name: str, status: Mapping[str, object]) -> bool:
        return (name, status) in self.writes


@pytest.fixture
def store() -> SlowStore:
    made = SlowStore()
    for one in (A, B, C):
        made.stored[f"chat/{one.name}"] = one
    return made


@pytest.fixture
def fence() -> FakeFence:
    return FakeFence()


@pytest.fixture
def queue(store: SlowStore, fence: FakeFence) -> Iterator[StatusQueue]:
    made = StatusQueue(store, fence, ControllerMetrics(), 0.01, 0.02, writers=1)
    yield made
    fence.leads = False  # so that closing does not wait for what cannot be written
    store.goes_on.set()
    made.close()


def test_the_newest_counts_and_scalings_go_first(store: SlowStore, queue: StatusQueue) -> None:
    queue.write_status(A, {"number": 1})
    assert store.begun.wait(10)
    queue.write_status(B, {"number": 1})
    queue.write_status(B, {"number": 2})
    queue.write_status(C, SCALED)
    store.goes_on.set()
    eventually(lambda: len(store.writes) == 3)
    assert store.writes == [("chat/a", {"number": 1}), ("chat/c", SCALED), ("chat/b", {"number": 2})]


def test_what_cannot_be_written_is_tried_again(store: SlowStore, queue: StatusQueue) -> None:
    store.goes_on.set()
    store.write_fault = ClusterError("timed out")
    queue.write_status(A, {"number": 1})
    assert store.begun.wait(10)
    assert store.writes == []
    store.write_fault = None
    eventually(lambda: store.writes == [("chat/a", {"number": 1})])


def test_the_status_of_a_policy_that_is_gone_is_not_tried_again(store: SlowStore, queue: StatusQueue) -> None:
    store.goes_on.set()
    store.write_fault = ClusterError('scalingpolicies.vllm-autoscaler.io "a" not found')
    store.stored["chat/a"] = replace(A, uid="made anew")
    queue.write_status(A, {"number": 1})
    queue.write_status(B, {"number": 1})
    eventually(lambda: list(queue._waiting) == [("chat", "b")])
    store.write_fault = None
    eventually(lambda: store.writes == [("chat/b", {"number": 1})])


def test_a_reason_that_lasts_is_told_once(
    store: SlowStore, queue: StatusQueue, caplog: pytest.LogCaptureFixture
) -> None:
    store.goes_on.set()
    store.write_fault = ClusterError("forbidden")
    queue.write_status(A, {"number": 1})
    eventually(lambda: store.tries >= 5)
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["status not written, will be tried again"]


def test_an_outage_is_told_once_whomever_it_meets_and_once_when_it_is_over(
    store: SlowStore, queue: StatusQueue, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    store.write_fault = ClusterError("connection refused")
    for policy in (A, B, C):
        queue.write_status(policy, {"number": 1})
    store.goes_on.set()
    eventually(lambda: store.tries >= 7)
    store.write_fault = None
    eventually(lambda: len(store.writes) == 3)
    told = [(record.levelname, record.message, record.__dict__["waiting"]) for record in caplog.records]
    assert told == [
        ("WARNING", "status not written, will be tried again", 3),
        ("INFO", "statuses are written again", 3),
    ]


def test_one_policy_that_is_refused_for_ever_is_told_once_and_hides_no_outage(
    store: SlowStore, queue: StatusQueue, caplog: pytest.LogCaptureFixture
) -> None:
    store.goes_on.set()
    store.refused_names.add("a")
    queue.write_status(A, {"number": 1})
    for number in range(4):
        queue.write_status(B, {"number": number})
        eventually(partial(store.has_written, "chat/b", {"number": number}))
        eventually(partial(store.has_tried, store.tries + 2))
    assert warned(caplog) == ["a: invalid"]
    store.write_fault = ClusterError("connection refused")
    queue.write_status(B, {"number": 9})
    queue.write_status(C, {"number": 9})
    eventually(partial(store.has_tried, store.tries + 6))
    first, second = warned(caplog)
    assert (first, second[1:]) == ("a: invalid", ": connection refused")


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    fields = [record.__dict__ for record in caplog.records if record.levelname == "WARNING"]
    return [f"{one['policy']}: {one['error']}" for one in fields]


def test_who_does_not_lead_any_more_writes_nothing(
    store: SlowStore, fence: FakeFence, queue: StatusQueue
) -> None:
    store.goes_on.set()
    fence.leads = False
    queue.write_status(A, {"number": 1})
    queue.close()
    assert store.writes == []


def test_closing_writes_what_is_left(store: SlowStore, queue: StatusQueue) -> None:
    for policy in (A, B, C):
        queue.write_status(policy, SCALED)
    store.goes_on.set()
    queue.close()
    assert len(store.writes) == 3


def test_closing_does_not_wait_for_ever(store: SlowStore, fence: FakeFence) -> None:
    queue = StatusQueue(
        store, fence, ControllerMetrics(), retry_seconds=0.01, longest_retry_seconds=0.02, drain_seconds=0.05
    )
    store.goes_on.set()
    store.write_fault = ClusterError("timed out")
    queue.write_status(A, SCALED)
    queue.close()
    assert store.writes == []


class WebhookStore(FakeStore):
    """Denies the statuses of some policies, or lets their writes hang."""

    def __init__(self) -> None:
        super().__init__()
        self.denied: list[str] = []
        self.hangs = False
        self.goes_on = threading.Event()

    def write_status(self, stored: AnyPolicy, status: Mapping[str, object]) -> None:
        if stored.namespace == "bad":
            self.denied.append(stored.name)
            if self.hangs:
                self.goes_on.wait()
            raise ClusterError("admission webhook denied the request")
        super().write_status(stored, status)


@pytest.mark.parametrize("hangs", [False, True])
def test_statuses_that_are_refused_or_hang_delay_no_other(hangs: bool) -> None:
    store, metrics = WebhookStore(), ControllerMetrics()
    store.hangs = hangs
    queue = StatusQueue(store, FakeFence(), metrics, retry_seconds=30, drain_seconds=0.05)
    refused = [StoredPolicy("bad", str(number), CHAT) for number in range(60)]
    store.stored = {f"{one.namespace}/{one.name}": one for one in (*refused, A)}
    for one in refused:
        queue.write_status(one, SCALED)
    queue.write_status(A, {"number": 1})
    eventually(lambda: store.writes == [("chat/a", {"number": 1})])
    store.goes_on.set()
    eventually(lambda: len(set(store.denied)) == 60)
    eventually(lambda: backing_off(metrics) == 60)
    for number in range(9):
        queue.write_status(A, {"number": number})
        eventually(partial(lambda count: len(store.writes) >= count, number + 2))
    assert len(store.denied) <= 120  # each once more, in case it was an outage that A has ended
    queue.close()


def backing_off(metrics: ControllerMetrics) -> float | None:
    return metrics.registry.get_sample_value("vllm_autoscaler_statuses_in_backoff")


def test_the_end_of_an_outage_ends_all_back_offs() -> None:
    store, metrics = FakeStore(), ControllerMetrics()
    store.stored = {f"chat/{one.name}": one for one in (A, B, C)}
    now = 0.0
    queue = StatusQueue(store, FakeFence(), metrics, retry_seconds=30, drain_seconds=0.05, clock=lambda: now)
    store.write_fault = ClusterError("connection refused")
    queue.write_status(A, {"number": 1})
    queue.write_status(B, {"number": 1})
    eventually(lambda: backing_off(metrics) == 2)
    store.write_fault = None
    queue.write_status(C, {"number": 1})  # the first that succeeds
    eventually(lambda: len(store.writes) == 3)
    assert backing_off(metrics) == 0
    queue.close()
