"""The timeline as plot columns, thinned so that a long run stays a small file."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.world.timeline import TimelinePoint

MAX_POINTS = 1500


def timeline_columns(points: Sequence[TimelinePoint]) -> dict[str, list[float]]:
    """One list per plotted column, of at most ``MAX_POINTS`` equally long stretches.

    The time of a stretch is its first point's. Demand is the mean of its points (requests per second),
    replicas are those of the last point, queues and KV usage the highest, so that no peak vanishes.
    """
    stride = -(-len(points) // MAX_POINTS) or 1
    groups = [points[start : start + stride] for start in range(0, len(points), stride)]
    return {
        "time": [group[0].time_s for group in groups],
        "demand": [sum(point.demand_rps for point in group) / len(group) for group in groups],
        "desired": [group[-1].desired for group in groups],
        "ordered": [group[-1].ordered for group in groups],
        "ready": [group[-1].ready for group in groups],
        "running": [max(point.running for point in group) for group in groups],
        "waiting": [max(point.waiting for point in group) for group in groups],
        "gateway": [max(point.gateway_queue for point in group) for group in groups],
        "kv": [max(point.kv_usage for point in group) for group in groups],
    }
