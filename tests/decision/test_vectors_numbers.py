"""HPA's number model: integer milli values, float64 ratios and percentages, ceil without an epsilon."""

from __future__ import annotations

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.decision.bounds import ReplicaBounds
from autoscaler.decision.rate_limit import limit_rate
from autoscaler.decision.replicas import (
    MAX_INT32,
    MAX_INT64,
    PodLoads,
    Tolerance,
    average_value,
    divide,
    percent_less,
    percent_more,
    pods_average,
    value,
)
from autoscaler.decision.sample_filter import to_milli
from autoscaler.decision.types import ScalingState

from .builders import hpa

NO_TOLERANCE = Tolerance(0.0, 0.0)


def test_a_ratio_is_multiplied_as_float64_and_its_noise_is_rounded_up() -> None:
    assert 5600 / 10000 * 25 == 14.000000000000002
    assert pods_average(25, 10_000, PodLoads(25 * 5600, 25, 25), Tolerance()) == 15
    assert value(25, 10_000, 5600, 25, Tolerance()) == 15


@pytest.mark.parametrize(("start", "percent", "replicas"), [(50, 10, 56), (100, 10, 111), (25, 12, 29)])
def test_a_percentage_up_is_rounded_up_with_its_noise(start: int, percent: int, replicas: int) -> None:
    rules = [{"type": "Percent", "value": percent, "periodSeconds": 15}]
    spec = hpa(maxReplicas=MAX_INT32, behavior={"scaleUp": {"policies": rules}}).spec
    step = limit_rate(spec, ReplicaBounds(1, MAX_INT32), ScalingState(), start, 10_000, 0.0)
    assert (step.replicas, step.reason) == (replicas, "ScaleUpLimit")


@pytest.mark.parametrize(("start", "percent", "replicas"), [(5, 80, 0), (10, 90, 0), (90, 30, 62)])
def test_a_percentage_down_is_truncated_with_its_noise(start: int, percent: int, replicas: int) -> None:
    rules = [{"type": "Percent", "value": percent, "periodSeconds": 15}]
    spec = hpa(minReplicas=0, behavior={"scaleDown": {"policies": rules}}).spec
    step = limit_rate(spec, ReplicaBounds(0, 1000), ScalingState(), start, 0, 0.0)
    assert step.replicas == replicas


def test_percentages_deviate_from_exact_arithmetic_as_often_as_in_go() -> None:
    starts = range(1, 1001)
    up = sum(percent_more(n, p) != -(-n * (100 + p) // 100) for n in starts for p in range(1, 401))
    down = sum(percent_less(n, p) != n * (100 - p) // 100 for n in starts for p in range(1, 101))
    assert (up, down) == (1157, 643)


@pytest.mark.parametrize(
    ("number", "milli"),
    [
        (0.0, 0),
        (2.867, 2867),  # 2.867 * 1000 is a little off in binary
        (0.1 + 0.2, 300),
        (0.29, 290),
        (1.0, 1000),
        (0.0001, 1),  # a quantity of 100u is 1 milli
        (1e-16, 1),
        (1.0005, 1001),
        (1.0015, 1002),
        (-1.5, -1500),
        (MAX_INT64 / 1000, MAX_INT64),
        (1e300, MAX_INT64),
        (-1e300, -MAX_INT64),
        (1e306, MAX_INT64),
    ],
)
def test_samples_become_milli_rounded_up_and_saturated(number: float, milli: int) -> None:
    assert to_milli(number) == milli


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_every_value_of_whole_milli_survives_its_binary_form(milli: int) -> None:
    assert to_milli(milli / 1000) == milli


@pytest.mark.parametrize(("dividend", "quotient"), [(62_000, 20_666), (-7, -2), (7, 2), (-9, -3), (0, 0)])
def test_sums_are_divided_as_integers_towards_zero(dividend: int, quotient: int) -> None:
    assert divide(dividend, 3) == quotient


def test_results_saturate_at_int32() -> None:
    assert value(3, 1, MAX_INT64, 3, Tolerance()) == MAX_INT32
    assert average_value(1, 1, MAX_INT64, Tolerance()) == MAX_INT32
    assert pods_average(1, 1, PodLoads(MAX_INT64, 1, 1), Tolerance()) == MAX_INT32


def test_a_sum_over_no_replicas_is_outside_any_tolerance() -> None:
    """The ratio is infinite or NaN: usage / target is rounded up, and 0 stays 0."""
    assert average_value(0, 5000, 20_000, Tolerance()) == 4
    assert average_value(0, 5000, 0, Tolerance()) == 0
    assert not NO_TOLERANCE.contains(inf)
    assert not NO_TOLERANCE.contains(nan)
