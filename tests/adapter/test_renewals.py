"""What probes are told about renewals."""

import pytest

from autoscaler.adapter.renewals import LONGEST_SECONDS, Renewals
from autoscaler.errors import ClusterError


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_it_is_ready_while_the_last_look_went_well():
    renewals = Renewals(Clock())
    assert renewals.ready() == "the certificate has not been looked at yet"
    with renewals.look():
        pass
    assert renewals.ready() is None
    with pytest.raises(ClusterError), renewals.look():
        raise ClusterError("no answer")
    assert (renewals.ready(), renewals.alive()) == ("no answer", None)
    with renewals.look():
        pass
    assert renewals.ready() is None


def test_it_is_alive_unless_a_look_does_not_end():
    clock = Clock()
    renewals = Renewals(clock)
    clock.now = 1e9
    assert renewals.alive() is None  # it may sleep for as long as it is told to
    with renewals.look():
        clock.now += LONGEST_SECONDS
        assert renewals.alive() is None
        clock.now += 1
        assert renewals.alive() == "a renewal has been under way for 601 s"
    assert renewals.alive() is None
