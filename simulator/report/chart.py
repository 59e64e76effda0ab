"""Plots without a script: axes, areas, lines and points as SVG in the colours of the style sheet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor, log10

from simulator.report.markup import Markup, element

WIDTH, HEIGHT = 1000, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 56, 12, 28
_TICKS = 5

SECONDS = (60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 21600.0, 43200.0, 86400.0)
"""Steps between two ticks of an axis of time; longer axes have round numbers."""


@dataclass(frozen=True, slots=True)
class AxisScale:
    """Values from ``least`` to ``most`` onto ``start`` to ``end`` of the picture."""

    least: float
    most: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """The place of a value in the picture."""
        share = (value - self.least) / (self.most - self.least)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, steps: Sequence[float] = ()) -> list[float]:
        """About five round values; one of ``steps`` apart, if one is wide enough."""
        rough = (self.most - self.least) / _TICKS
        power = 10.0 ** floor(log10(rough))
        widths = (*sorted(steps), *(factor * power for factor in (1, 2, 5, 10)))
        step = next(width for width in widths if width >= rough)
        first = -floor(-self.least / step)
        return [index * step for index in range(first, floor(self.most / step) + 1)]


def horizontal(least: float, most: float) -> AxisScale:
    """A scale from the left to the right; an empty range is widened."""
    return AxisScale(least, most if most > least else least + 1.0, _LEFT, WIDTH - _RIGHT)


def vertical(least: float, most: float) -> AxisScale:
    """A scale from the bottom to the top; an empty range is widened."""
    return AxisScale(least, most if most > least else least + 1.0, HEIGHT - _BOTTOM, _TOP)


def chart(spoken: str, *parts: Markup) -> Markup:
    """A picture; ``spoken`` describes it to screen readers."""
    picture = element(
        "svg", *parts, class_="chart", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=spoken
    )
    return element("div", picture, class_="scroll", tabindex=0, role="region", aria_label=spoken)


def bottom_axis(scale: AxisScale, text: Callable[[float], str], steps: Sequence[float] = ()) -> list[Markup]:
    """The ticks of a horizontal scale."""
    return [_text(text(tick), scale(tick), HEIGHT - 8, "middle") for tick in scale.ticks(steps)]


def left_axis(scale: AxisScale, text: Callable[[float], str], steps: Sequence[float] = ()) -> list[Markup]:
    """The ticks of a vertical scale, with lines across."""
    ticks = scale.ticks(steps)
    lines = [line("grid", [(_LEFT, scale(tick)), (WIDTH - _RIGHT, scale(tick))]) for tick in ticks]
    return [*lines, *(_text(text(tick), _LEFT - 8, scale(tick) + 4, "end") for tick in ticks)]


def right_axis(scale: AxisScale, text: Callable[[float], str]) -> list[Markup]:
    """The ticks of a second vertical scale."""
    return [_text(text(tick), WIDTH - _RIGHT + 8, scale(tick) + 4, "start") for tick in scale.ticks()]


def line(name: str, points: Iterable[tuple[float, float]]) -> Markup:
    """A line through points of the picture. ``name``: its class in the style sheet."""
    return element("polyline", points=" ".join(f"{x:g},{y:g}" for x, y in points), class_=name)


def steps(edges: Sequence[float], values: Sequence[float]) -> list[tuple[float, float]]:
    """Corners of a line that keeps each value between two edges; ``edges`` has one entry more."""
    return [
        corner
        for index, value in enumerate(values)
        for corner in ((edges[index], value), (edges[index + 1], value))
    ]


def dot(name: str, x: float, y: float, title: str) -> Markup:
    """A point whose title appears when the pointer is on it."""
    return element("circle", element("title", title), cx=str(x), cy=str(y), r=4, class_=name)


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return element("text", text, x=f"{x:g}", y=f"{y:g}", text_anchor=anchor)
