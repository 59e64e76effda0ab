"""Random scenarios for the comparison with the HPA, from any ``random.Random``.

Values crowd around what decides: targets, edges of the tolerance, windows and periods that are
exactly as old as a record, the ends of int32 and int64. Times are multiples of 0.5 s, so that nothing
is lost in shifting them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

KINDS = (
    ("Pods", "AverageValue"),
    ("Object", "Value"),
    ("Object", "AverageValue"),
    ("External", "Value"),
    ("External", "AverageValue"),
)
GAPS = (0.5, 1.0, 7.5, 15.0, 15.0, 15.0, 15.0, 30.0, 60.0, 180.0, 300.0, 300.5, 1800.0)
PERIODS = (1, 15, 15, 30, 60, 180, 1800)
FACTORS = (0.0, 0.1, 0.5, 0.56, 0.85, 0.9, 0.95, 1.0, 1.0, 1.05, 1.1, 1.15, 1.5, 2.0, 3.0, 10.0)
PHASES = ("Running",) * 8 + ("Pending", "Failed", "Succeeded")
MINIMA = (0, 0, 1, 1, 2, 5)
HUGE = (1000 * 2**52, 1000 * 2**53)  # near the end of int64; each is a float times 1000
MOST_REPLICAS = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Sync:
    """What the HPA sees at one sync; see naive_hpa.Hpa.reconcile.

    ``spec``: the one in force, which may have been edited since the sync before. ``replicas``:
    somebody else's order, None where the last one stands. ``surge``: how far the status is from the
    order. ``ambiguous``: another HPA selects one of the pods. ``written``: whether the write of the
    result succeeds.
    """

    gap: float
    spec: dict[str, Any]
    replicas: int | None
    surge: int
    pods: list[dict[str, Any]]
    answers: list[Any]
    ambiguous: bool
    written: bool


def spec(rng: Random) -> dict[str, Any]:
    """minReplicas, maxReplicas, metrics, behavior and the rules of the tolerance's edge and of zero."""
    return {
        **bounds(rng),
        "metrics": [metric(rng) for _ in range(rng.choice((1, 1, 2, 3)))],
        "behavior": behavior(rng),
        "toleranceRule": rng.choice(("v1.33", "v1.33", "v1.32")),
        "zeroRule": rng.choice(("v1.36", "v1.37")),
    }


def edited(rng: Random, before: dict[str, Any]) -> dict[str, Any]:
    """Other bounds or another behavior; periods become longer and shorter, minReplicas more and less."""
    change = bounds(rng) if rng.random() < 0.5 else {"behavior": behavior(rng)}
    return {**before, **change}


def bounds(rng: Random) -> dict[str, int]:
    low = rng.choice(MINIMA)
    return {"minReplicas": low, "maxReplicas": max(1, low + rng.choice((0, 1, 5, 20, 100, 2000)))}


def metric(rng: Random) -> dict[str, Any]:
    kind, by = rng.choice(KINDS)
    target = rng.choice((1, 1000, 1000, 5000, 10000, 20000, 4400, 2867, rng.randint(1, 100000)))
    return {"type": kind, "by": by, "target": target}


def behavior(rng: Random) -> dict[str, Any] | None:
    if rng.random() < 0.3:
        return None
    sides = {side: rules(rng) for side in ("scaleUp", "scaleDown") if rng.random() < 0.8}
    return {side: fields for side, fields in sides.items() if fields}


def rules(rng: Random) -> dict[str, Any]:
    """``tolerance`` in milli units."""
    fields: dict[str, Any] = {
        "stabilizationWindowSeconds": rng.choice((0, 15, 60, 180, 300, 3600)),
        "selectPolicy": rng.choice(("Max", "Max", "Min", "Disabled")),
        "policies": [rule(rng) for _ in range(rng.choice((1, 2, 3)))],
        "tolerance": rng.choice((0, 10, 50, 100, 118, 500, 700, rng.randint(0, 1100))),
    }
    return {name: value for name, value in fields.items() if rng.random() < 0.6}


def rule(rng: Random) -> dict[str, Any]:
    kind = rng.choice(("Pods", "Percent"))
    values = (1, 2, 4, 5, 20) if kind == "Pods" else (1, 10, 12, 30, 50, 80, 90, 100, 150, 200)
    value = MOST_REPLICAS if kind == "Pods" and rng.random() < 0.05 else rng.choice(values)
    return {"type": kind, "value": value, "periodSeconds": rng.choice(PERIODS)}


def syncs(rng: Random, first: dict[str, Any], count: int) -> Iterator[Sync]:
    """``count`` syncs; fleets are about as large as the replicas of a small service."""
    size, current = rng.randint(0, 8), first
    for _ in range(count):
        size = max(0, size + rng.choice((-1, 0, 0, 0, 1, 3)))
        current = edited(rng, current) if rng.random() < 0.1 else current
        pods = [pod(rng, index) for index in range(size)]
        yield Sync(
            gap=rng.choice(GAPS),
            spec=current,
            replicas=rng.choice((None,) * 6 + (0, size, size, rng.randint(0, 30))),
            surge=rng.choice((0, 0, 0, 0, -1, 1, 3)),
            pods=pods,
            answers=[answer(rng, each, current, pods) for each in current["metrics"]],
            ambiguous=rng.random() < 0.03,
            written=rng.random() < 0.9,
        )


def pod(rng: Random, index: int) -> dict[str, Any]:
    phase = rng.choice(PHASES)
    ready = phase == "Running" and rng.random() < 0.8
    return {"name": f"pod-{index}", "phase": phase, "ready": ready, "deleting": rng.random() < 0.07}


def answer(rng: Random, of: dict[str, Any], by: dict[str, Any], pods: list[dict[str, Any]]) -> Any:
    """None: no answer. Otherwise milli by pod, or milli of each series; may be empty."""
    if rng.random() < 0.08:
        return None
    if of["type"] == "Pods":
        names = [each["name"] for each in pods if rng.random() < 0.9]
        names += ["gone-0"] if rng.random() < 0.05 else []
        common = load(rng, of["target"], by)
        return {name: common if rng.random() < 0.5 else load(rng, of["target"], by) for name in names}
    times = max(1, len(pods)) if of["by"] == "AverageValue" else 1
    if of["type"] == "Object":
        return [within_int64(times * load(rng, of["target"], by))] if rng.random() < 0.95 else []
    if rng.random() < 0.03:
        return [rng.choice(HUGE) * rng.choice((1, 1, -1)) for _ in range(rng.choice((1, 2, 3)))]
    count = rng.choice((0, 1, 1, 1, 1, 2))
    return [within_int64(times * load(rng, of["target"], by)) for _ in range(count)]


def load(rng: Random, target: int, by: dict[str, Any]) -> int:
    if rng.random() < 0.03:
        return -rng.randint(0, 3 * target)
    if rng.random() < 0.01:
        return rng.choice(HUGE)
    if rng.random() < 0.15:
        return on_edge(rng, target, by)
    return int(rng.choice(FACTORS) * target) if rng.random() < 0.7 else rng.randint(0, 4 * target)


def within_int64(milli: int) -> int:
    return min(milli, HUGE[-1])


def on_edge(rng: Random, target: int, by: dict[str, Any]) -> int:
    """Exactly as far from the target as a tolerance allows, where thousandths of it are whole."""
    side, sign = rng.choice((("scaleUp", 1), ("scaleDown", -1)))
    tolerance = ((by["behavior"] or {}).get(side) or {}).get("tolerance", 100)
    return target * (1000 + sign * tolerance) // 1000
