"""Shares above an objective, from buckets."""

from __future__ import annotations

from itertools import pairwise
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.objective.constants import TIMES
from autoscaler.objective.fleet_observation import Objective
from autoscaler.objective.increases import Increase
from autoscaler.objective.misses import PromptLengths, missed, share_above
from tests.objective.builders import EDGES, OBJECTIVE

BUCKETS = (1.0, 2.0, 4.0, inf)


@pytest.mark.parametrize(
    ("counts", "limit", "share"),
    [
        ((6, 2, 1, 1), 1.0, 0.4),  # an edge: exact
        ((6, 2, 1, 1), 4.0, 0.1),
        ((6, 0, 0, 0), 1.5, 0.0),
        ((0, 0, 0, 0), 2.0, 0.0),  # nothing counted
        ((0, 10, 0, 0), 1.5, 0.5),  # down to nothing: evenly
        ((0, 6, 3, 1), 2 * 2**0.5, 0.2),  # half of the way from 4 to 1, by factors
        ((5, 0, 0, 5), 8.0, 0.5),  # beyond the last edge no one knows: all of it
        ((10, 0, 0, 0), 0.5, 0.5),
    ],
)
def test_share_above(counts, limit, share):
    assert share_above(BUCKETS, np.array(counts, float), limit) == pytest.approx(share)


@given(st.lists(st.integers(0, 1000), min_size=4, max_size=4), st.lists(st.floats(0.1, 9.0), min_size=2))
def test_a_stricter_limit_is_never_missed_by_fewer(counts, limits):
    shares = [share_above(BUCKETS, np.array(counts, float), limit) for limit in sorted(limits)]
    assert all(0.0 <= share <= 1.0 for share in shares)
    assert all(looser <= stricter + 1e-12 for stricter, looser in pairwise(shares))


def sample(ttft, tpot, prompts=(0, 0, 0, 0)):
    counts = [np.array(part, float) for part in (ttft, tpot, prompts)]
    return Increase(15.0, np.zeros(3), 0.0, 0.0, 0.0, 0.0, 10.0, *counts, 1, 1)


@pytest.mark.parametrize(
    ("objective", "share"),
    [(OBJECTIVE, 0.3), (Objective(None, 0.2, 0.99), 0.3), (Objective(2.5, None, 0.99), 0.1)],
)
def test_the_larger_share_of_both_latencies_counts(objective, share):
    found = missed(sample((9, 0, 0, 1, 0), (7, 0, 3, 0)), EDGES, objective)
    assert (found.share, found.requests) == (pytest.approx(share), 10.0)


def test_too_long_prompts_are_known_once_there_are_enough():
    prompts = PromptLengths().after(sample((), (), (0, 90, 0, 10)), TIMES)
    assert prompts.too_long(EDGES, 10_000.0) == 0.0
    for _ in range(2):
        prompts = prompts.after(sample((), (), (0, 90, 0, 10)), TIMES)
    assert prompts.too_long(EDGES, 10_000.0) == pytest.approx(0.1)
