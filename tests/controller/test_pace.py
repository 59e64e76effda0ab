"""Slow targets and syncs that never end: one tenant's trouble is no other's, and the process notices."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest

from autoscaler.controller.backoff import Backoff
from autoscaler.controller.workers import Lane, WorkerPool
from autoscaler.errors import ClusterError
from tests.controller.fakes import CHAT, Workload, World, world


@pytest.fixture
def chat() -> Iterator[World]:
    with world() as made:
        yield made


def look(made: World, seconds: float = 0.5) -> None:
    """Looks every half second, and waits for the syncs that this begins."""
    for _ in range(int(seconds * 2)):
        made.time.passed += 0.5
        made.controller.step()
        made.wait()


def test_each_failure_doubles_the_wait_up_to_the_longest_and_a_success_ends_it() -> None:
    backoff: Backoff[str] = Backoff(1.0, 5.0)
    assert [backoff.fail("a", now) for now in (0.0, 10.0, 20.0, 30.0)] == [1.0, 2.0, 4.0, 5.0]
    assert (backoff.until("a"), len(backoff), "b" in backoff) == (35.0, 1, False)
    backoff.clear("a")
    assert backoff.fail("a", 40.0) == 1.0


def times_out(made: World, seconds: float = 10.0) -> None:
    made.time.passed += seconds
    raise ClusterError("the Kubernetes API did not answer: timed out")


def test_a_target_that_times_out_is_asked_ever_more_rarely_and_its_condition_says_so(chat: World) -> None:
    asked: list[float] = []

    def read() -> None:
        asked.append(chat.time.passed)
        times_out(chat)

    chat.targets.delays["chat/vllm"] = read
    look(chat, 200)
    waits = [later - before - 10 for before, later in pairwise(asked)]
    assert waits[:3] == sorted(waits[:3])
    assert 30 <= waits[-1] <= 45  # the longest wait, and until the policy's next turn
    assert chat.metric("targets_in_backoff") == 1
    (able,) = [one for one in chat.status["conditions"] if one["type"] == "AbleToScale"]
    assert (able["status"], able["reason"]) == ("False", "FailedGetScale")
    assert "no scaling up or down until then" in able["message"]
    assert chat.events.reasons == ["FailedGetScale"]


def test_a_target_that_answers_again_is_scaled_by_the_load_of_now(chat: World) -> None:
    chat.targets.delays["chat/vllm"] = lambda: times_out(chat)
    look(chat, 60)
    chat.source.loads["chat/vllm"] = 10
    del chat.targets.delays["chat/vllm"]
    look(chat, 45)
    assert chat.chat.replicas > 2
    assert chat.metric("targets_in_backoff") == 0


def test_an_edit_does_not_wait_for_the_end_of_a_back_off(chat: World) -> None:
    chat.targets.delays["chat/vllm"] = lambda: times_out(chat)
    look(chat, 60)
    del chat.targets.delays["chat/vllm"]
    chat.store.put(CHAT.model_copy())
    look(chat)
    assert chat.condition("AbleToScale")[0] == "True"


@pytest.mark.parametrize("seconds", [0.1, 10.0])
def test_only_targets_that_hold_a_thread_back_off(chat: World, seconds: float) -> None:
    """A refusal costs nothing, and is tried at every sync."""
    chat.targets.delays["chat/vllm"] = lambda: times_out(chat, seconds)
    look(chat)
    assert chat.metric("targets_in_backoff") == (1 if seconds > 1 else 0)


def test_the_time_that_the_source_takes_is_not_the_targets(chat: World) -> None:
    look(chat)
    chat.source.when_asked = lambda: setattr(chat.time, "passed", chat.time.passed + 8)
    look(chat, 30)
    key = ("chat", "vllm", "chat/vllm")
    assert chat.controller._paces.lane(key) is Lane.QUICK


def test_a_sync_that_begins_late_asks_for_answers_of_its_own_time(chat: World) -> None:
    """Both policies are launched together; the second gets its thread after 20 s, with another load."""
    chat.targets.workloads["chat/slow"] = Workload()
    document = CHAT.model_dump(by_alias=True, mode="json")
    document["spec"]["scaleTargetRef"]["name"] = "slow"
    chat.store.put(CHAT.model_validate(document), name="slow")
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    chat.targets.delays["chat/slow"] = hang
    stored = dict(chat.store.stored)
    chat.store.stored = {"chat/slow": stored["chat/slow"], "chat/vllm": stored["chat/vllm"]}
    chat.controller.step()  # one thread for a namespace of two: vllm waits behind slow
    assert begun.wait(10)
    chat.time.passed += 20
    chat.source.loads["chat/vllm"] = 10
    release.set()
    chat.wait()
    assert len(chat.source.asked) == 2
    assert chat.chat.replicas == 4


def test_a_sync_that_never_ends_is_noticed(chat: World) -> None:
    begun, release = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        release.wait()

    chat.targets.delays["chat/vllm"] = hang
    chat.controller.step()
    assert begun.wait(10)
    for _ in range(100):
        chat.time.passed += 1
        chat.controller.step()
    assert chat.metric("oldest_sync_seconds") == 100
    assert chat.controller.alive() is None
    for _ in range(40):
        chat.time.passed += 1
        chat.controller.step()
    assert chat.controller.alive() == "the sync of chat/vllm has taken 140 s"
    release.set()
    chat.wait()
    assert (chat.controller.alive(), chat.metric("oldest_sync_seconds")) == (None, 0)


def test_a_sync_that_cannot_be_begun_is_begun_at_the_next_look(chat: World) -> None:
    workers = chat.controller._workers
    closed = WorkerPool(1)
    closed.close()
    chat.controller._workers = closed
    chat.controller.step()
    assert chat.controller.busy == set()
    assert chat.metric("errors_total", reason="InternalError") == 1
    chat.controller._workers = workers
    look(chat)
    assert chat.condition("AbleToScale")[0] == "True"
