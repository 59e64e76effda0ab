"""The tolerance band, its edges before and since Kubernetes 1.33, and its two directions."""

from __future__ import annotations

import pytest

from autoscaler.decision.replicas import Tolerance

from .builders import decide, hpa, metric, observe, per_pod, series


@pytest.mark.parametrize(
    ("ratio", "rule", "inside"),
    [
        (1.1, "v1.33", True),
        (1.1, "v1.32", False),  # |1.0 - 1.1| is 0.10000000000000009
        (0.9, "v1.33", True),
        (0.9, "v1.32", True),
        (1.0, "v1.33", True),
        (1.0, "v1.32", True),
        (1.1000000000000003, "v1.33", False),
        (0.8999999999999999, "v1.33", False),
        (0.8999999999999999, "v1.32", False),
    ],
)
def test_the_edges(ratio: float, rule: str, inside: bool) -> None:
    assert Tolerance(0.1, 0.1, rule).contains(ratio) is inside


@pytest.mark.parametrize(("rule", "replicas"), [("v1.33", 10), ("v1.32", 11)])
def test_exactly_ten_percent_above_target_depends_on_the_version(rule: str, replicas: int) -> None:
    policy = hpa(metric(10), toleranceRule=rule)
    assert decide(policy, observe(10, per_pod([11.0] * 10))).desired_replicas == replicas


@pytest.mark.parametrize("rule", ["v1.32", "v1.33"])
@pytest.mark.parametrize(
    ("ratio", "inside"), [(1.04, True), (1.06, False), (0.51, True), (0.49, False), (1.0, True)]
)
def test_each_direction_has_its_own(ratio: float, inside: bool, rule: str) -> None:
    assert Tolerance(up=0.05, down=0.5, rule=rule).contains(ratio) is inside


TOLERANT = {
    "scaleUp": {"tolerance": 0.05, "policies": [{"type": "Pods", "value": 100, "periodSeconds": 15}]},
    "scaleDown": {"tolerance": 0.5, "stabilizationWindowSeconds": 0},
}


@pytest.mark.parametrize(
    ("current", "usage", "replicas"),
    [(35, 3700, 37), (37, 3800, 37), (37, 1000, 10), (10, 800, 10)],
)
def test_kubernetes_own_integration_test_of_the_tolerance(current: int, usage: int, replicas: int) -> None:
    """External AverageValue 100, 5 % up and 50 % down: 3500, then each of these in turn."""
    policy = hpa(metric(100, "AverageValue"), maxReplicas=1000, behavior=TOLERANT)
    assert decide(policy, observe(current, series(usage))).desired_replicas == replicas
