"""The window of requests in flight, as timelines."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from autoscaler.batch.congestion import CongestionWindow


def window(most: int = 64) -> CongestionWindow:
    return CongestionWindow(most, Random(0))


def test_it_doubles_each_round_trip_until_the_first_refusal():
    found = window()
    sizes = []
    for _ in range(6):
        sizes.append(found.limit)
        for _ in range(found.limit):
            found.answered()
    assert sizes == [4, 8, 16, 32, 64, 64]


def test_after_a_refusal_it_grows_by_one_a_round_trip():
    found = window()
    for _ in range(28):
        found.answered()
    found.refused(sent_at=1.0, now=2.0, retry_after_s=None)
    assert found.limit == 16
    for _ in range(17):
        found.answered()
    assert found.limit == 17


def test_what_was_refused_together_halves_once():
    found = window()
    for _ in range(60):
        found.answered()
    for late in range(10):
        found.refused(sent_at=1.0 + late / 100, now=2.0 + late / 100, retry_after_s=None)
    assert found.limit == 32
    found.refused(sent_at=2.5, now=3.0, retry_after_s=None)
    assert found.limit == 16


def test_it_pauses_at_least_as_long_as_it_is_asked_to():
    found = window()
    found.refused(sent_at=1.0, now=2.0, retry_after_s=45.0)
    assert found.paused_until == 47.0
    found.refused(sent_at=1.5, now=3.0, retry_after_s=50.0)
    assert found.paused_until == 53.0
    found.refused(sent_at=1.5, now=4.0, retry_after_s=1.0)
    assert found.paused_until == 53.0


def test_pauses_double_until_an_answer_comes():
    found, now = window(), 10.0
    pauses = []
    for _ in range(9):
        found.refused(sent_at=now, now=now + 0.001, retry_after_s=None)
        pauses.append(found.paused_until - now)
        now = found.paused_until
    longest = [min(0.5 * 2**number, 30.0) for number in range(9)]
    assert all(most / 2 <= pause <= most + 0.01 for pause, most in zip(pauses, longest, strict=True))
    assert found.limit == 1
    found.answered()
    found.refused(sent_at=now, now=now, retry_after_s=None)
    assert found.paused_until - now <= 0.5


EVENTS = st.lists(st.sampled_from(["answered", "refused"]), max_size=300)


@given(EVENTS, st.integers(1, 100))
def test_it_stays_within_one_and_its_most(events, most):
    found = window(most)
    for number, event in enumerate(events):
        if event == "answered":
            found.answered()
        else:
            found.refused(number, number + 0.5, None)
        assert 1 <= found.limit <= most
