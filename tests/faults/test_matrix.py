"""The fault matrix: whatever goes wrong, no scale-down that fresh, complete data would not have ordered.

Every pair of faults, every fault alone, and generated triples run for twenty minutes of the
controller's time each, at the ports; an oracle runs the engine on the truth beside them. How many
there are: docs/e2e.md; what they cannot show: docs/controller.md.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations, product
from pathlib import Path

import pytest

from autoscaler.api.models import ScalingPolicy
from tests.decision.builders import metric, policy
from tests.faults.faults import ALL, ANSWERED
from tests.faults.truth import Oracle, Truth
from tests.faults.world import SYNC_SECONDS, FaultyWorld, Span

ROOT = Path(__file__).parents[2]
MAX_AGE = 30
TRIPLES = 150
CALM_FROM = 840.0
END = 1320.0


def metrics(target: float) -> list[dict[str, object]]:
    """A driver; the guards of the remaining capacity read two more."""
    return [metric(target, signal="running+waiting", maxAgeSeconds=MAX_AGE)]


def down(window: int, pods: int = 100, period: int = 15) -> dict[str, object]:
    return {
        "scaleDown": {
            "stabilizationWindowSeconds": window,
            "policies": [{"type": "Pods", "value": pods, "periodSeconds": period}],
        }
    }


VARIANTS: dict[str, tuple[ScalingPolicy, ...]] = {
    "window": (
        policy(*metrics(10), behavior=down(120), maxReplicas=12),
        policy(*metrics(8), behavior=down(240), maxReplicas=9),
    ),
    "rate": (
        policy(*metrics(10), behavior=down(60, 1, 60), maxReplicas=12),
        policy(*metrics(12), behavior=down(60, 2, 90), maxReplicas=12),
    ),
    "two drivers": (
        policy(
            *metrics(10),
            metric("500m", signal="kvCacheUsage", maxAgeSeconds=MAX_AGE),
            behavior=down(90),
            maxReplicas=12,
        ),
        policy(*metrics(10), behavior=down(90), minReplicas=2, maxReplicas=12),
    ),
    "pods that start fast": (
        policy(
            *metrics(10),
            behavior=down(45),
            guards={"pendingReplicas": {"timeoutSeconds": 45}},
            maxReplicas=12,
        ),
        policy(*metrics(10), behavior=down(60), maxReplicas=12),
    ),
    "latency": (
        policy(
            *metrics(10),
            metric(1, "Value", signal="ttft", maxAgeSeconds=MAX_AGE),
            behavior=down(90),
            maxReplicas=12,
        ),
        policy(*metrics(10), behavior=down(90), maxReplicas=12),
    ),
    "fallback": (
        policy(
            *metrics(10), behavior=down(120), maxReplicas=12, fallback={"replicas": 4, "afterSeconds": 60}
        ),
        policy(*metrics(10), behavior=down(120), maxReplicas=12),
    ),
}


def scenario(faults: Sequence[str], seed: int) -> FaultyWorld:
    """A load that rises and falls, faults at some time of it, and calm at the end."""
    chance = random.Random(seed)
    steps, at = [(-1e9, 40.0)], 0.0
    while (at := at + chance.choice([60.0, 120.0, 180.0, 240.0])) < CALM_FROM:
        steps.append((at, chance.choice([4.0, 15.0, 35.0, 60.0, 95.0])))
    steps.append((CALM_FROM, chance.choice([6.0, 45.0])))
    spans = []
    for fault in faults:
        begin = chance.uniform(30, 600)
        spans.append(Span(fault, begin, min(begin + chance.uniform(60, 400), CALM_FROM)))
    truth = Truth(4, steps)
    lags = tuple(SYNC_SECONDS * number for number in range(MAX_AGE // 15 + 1))
    variants = VARIANTS[chance.choice(list(VARIANTS))]
    return FaultyWorld(truth, variants, spans, Oracle(truth, lags))


def chosen() -> list[tuple[str, ...]]:
    """Every fault alone, every pair, and triples by chance, the same each time.

    A fault that is added later comes after the others, so that these keep their seeds.
    """
    chance = random.Random(0)
    first = [one for one in ALL if one not in ANSWERED]
    triples = [tuple(chance.sample(first, 3)) for _ in range(TRIPLES)]
    earlier = [(one,) for one in first] + list(combinations(first, 2)) + triples
    later = [(one,) for one in ANSWERED] + list(combinations(ANSWERED, 2)) + list(product(ANSWERED, first))
    return earlier + later


COMBINATIONS = chosen()


def check(number: int) -> FaultyWorld:
    faults = COMBINATIONS[number]
    world = scenario(faults, number)
    world.run(END)
    assert not world.wrong, f"{faults} (seed {number}): {world.wrong[0]}"
    world.oracle.look(world.policy)
    assert world.oracle.lowest == world.truth.replicas, f"{faults} (seed {number}): it did not recover"
    return world


def test_there_are_as_many_as_the_documentation_says() -> None:
    text = " ".join((ROOT / "docs/e2e.md").read_text().split())
    assert f"{len(set(COMBINATIONS)):,} combinations of {len(ALL)} faults" in text
    assert f"and {TRIPLES} triples" in text


@pytest.mark.parametrize("fault", ALL)
def test_a_fault_alone(fault: str) -> None:
    check(COMBINATIONS.index((fault,)))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(8))
def test_faults_together(part: int) -> None:
    worlds = [check(number) for number in range(part, len(COMBINATIONS), 8)]
    assert sum(world.downs for world in worlds) > len(worlds)  # they do scale down, when they may


@pytest.mark.parametrize(
    "fault", ["one pod is missing", "all pods but one are missing", "the queue is capped"]
)
def test_the_oracle_finds_what_a_careless_policy_does(fault: str) -> None:
    """Missing pods taken for idle ones, refused requests for none: the matrix would see it."""
    careless = policy(
        metric(10, signal="running+waiting", missingData="Zero", maxAgeSeconds=MAX_AGE),
        guards={
            "completeDataForScaleDown": False,
            "remainingCapacity": {"enabled": False},
            "rejectedRequests": {"enabled": False},
        },
        behavior=down(0),
        maxReplicas=12,
    )
    truth = Truth(4, [(-1e9, 40.0)])
    spans = [Span(fault, 30, 300)]
    world = FaultyWorld(truth, (careless,), spans, Oracle(truth, (0.0,)))
    world.run(300)
    assert world.wrong
