"""A series in one line of text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float], width: int) -> str:
    """At most ``width`` blocks, scaled from 0 to the highest value; each is the mean of its stretch."""
    columns = min(width, len(values))
    edges = [len(values) * column // columns for column in range(columns + 1)] if columns else []
    means = [sum(values[start:end]) / (end - start) for start, end in pairwise(edges)]
    top = max(means, default=0.0)
    return "".join(_block(mean / top if top > 0 else 0.0) for mean in means)


def _block(level: float) -> str:
    return _BLOCKS[min(len(_BLOCKS) - 1, int(level * len(_BLOCKS)))]
