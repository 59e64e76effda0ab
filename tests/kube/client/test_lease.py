"""Leader election in turned time: two candidates, and whatever may happen to their calls."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoscaler.errors import ClusterError
from autoscaler.kube.client.api import WRITE_TIMEOUT_SECONDS, ApiError
from autoscaler.kube.client.lease import LeaderElection, LeaseSettings, SoleReplica

LEASE_SECONDS = 15


class Leases:
    """The one Lease, kept as the API server keeps it. ``fault``: what goes wrong with the next call."""

    write_seconds = WRITE_TIMEOUT_SECONDS

    def __init__(self):
        self.lease = None
        self.version = 0
        self.fault = None
        self.calls = []

    def _faulty(self, moment):
        if self.fault == moment:
            self.fault = None
            raise ClusterError("the connection broke")

    def _store(self, lease):
        self.version += 1
        self.lease = copy.deepcopy(lease)
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        self._faulty("after")
        return copy.deepcopy(self.lease)

    def get(self, _path, _query=None):
        self.calls.append("get")
        self._faulty("before")
        if self.lease is None:
            raise ApiError(404, "NotFound", "no lease")
        return copy.deepcopy(self.lease)

    def create(self, _path, lease):
        self.calls.append("create")
        self._faulty("before")
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "there is one")
        return self._store(lease)

    def replace(self, _path, lease):
        self.calls.append("replace")
        self._faulty("before")
        if self.lease is None:
            raise ApiError(404, "NotFound", "no lease")
        if lease["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "it has changed")
        return self._store(lease)


class World:
    """Two candidates with clocks that have nothing in common but their pace."""

    def __init__(self):
        self.leases = Leases()
        self.now = 0.0
        self.a = self.candidate("a", 1000.0)
        self.b = self.candidate("b", 77.0)

    def candidate(self, identity, origin):
        settings = LeaseSettings("autoscaler", "leader", identity, LEASE_SECONDS)
        return LeaderElection(self.leases, settings, lambda: self.now + origin, lambda: 1.7e9 + self.now)

    def run(self, seconds, *candidates):
        """Each candidate tries once a second."""
        for _ in range(seconds):
            self.now += 1
            for candidate in candidates:
                candidate.step()


@pytest.fixture
def world():
    return World()


def test_the_first_one_leads_and_the_second_waits(world):
    world.a.step()
    world.b.step()
    assert (world.a.may_write(), world.b.may_write()) == (True, False)


def test_who_renews_leads_on(world):
    world.run(100, world.a, world.b)
    assert (world.a.may_write(), world.b.may_write()) == (True, False)
    assert world.leases.lease["spec"]["leaseTransitions"] == 0


def test_renewing_is_one_call(world):
    world.run(1, world.a)
    world.leases.calls.clear()
    world.run(3, world.a)
    assert world.leases.calls == ["replace"] * 3


def test_when_the_leader_dies_another_takes_over_after_the_lease_and_not_before(world):
    world.run(1, world.a, world.b)
    world.run(LEASE_SECONDS, world.b)
    assert not world.b.may_write()
    world.run(1, world.b)
    assert world.b.may_write()
    assert world.leases.lease["spec"]["holderIdentity"] == "b"
    assert world.leases.lease["spec"]["leaseTransitions"] == 1


@pytest.mark.parametrize("field", ["leaseDurationSeconds", "leaseTransitions"])
@pytest.mark.parametrize("number", [2**31 - 1, 10**30, -1, "soon", None])
def test_no_number_in_a_dead_leaders_lease_keeps_another_from_leading(world, field, number):
    world.run(1, world.a)
    world.leases.lease["spec"][field] = number
    world.run(3602, world.b)
    assert world.b.may_write()
    assert 1 <= world.leases.lease["spec"]["leaseTransitions"] <= 2**31 - 1


def test_a_leader_that_cannot_renew_stops_in_time_for_its_last_write(world):
    world.run(1, world.a)
    for _ in range(20):
        world.now += 1
        world.leases.fault = "before"
        world.a.step()
        if world.a.may_write():
            last_write_ends = world.now + WRITE_TIMEOUT_SECONDS
    assert not world.a.may_write()
    assert last_write_ends < 1 + LEASE_SECONDS


def test_a_paused_leader_that_comes_back_finds_that_it_was_replaced(world):
    world.run(1, world.a, world.b)
    world.run(LEASE_SECONDS + 1, world.b)
    assert not world.a.may_write()
    world.run(2, world.a)
    assert (world.a.may_write(), world.b.may_write()) == (False, True)


def test_a_renewal_of_which_nobody_knows_whether_it_arrived_is_looked_up(world):
    world.run(1, world.a)
    world.leases.fault = "after"
    world.run(1, world.a)
    assert world.a.may_write(), "the lease before it still lasts"
    world.run(1, world.a)
    assert world.leases.calls[-2:] == ["get", "replace"]
    assert world.a.may_write()


def test_who_stands_by_says_for_whom_and_what_lasts_is_told_once(world, caplog):
    caplog.set_level("INFO", logger="autoscaler")
    world.a.step()
    world.run(3, world.b)
    world.leases.fault = "before"
    world.run(1, world.b)
    assert [record.message.partition(": ")[2] for record in caplog.records] == [
        "held by a; standing by",
        "the connection broke",
    ]


def test_a_lease_that_was_given_back_is_free_at_once(world):
    world.run(1, world.a, world.b)
    world.a.start()
    world.a.stop()
    assert not world.a.may_write()
    assert world.leases.lease["spec"]["holderIdentity"] == ""
    world.run(1, world.b)
    assert world.b.may_write()


def test_somebody_elses_lease_is_not_given_back(world):
    world.run(1, world.a, world.b)
    world.b.start()
    world.b.stop()
    assert world.leases.lease["spec"]["holderIdentity"] == "a"


def test_a_lease_that_somebody_takes_by_force_is_lost_at_once(world):
    world.run(1, world.a)
    world.leases.fault = "before"
    world.run(1, world.a)
    world.leases.lease["spec"]["holderIdentity"] = "b"
    world.leases.lease["metadata"]["resourceVersion"] = "edited"
    world.run(1, world.a)
    assert not world.a.may_write()


def test_a_lease_that_somebody_deletes_is_made_anew(world):
    world.run(1, world.a)
    world.leases.lease = None
    world.run(1, world.a)
    assert not world.a.may_write()
    world.run(1, world.a)
    assert world.a.may_write()


def test_the_lease_is_one_that_kubectl_and_client_go_can_read(world):
    world.run(1, world.a)
    assert world.leases.lease["spec"] == {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "renewTime": "2023-11-14T22:13:21.000000Z",
        "acquireTime": "2023-11-14T22:13:21.000000Z",
        "leaseTransitions": 0,
    }


MOVES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from([0.0, 0.5, 4.5, 14.9]),
        st.sampled_from([None, None, None, "before", "after"]),
    ),
    min_size=20,
    max_size=40,
)


@settings(max_examples=150)
@given(MOVES)
def test_there_are_never_two_leaders_whatever_happens(moves):
    """Not even one that writes for as long as a write may take, while another begins."""
    world = World()
    may_write_until = {"a": -1.0, "b": -1.0}
    for who, seconds, fault in moves:
        world.now += seconds
        world.leases.fault = fault
        candidate = world.a if who == "a" else world.b
        candidate.step()
        world.leases.fault = None
        for name, one in (("a", world.a), ("b", world.b)):
            if one.may_write():
                other = "b" if name == "a" else "a"
                assert may_write_until[other] < world.now
                may_write_until[name] = world.now + WRITE_TIMEOUT_SECONDS


def test_a_sole_replica_always_holds():
    assert SoleReplica().may_write()
