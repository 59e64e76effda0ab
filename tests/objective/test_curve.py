"""Miss curves: they rise, they follow what is counted, and they start from the profile's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.objective.constants import TIMES
from autoscaler.objective.curve import EDGES, LOADS, family, first_curves, isotonic
from tests.objective.builders import CURVE, PRIOR

VALUES = st.lists(st.tuples(st.floats(0.0, 1.0), st.floats(0.1, 100.0)), min_size=1, max_size=30)


def naive(values, weights):
    """The isotonic fit by its definition, as means of stretches."""

    def mean(first, last):
        return np.average(values[first : last + 1], weights=weights[first : last + 1])

    count = len(values)
    return [
        max(min(mean(first, last) for last in range(at, count)) for first in range(at + 1))
        for at in range(count)
    ]


@given(VALUES)
def test_pooling_gives_the_isotonic_fit(pairs):
    values, weights = (np.array(column) for column in zip(*pairs, strict=True))
    assert isotonic(values, weights) == pytest.approx(naive(values, weights), abs=1e-9)


def learnt(samples):
    kin = family(PRIOR)
    curves = first_curves(kin)
    for load, share, requests in samples:
        loads = np.full(4, load)
        curves = curves.counted(loads, loads, share, requests, 15.0, kin, TIMES)
    return curves.fitted(kin)


def test_before_anything_is_counted_the_curve_is_near_the_profile():
    curves = learnt([])
    assert np.abs(curves.share[0] - np.array(CURVE)).max() < 0.35  # a family of shifts is wider
    assert curves.full == pytest.approx(np.full(4, curves.full[0]))


@given(st.lists(st.tuples(st.floats(0.001, 20.0), st.floats(0.0, 1.0), st.floats(1.0, 1e4)), max_size=10))
def test_a_curve_never_falls_and_stays_a_share(samples):
    share = learnt(samples).share
    assert (np.diff(share, axis=1) >= -1e-12).all()
    assert share.min() >= 0.0
    assert share.max() <= 1.0


def test_counts_outweigh_the_profile():
    """A replica holds half of what its profile says."""
    curves = learnt([(0.3, 0.0, 5000.0), (0.6, 0.5, 5000.0), (1.0, 1.0, 5000.0)])
    shares = curves.share[0][np.searchsorted(EDGES, (0.3, 0.6, 1.0))]
    assert shares == pytest.approx([0.0, 0.5, 1.0], abs=0.03)
    assert 0.3 < curves.full[0] < 0.6


def test_a_little_evidence_moves_the_whole_curve():
    """Misses at low loads say that the axis is off, also at loads that were not seen."""
    before, after = learnt([]), learnt([(0.6, 0.3, 300.0)])
    high = int(np.searchsorted(LOADS, 0.9))
    assert after.share[0][high] > before.share[0][high] + 0.1


def test_old_counts_fade():
    kin, loads = family(PRIOR), np.full(4, 0.6)
    curves = first_curves(kin).counted(loads, loads, 0.5, 1000.0, 15.0, kin, TIMES)
    later = curves.counted(loads, loads, 0.0, 0.0, TIMES.forget_s, kin, TIMES)
    assert later.requests.sum() == pytest.approx(curves.requests.sum() / np.e)
