"""Several pods read one storage: nothing is lost, nobody gets too much, more readers are never faster."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.startup.sharing import SharedStorage, fair_rates

LOADS = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0.1, 1000), st.floats(0.1, 50)), min_size=1, max_size=8
)
TOTALS = st.one_of(st.just(inf), st.floats(0.1, 100))


def ends_of(loads: list[tuple[float, float, float]], total: float) -> dict[int, float]:
    storage = SharedStorage(total)
    for key, (start, size, cap) in enumerate(loads):
        storage.add(key, start, size, cap)
    return storage.ends()


@pytest.mark.parametrize(
    ("caps", "total", "rates"),
    [
        ([10.0], inf, [10.0]),
        ([10.0], 4.0, [4.0]),
        ([10.0, 10.0], 10.0, [5.0, 5.0]),
        ([1.0, 10.0, 10.0], 10.0, [1.0, 4.5, 4.5]),
        ([10.0, 1.0], 100.0, [10.0, 1.0]),
        ([], 5.0, []),
    ],
)
def test_what_a_slow_reader_leaves_is_shared_by_the_others(caps, total, rates):
    assert fair_rates(caps, total) == rates


def test_one_reader_takes_its_own_rate():
    assert ends_of([(5.0, 100.0, 10.0)], inf) == {0: 15.0}


def test_two_readers_share_and_the_second_is_alone_at_the_end():
    # 0 reads 50 alone until 5, both 5 a second until 0 has its other 50 at 15, then 1 reads at 10.
    assert ends_of([(0.0, 100.0, 10.0), (5.0, 100.0, 10.0)], 10.0) == pytest.approx({0: 15.0, 1: 20.0})


def test_a_reader_that_stops_leaves_its_share():
    storage = SharedStorage(10.0)
    storage.add(0, 0.0, 100.0, 10.0)
    storage.add(1, 0.0, 100.0, 10.0)
    storage.advance(4.0)
    storage.drop(1)
    assert storage.left(0) == pytest.approx(80.0)
    assert storage.ends() == pytest.approx({0: 12.0})


@given(LOADS, TOTALS)
def test_every_byte_is_read_once(loads, total):
    ends = ends_of(loads, total)
    assert ends.keys() == set(range(len(loads)))
    storage = SharedStorage(total)
    for key, (start, size, cap) in enumerate(loads):
        storage.add(key, start, size, cap)
    moments = sorted({start for start, _, _ in loads} | set(ends.values()))
    most = min(total, sum(cap for _, _, cap in loads))
    before = 0.0
    for now in moments:
        left = sum(storage.left(key) for key in ends)
        storage.advance(now)
        read = left - sum(storage.left(key) for key in ends)
        assert -1e-6 <= read <= most * (now - before) + 1e-6
        before = now
    assert sum(storage.left(key) for key in ends) == pytest.approx(0.0, abs=1e-6)


@given(LOADS, TOTALS, st.tuples(st.floats(0, 100), st.floats(0.1, 1000), st.floats(0.1, 50)))
def test_a_further_reader_makes_nobody_faster(loads, total, further):
    alone, together = ends_of(loads, total), ends_of([*loads, further], total)
    assert all(together[key] >= end - 1e-6 for key, end in alone.items())


@given(LOADS, TOTALS)
def test_nobody_is_faster_than_alone_at_its_own_rate(loads, total):
    ends = ends_of(loads, total)
    for key, (start, size, cap) in enumerate(loads):
        assert ends[key] >= start + size / min(cap, total) - 1e-6


@given(LOADS, TOTALS, st.lists(st.floats(0, 200), max_size=4))
def test_looking_on_the_way_changes_nothing(loads, total, looks):
    seen = ends_of(loads, total)
    storage = SharedStorage(total)
    for key, (start, size, cap) in enumerate(loads):
        storage.add(key, start, size, cap)
    for now in sorted(looks):
        storage.advance(now)
        for key, end in storage.ends().items():
            assert end == pytest.approx(seen[key], abs=1e-6)
