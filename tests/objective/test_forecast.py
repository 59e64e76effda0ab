"""Forecasts and the choice that follows from them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.objective.choose import candidates, cheapest, expected_misses
from autoscaler.objective.constants import HISTORY_SLOTS, TIMES
from autoscaler.objective.curve import family, first_curves
from autoscaler.objective.forecast import analogues, forecast, no_analogues
from autoscaler.objective.history import QUANTILES, Slot, no_history
from tests.objective.builders import PRIOR

FORECAST = np.zeros((4, QUANTILES))
DEMANDS = st.lists(st.floats(0.0, 50.0), min_size=4, max_size=4).map(np.array)
CURVES = first_curves(family(PRIOR))
EVEN = np.full(4, 0.25)


def history(demands, level=1.0):
    found = no_history()
    for one in demands:
        row = np.full(4, one)
        found = found.after(Slot(row, np.full(4, level), row, 10.0, FORECAST))
    return found


@given(DEMANDS, DEMANDS, st.lists(st.floats(0.0, 20.0), max_size=40))
def test_quantiles_ascend(recent, level, demands):
    past = analogues(history(demands), 3, TIMES)
    assert (np.diff(forecast(recent, level, past), axis=1) >= 0.0).all()


def test_without_a_past_the_demand_goes_half_of_the_way_back_to_its_level():
    values = forecast(np.full(4, 4.0), np.full(4, 1.0), no_analogues())[0]
    assert 1.0 < np.median(values) < 4.0
    assert values[0] < np.median(values) < values[-1]


def test_what_followed_similar_moments_is_forecast():
    """Every fourth minute the demand is high; three minutes later it always is low."""
    demands = [4.0 if minute % 4 == 0 else 1.0 for minute in range(1000)]
    past = analogues(history(demands), 3, TIMES)
    calm, busy = (forecast(np.full(4, one), np.full(4, 1.0), past)[0] for one in (1.0, 4.0))
    assert np.median(busy) == pytest.approx(1.0, rel=0.05)
    assert calm[-2] == pytest.approx(4.0, rel=0.05)  # one in three calm minutes is followed by a busy one


def test_the_first_minutes_are_no_sample():
    assert len(analogues(history([9.0] * 12), 1, TIMES).weight) == 1
    assert len(analogues(history([9.0] * 10), 1, TIMES).weight) == 0


def test_minutes_that_were_not_seen_are_no_sample():
    known = history([1.0] * 30)
    with_gap = history([1.0] * 30).after_gap(5)
    assert len(analogues(with_gap, 1, TIMES).weight) == len(analogues(known, 1, TIMES).weight)
    assert with_gap.mean_demand() == pytest.approx(np.ones(4))


def test_a_history_is_a_day_and_its_start_is_forgotten():
    long = history(np.linspace(1.0, 2.0, HISTORY_SLOTS + 20))
    assert len(long) == HISTORY_SLOTS
    assert long.first_sample(10) == 0
    assert len(long.after_gap(10 * HISTORY_SLOTS)) == HISTORY_SLOTS


def chosen(demand, price=60.0, ordered=1000):
    ahead = demand[:, None] * np.linspace(0.8, 1.5, QUANTILES)
    misses = expected_misses(ahead, CURVES, EVEN, candidates(ahead, CURVES, 200))
    return cheapest(misses, price, ordered)


@given(DEMANDS, st.floats(1.0, 2.0), st.floats(1.0, 300.0))
def test_more_demand_never_means_fewer_replicas(demand, factor, price):
    assert chosen(demand * factor, price) >= chosen(demand, price)


@given(DEMANDS, st.floats(1.0, 300.0), st.floats(1.0, 10.0))
def test_dearer_misses_never_mean_fewer_replicas(demand, price, factor):
    assert chosen(demand, price * factor) >= chosen(demand, price)


@given(DEMANDS)
def test_more_replicas_never_miss_more(demand):
    misses = expected_misses(np.repeat(demand[:, None], QUANTILES, 1), CURVES, EVEN, 40)
    assert (np.diff(misses) <= 1e-9).all()


@pytest.mark.parametrize(
    ("misses", "ordered", "replicas"),
    [
        ((9.0, 3.0, 1.0, 0.9), 1, 3),
        ((9.0, 3.0, 1.0, 0.9), 2, 3),  # saves a whole replica
        ((9.0, 3.5, 2.1, 0.9), 2, 4),
        ((9.0, 2.0, 0.9, 0.0), 2, 2),  # 4.0 against 3.9 and 4.0: not worth a change
        ((9.0, 2.0, 0.9, 0.0), 4, 4),
        ((9.0, 2.0, 0.9, 0.0), 7, 3),
    ],
)
def test_a_change_has_to_be_worth_it(misses, ordered, replicas):
    assert cheapest(np.array(misses), 1.0, ordered) == replicas
