"""Which fixed numbers of replicas are tried, against attainments that rise with them."""

from hypothesis import given
from hypothesis import strategies as st

from simulator.bound.fixed_plans import ROUGHLY, next_number

GOAL = 0.99


def tried(attainment, guess, most, near=0.0):
    """Attainments of all numbers that are asked for until the search ends."""
    attained = {}
    while (number := next_number(attained, GOAL, guess=guess, most=most, near=near)) is not None:
        assert number not in attained, "each number is replayed once"
        assert 1 <= number <= most
        attained[number] = attainment(number)
    return attained


def needs(fewest):
    """Fewer than so many replicas fail by a margin that shrinks; these and more reach the goal."""
    return lambda number: GOAL if number >= fewest else GOAL * number / (fewest + 1)


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 300))
def test_the_fewest_is_found_wherever_the_search_begins(fewest, guess, most):
    attained = tried(needs(fewest), min(guess, most), most)
    reaching = [number for number, share in attained.items() if share >= GOAL]
    assert min(reaching, default=None) == (fewest if fewest <= most else None)


@given(st.integers(1, 300), st.integers(1, 300))
def test_a_rough_search_ends_within_a_sixteenth(fewest, guess):
    attained = tried(needs(fewest), guess, 600, near=ROUGHLY)
    found = min(number for number, share in attained.items() if share >= GOAL)
    assert fewest <= found <= max(fewest + 1, fewest / (1 - ROUGHLY))


def test_a_goal_that_no_number_reaches_ends_at_the_most():
    assert max(tried(lambda _number: 0.5, guess=1, most=40)) == 40
