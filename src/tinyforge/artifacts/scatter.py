"""Points with intervals in both directions as SVG text, in the manner of ``plots``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tinyforge.artifacts.plots import number, ticks

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 150, 30, 42
_STEPS = (1.0, 2.0, 5.0)
_LINE = 14
"""Height of a line of text: labels are moved apart by so much."""


@dataclass(frozen=True, slots=True)
class Dot:
    """One point.

    Attributes:
        x, y: its place. x_span, y_span: the intervals, low and high.
        colour: name of a CSS variable, without the dashes.
        hollow: a ring rather than a disc.
        joined: on the line that joins the best ones.
    """

    title: str
    x: float
    y: float
    x_span: tuple[float, float]
    y_span: tuple[float, float]
    colour: str
    hollow: bool = False
    joined: bool = False


def scatter_chart(dots: Sequence[Dot], *, x_title: str, y_title: str) -> str:
    """Points over a logarithmic x, with a dashed line through the joined ones. Nothing for none.

    Each has its title beside it, moved down where two would meet.
    """
    dots = [
        dot for dot in dots
        if dot.x_span[0] > 0 and math.isfinite(sum((dot.x, dot.y, *dot.x_span, *dot.y_span)))
    ]  # fmt: skip
    if not dots:
        return ""
    low, high = min(d.x_span[0] for d in dots) / 1.1, max(d.x_span[1] for d in dots) * 1.1
    marks = ticks(min(d.y_span[0] for d in dots), max(d.y_span[1] for d in dots))
    x_at = _log_scale(low, high)
    step = (_HEIGHT - _TOP - _BOTTOM) / ((marks[-1] - marks[0]) or 1.0)

    def y_at(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - marks[0]) * step

    parts = [_open(dots, x_title, y_title), _text(8, 14, y_title, "start")]
    for mark in marks:
        parts.append(f'<path class="grid" d="M{_LEFT} {y_at(mark):.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y_at(mark) + 4, number(mark), "end"))
    for mark in _log_ticks(low, high):
        parts.append(_text(x_at(mark), _HEIGHT - _BOTTOM + 18, number(mark), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_title, "middle"))
    best = sorted((d for d in dots if d.joined), key=lambda dot: dot.x)
    if len(best) > 1:
        path = "L".join(f"{x_at(d.x):.1f} {y_at(d.y):.1f}" for d in best)
        parts.append(f'<path class="mark" d="M{path}"/>')
    parts += [_drawn(dot, x_at, y_at) for dot in dots]
    parts += _labels(dots, x_at, y_at)
    return "".join(parts) + "</svg>"


def _drawn(dot: Dot, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> str:
    x, y, colour = x_at(dot.x), y_at(dot.y), f"var(--{dot.colour})"
    (left, right), (low, high) = dot.x_span, dot.y_span
    fill = "var(--card)" if dot.hollow else colour
    told = f"{dot.title}: {number(dot.y)} at {number(dot.x)}"
    return (
        f'<path class="whisker" stroke="{colour}" stroke-opacity="0.55" '
        f'd="M{x_at(left):.1f} {y:.1f}H{x_at(right):.1f}M{x:.1f} {y_at(low):.1f}'
        f'V{y_at(high):.1f}"/><circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{fill}" '
        f'stroke="{colour}" stroke-width="2"><title>{escape(told)}</title></circle>'
    )


def _labels(
    dots: Sequence[Dot], x_at: Callable[[float], float], y_at: Callable[[float], float]
) -> list[str]:
    """The titles right of their points, none upon another."""
    placed: list[tuple[float, float, float]] = []
    parts = []
    for dot in sorted(dots, key=lambda dot: y_at(dot.y)):
        x, y, width = x_at(dot.x) + 9, y_at(dot.y) - 5, 7.0 * len(dot.title)
        while any(
            abs(y - top) < _LINE and x < left + size and left < x + width
            for left, top, size in placed
        ):
            y += 2
        placed.append((x, y, width))
        parts.append(_text(x, y, dot.title, "start"))
    return parts


def _log_scale(low: float, high: float) -> Callable[[float], float]:
    width = (_WIDTH - _RIGHT - _LEFT) / (math.log(high / low) or 1.0)
    return lambda value: _LEFT + math.log(value / low) * width


def _log_ticks(low: float, high: float) -> list[float]:
    """The numbers 1, 2 and 5 times a power of ten within the range."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found = [factor * 10.0**power for power in powers for factor in _STEPS]
    inside = [value for value in found if low <= value <= high]
    return inside if len(inside) > 1 else ticks(low, high)[1:-1]


def _open(dots: Sequence[Dot], x_title: str, y_title: str) -> str:
    told = "; ".join(f"{dot.title} {number(dot.y)} at {number(dot.x)}" for dot in dots)
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" style="max-width:{_WIDTH}px" role="img" '
        f'aria-label="{escape(f"{y_title} over {x_title}: {told}")}" '
        'xmlns="http://www.w3.org/2000/svg">'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
