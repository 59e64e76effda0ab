"""Waits double up to the longest, however often something fails."""

from __future__ import annotations

import pytest

from autoscaler.exponential_backoff import doubled


@pytest.mark.parametrize(
    ("times", "wait"), [(0, 0.5), (1, 1.0), (2, 2.0), (5, 16.0), (6, 30.0), (100, 30.0), (10**9, 30.0)]
)
def test_a_wait_doubles_up_to_the_longest(times: int, wait: float) -> None:
    assert doubled(0.5, 30.0, times) == wait
