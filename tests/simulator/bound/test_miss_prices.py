"""The prices that are tried, against misses that fall with them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator.bound.miss_prices import CHEAPEST, DEAREST, bracket, next_price


def attainment(price_s, at, fall):
    """Misses fall as a power of the price; a tenth misses at price ``at``."""
    return 1.0 - min(1.0, 0.1 * (at / price_s) ** fall)


@example(0.5, 0.8, 0.9)  # the second price reaches the goal and not one request more
@given(st.floats(0.5, 500.0), st.floats(0.4, 2.0), st.sampled_from([0.9, 0.99]))
def test_the_price_that_reaches_the_goal_is_soon_between_two_that_are_close(at, fall, goal):
    attained = {}
    for _ in range(20):
        price_s = next_price(attained, goal)
        assert CHEAPEST <= price_s <= DEAREST
        attained[price_s] = attainment(price_s, at, fall)
        low, high = bracket(attained, goal)
        if low is not None and high is not None and high / low < 1.3:
            break
    else:
        pytest.fail(f"the bracket is still {low} to {high}")
    assert attained[low] < goal <= attained[high]


def test_a_goal_out_of_reach_ends_at_the_dearest_price():
    assert next_price({DEAREST: 0.5}, 0.99) == DEAREST
