"""Replica lives for the plots: replicas by phase, GPU-hours, and the lane of each life."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from simulator.run.billing import SECONDS_PER_HOUR
from simulator.startup.replica_life import ReplicaLife

MAX_POINTS = 3000
PHASES = ("starting", "ready", "draining")


def phase_spans(life: ReplicaLife) -> Iterator[tuple[str, float, float]]:
    """The phases that a replica went through, as (phase, from, to) in seconds."""
    leaves = life.ended_s if life.drain_s is None else life.drain_s
    ready = leaves if life.ready_s is None else life.ready_s
    spans = zip(PHASES, pairwise((life.billed_from_s, ready, leaves, life.ended_s)), strict=True)
    return ((phase, start, end) for phase, (start, end) in spans if end > start)


def start_edges(life: ReplicaLife) -> list[float] | None:
    """The ends of a start's phases: waiting, node, image, weights, engine; None without a start."""
    if life.start is None:
        return None
    spent = (life.start.waiting_s, life.start.node_s, life.start.image_s, life.start.weights_s)
    return list(accumulate((*spent, life.start.engine_s), initial=life.ordered_s))[1:]


def phase_columns(
    lives: Sequence[ReplicaLife], end_s: float, gpus_per_replica: int
) -> dict[str, list[float]]:
    """Billed replicas by phase from each change on, and the GPU-hours until it.

    Each point is exact; beyond ``MAX_POINTS`` changes only every n-th is kept.
    """
    changes = {0.0: Counter[str](), end_s: Counter[str]()}
    for life in lives:
        for phase, start, end in phase_spans(life):
            changes.setdefault(start, Counter())[phase] += 1
            changes.setdefault(end, Counter())[phase] -= 1
    rows = list(_running_totals(changes, gpus_per_replica))
    stride = -(-len(rows) // MAX_POINTS)
    kept = [*rows[:-1:stride], rows[-1]]
    return {name: [row[name] for row in kept] for name in ("time", *PHASES, "gpu_hours")}


def _running_totals(changes: dict[float, Counter[str]], gpus_per_replica: int) -> Iterator[dict[str, float]]:
    billed: dict[str, float] = dict.fromkeys(PHASES, 0)
    before, gpu_s = 0.0, 0.0
    for time_s in sorted(changes):
        gpu_s += sum(billed.values()) * gpus_per_replica * (time_s - before)
        for phase, change in changes[time_s].items():
            billed[phase] += change
        before = time_s
        yield {"time": time_s, **billed, "gpu_hours": gpu_s / SECONDS_PER_HOUR}


def lanes(lives: Sequence[ReplicaLife]) -> list[int]:
    """The lowest lane that is free at the order of each life; as few lanes as possible."""
    free_from: list[float] = []
    chosen = [0] * len(lives)
    for index in sorted(range(len(lives)), key=lambda one: (lives[one].ordered_s, one)):
        life = lives[index]
        lane = next((i for i, free in enumerate(free_from) if free <= life.ordered_s), len(free_from))
        free_from[lane : lane + 1] = [life.ended_s]
        chosen[index] = lane
    return chosen
