"""A process that is stuck says why, gives up the lead and exits, whatever else hangs."""

from __future__ import annotations

import threading

import pytest

from autoscaler.controller.watchdog import EXIT_STATUS, ForcedExit, Watchdog
from autoscaler.kube.client.api import WRITE_TIMEOUT_SECONDS
from autoscaler.kube.client.lease import MARGIN_SECONDS
from tests.kube.client.test_lease import World
from tests.servers.eventually import eventually

STUCK = "the sync of chat/vllm has taken 140 s"


def test_a_fault_that_lasts_ends_the_process_and_one_that_passes_does_not() -> None:
    fault: str | None = None
    ended: list[str] = []
    watchdog = Watchdog(lambda: fault, ended.append, looks=3)
    for seen in (STUCK, STUCK, None, STUCK, STUCK):  # as after a machine was suspended
        fault = seen
        watchdog.look()
    assert ended == []
    watchdog.look()
    watchdog.look()
    assert ended == [f"this process is stuck and ends: {STUCK}"]


def test_the_reason_is_written_the_lead_given_up_and_only_then_the_process_ended() -> None:
    done: list[object] = []
    ForcedExit(lambda: done.append("lead"), [done.append], done.append).now(STUCK)
    assert done == [STUCK, "lead", EXIT_STATUS]
    assert EXIT_STATUS != 0


@pytest.mark.parametrize("hanging", ["place", "lead"])
def test_nothing_that_hangs_keeps_the_process(hanging: str) -> None:
    release, left = threading.Event(), list[int]()

    def hang(*_: object) -> None:
        release.wait()

    def nothing(*_: object) -> None:
        pass

    lead, place = (hang, nothing) if hanging == "lead" else (nothing, hang)
    ForcedExit(lead, [place], left.append, say_seconds=0.01, give_up_seconds=0.01).now(STUCK)
    assert left == [EXIT_STATUS]
    release.set()


def test_a_process_that_does_not_end_in_time_is_ended() -> None:
    left: list[int] = []
    ForcedExit(lambda: None, [lambda _: None], left.append).after(0.01, "told to end, and did not")
    eventually(lambda: left == [EXIT_STATUS])


def test_the_lead_that_is_given_up_is_free_once_no_write_can_be_in_flight() -> None:
    made = World()
    made.run(3, made.a, made.b)
    assert made.a.may_write()
    waited: list[float] = []

    def pause(seconds: float) -> None:
        assert not made.a.may_write()
        assert made.leases.lease["spec"]["holderIdentity"] == "a"  # another may not lead yet
        waited.append(seconds)

    made.a.give_up(pause)
    assert waited == [WRITE_TIMEOUT_SECONDS + MARGIN_SECONDS]
    made.run(1, made.b)
    assert made.b.may_write()


def test_a_standby_that_gives_up_waits_for_nothing() -> None:
    made = World()
    made.run(3, made.a, made.b)
    waited: list[float] = []
    made.b.give_up(waited.append)
    assert waited == []
    assert made.a.may_write()
