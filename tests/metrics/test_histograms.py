from __future__ import annotations

from itertools import accumulate
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.metrics.histograms import histogram_quantile, merged

BOUNDS = (1.0, 2.0, 4.0, inf)


@pytest.mark.parametrize(
    ("quantile", "counts", "expected"),
    [
        (0.5, [10, 0, 0, 0], 0.5),
        (0.5, [5, 5, 0, 0], 1.0),
        (0.75, [5, 5, 0, 0], 1.5),
        (0.99, [0, 0, 0, 7], 4.0),
        (0.5, [0, 0, 0, 0], None),
    ],
)
def test_a_quantile_is_linear_within_its_bucket(quantile, counts, expected):
    assert histogram_quantile(quantile, BOUNDS, tuple(accumulate(counts))) == expected


@pytest.mark.parametrize("bounds", [(), (inf,), (1.0, 2.0)])
def test_without_two_buckets_and_infinity_there_is_no_quantile(bounds):
    assert histogram_quantile(0.5, bounds, (1.0,) * len(bounds)) is None


def test_counts_that_fall_are_lifted():
    assert histogram_quantile(0.5, BOUNDS, (6.0, 5.0, 6.0, 6.0)) == 0.5
    noise = 3.0 * (1 - 1e-15)
    assert histogram_quantile(0.99, BOUNDS, (3.0, noise, 3.0, 3.0)) == pytest.approx(0.99)


def test_a_first_bound_below_zero_is_itself_the_quantile():
    assert histogram_quantile(0.5, (-1.0, 1.0, inf), (8.0, 9.0, 10.0)) == -1.0


def test_histograms_with_other_buckets_never_look_faster_than_they_were():
    fine = ((1.0, 2.0, 4.0, inf), (10.0, 20.0, 20.0, 20.0))
    coarse = ((4.0, inf), (10.0, 10.0))
    assert merged([fine, coarse]) == ([1.0, 2.0, 4.0, inf], [10.0, 20.0, 30.0, 30.0])


def test_nothing_merged_is_nothing():
    assert histogram_quantile(0.5, *merged([])) is None


rates = st.lists(st.floats(0, 1e6), min_size=4, max_size=4).map(lambda counts: tuple(accumulate(counts)))


@given(st.lists(rates, min_size=1, max_size=4), st.floats(0.01, 0.99))
def test_a_merged_quantile_lies_between_those_of_its_parts(parts, quantile):
    each = [histogram_quantile(quantile, BOUNDS, part) for part in parts]
    known = [value for value in each if value is not None]
    together = histogram_quantile(quantile, *merged([(BOUNDS, part) for part in parts]))
    if not known:
        assert together is None
    else:
        assert together is not None
        assert min(known) - 1e-9 <= together <= max(known) + 1e-9
