"""The dynamic programme against every plan that there is."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from simulator.bound.programme import Passage, Programme, passages
from simulator.bound.trace_windows import WINDOW_S

STARTUP_S, DRAIN_S = 90.0, 20.0


def cost_s(programme, plan, price_s, seen):
    """What a plan costs, said once more: time, start-ups, drains and misses."""
    steps = [after - before for _, before, after in passages(plan)]
    return (
        sum(plan) * WINDOW_S
        + STARTUP_S * sum(step for step in steps if step > 0)
        + DRAIN_S * sum(-step for step in steps if step < 0)
        + price_s * programme.misses(plan, seen)
    )


tables = st.lists(
    st.lists(st.integers(0, 60), min_size=3, max_size=3).map(
        lambda misses: dict(enumerate(sorted(misses, reverse=True), start=1))
    ),
    min_size=1,
    max_size=5,
)
sightings = st.dictionaries(
    st.builds(Passage, st.integers(0, 4), st.integers(1, 3), st.integers(1, 3)),
    st.integers(0, 90),
    max_size=6,
)


@given(tables, st.floats(0.01, 500.0), sightings)
def test_no_plan_is_cheaper(table, price_s, seen):
    programme = Programme(table, STARTUP_S)
    programme.drain_s = DRAIN_S
    seen = {step: missed for step, missed in seen.items() if step.window < len(table)}
    seen = {s: m for s, m in seen.items() if s.window or s.before == s.after}
    found = programme.cheapest(price_s, seen)
    least = min(cost_s(programme, plan, price_s, seen) for plan in product((1, 2, 3), repeat=len(table)))
    assert cost_s(programme, found, price_s, seen) <= least + 1e-6


def test_a_dear_miss_buys_replicas_and_a_cheap_one_none():
    programme = Programme([{1: 10, 2: 0}, {1: 0}, {1: 10, 2: 0}], STARTUP_S)
    assert programme.cheapest(1.0, {}) == (1, 1, 1)
    assert programme.cheapest(1000.0, {}) == (2, 1, 2)


def test_a_window_without_requests_needs_no_replica():
    programme = Programme([{0: 0}, {1: 30, 2: 0}], STARTUP_S)
    assert programme.cheapest(1000.0, {}) == (0, 2)


def test_what_a_replay_saw_takes_the_table_s_place():
    programme = Programme([{1: 0}, {1: 5, 2: 0}, {1: 0}], STARTUP_S)
    assert programme.cheapest(45.0, {}) == (1, 2, 1)
    seen = {Passage(1, 1, 2): 5}
    assert programme.cheapest(45.0, seen) == (1, 1, 1), "the second replica came too late to help"


def test_more_replicas_than_the_table_has_save_nothing_more():
    """Fixed numbers are tried beyond the table, and what they missed was seen for them alone."""
    programme = Programme([{1: 5, 2: 0}], STARTUP_S)
    assert programme.misses((7,), {}) == 0
    assert programme.cheapest(1000.0, {Passage(0, 7, 7): 3}) == (2,)
