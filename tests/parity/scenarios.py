"""Random scenarios for the comparison with the HPA, from any ``random.Random``.

Values crowd around what decides: targets, edges of the tolerance, windows and periods that are
exactly as old as a record. Times are multiples of 0.5 s, so that nothing is lost in shifting them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

KINDS = ("Pods", "Value", "AverageValue")
GAPS = (0.5, 1.0, 7.5, 15.0, 15.0, 15.0, 15.0, 30.0, 60.0, 180.0, 300.0, 300.5, 1800.0)
PERIODS = (1, 15, 15, 30, 60, 180, 1800)
FACTORS = (0.0, 0.1, 0.5, 0.56, 0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.15, 1.5, 2.0, 3.0, 10.0)
PHASES = ("Running", "Running", "Running", "Running", "Running", "Pending", "Failed")
HUGE = 2**54  # 2**54 is beyond int64 in milli, 2**53 is not


@dataclass(frozen=True, slots=True)
class Sync:
    """What the HPA sees at one sync; see naive_hpa.Hpa.reconcile.

    ``replicas``: somebody else's order, None where the last one stands. ``surge``: how far the
    status is from the order. ``written``: whether the write of the result succeeds.
    """

    gap: float
    replicas: int | None
    surge: int
    pods: list[dict[str, Any]]
    answers: list[Any]
    written: bool


def spec(rng: Random) -> dict[str, Any]:
    """minReplicas, maxReplicas, metrics, behavior and the rule of the tolerance's edge."""
    low = rng.choice((0, 1, 1, 2, 5))
    return {
        "minReplicas": low,
        "maxReplicas": max(1, low + rng.choice((0, 1, 5, 20, 100, 2000))),
        "metrics": [metric(rng) for _ in range(rng.choice((1, 1, 2, 3)))],
        "behavior": behavior(rng),
        "toleranceRule": rng.choice(("v1.33", "v1.33", "v1.32")),
    }


def metric(rng: Random) -> dict[str, Any]:
    target = rng.choice((1, 1000, 5000, 10000, 20000, 4400, 2867, rng.randint(1, 100000)))
    return {"type": rng.choice(KINDS), "target": target}


def behavior(rng: Random) -> dict[str, Any] | None:
    if rng.random() < 0.3:
        return None
    sides = {side: rules(rng) for side in ("scaleUp", "scaleDown") if rng.random() < 0.8}
    return {side: fields for side, fields in sides.items() if fields}


def rules(rng: Random) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "stabilizationWindowSeconds": rng.choice((0, 15, 60, 180, 300, 3600)),
        "selectPolicy": rng.choice(("Max", "Max", "Min", "Disabled")),
        "policies": [rule(rng) for _ in range(rng.choice((1, 2, 3)))],
        "tolerance": rng.choice((0, 0.01, 0.05, 0.1, 0.5)),
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.6}


def rule(rng: Random) -> dict[str, Any]:
    kind = rng.choice(("Pods", "Percent"))
    values = (1, 2, 4, 5, 20) if kind == "Pods" else (1, 10, 12, 30, 50, 80, 90, 100, 150, 200)
    return {"type": kind, "value": rng.choice(values), "periodSeconds": rng.choice(PERIODS)}


def syncs(rng: Random, metrics: list[dict[str, Any]], count: int) -> Iterator[Sync]:
    """``count`` syncs; fleets are about as large as the replicas of a small service."""
    size = rng.randint(0, 8)
    for _ in range(count):
        size = max(0, size + rng.choice((-1, 0, 0, 0, 1, 3)))
        pods = [pod(rng, index) for index in range(size)]
        yield Sync(
            gap=rng.choice(GAPS),
            replicas=rng.choice((None,) * 6 + (0, size, size, rng.randint(0, 30))),
            surge=rng.choice((0, 0, 0, 0, -1, 1, 3)),
            pods=pods,
            answers=[answer(rng, each, pods) for each in metrics],
            written=rng.random() < 0.9,
        )


def pod(rng: Random, index: int) -> dict[str, Any]:
    phase = rng.choice(PHASES)
    ready = phase == "Running" and rng.random() < 0.8
    return {"name": f"pod-{index}", "phase": phase, "ready": ready, "deleting": rng.random() < 0.07}


def answer(rng: Random, of: dict[str, Any], pods: list[dict[str, Any]]) -> Any:
    """None: no answer. Otherwise milli by pod, or milli of each series; may be empty."""
    if rng.random() < 0.08:
        return None
    if of["type"] == "Pods":
        names = [each["name"] for each in pods if rng.random() < 0.9]
        names += ["gone-0"] if rng.random() < 0.05 else []
        common = load(rng, of["target"])
        return {name: common if rng.random() < 0.5 else load(rng, of["target"]) for name in names}
    if rng.random() < 0.03:
        return [1000 * rng.choice((HUGE // 2, HUGE))] * rng.choice((1, 2, 3))
    times = max(1, len(pods)) if of["type"] == "AverageValue" else 1
    return [times * load(rng, of["target"]) for _ in range(rng.choice((0, 1, 1, 1, 1, 2)))]


def load(rng: Random, target: int) -> int:
    if rng.random() < 0.02:
        return -rng.randint(0, 3 * target)
    return int(rng.choice(FACTORS) * target) if rng.random() < 0.7 else rng.randint(0, 4 * target)
