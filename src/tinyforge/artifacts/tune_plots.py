"""Trials as dots, as SVG text in the manner of ``plots``."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from tinyforge.artifacts.plots import number, ticks

_WIDTH, _LEFT, _RIGHT, _TOP, _BOTTOM = 720, 62, 16, 14, 42


@dataclass(frozen=True, slots=True)
class Dot:
    """One trial.

    Attributes:
        colour: name of a CSS variable, without the dashes.
        hollow: drawn as a ring: it was not trained to its end.
        large: drawn larger, to be found.
    """

    x: float
    y: float
    title: str
    colour: str = "accent"
    hollow: bool = False
    large: bool = False


def dots_chart(
    dots: Sequence[Dot],
    *,
    x_title: str,
    y_title: str,
    height: int = 260,
    log_x: bool = False,
    whole_x: bool = False,
    x_names: Sequence[str] = (),
    stairs: Sequence[tuple[float, float]] = (),
) -> str:
    """Dots on two scales. Nothing where there is no dot.

    Args:
        log_x: a logarithmic x axis; all x above zero.
        whole_x: only whole numbers are named on the x axis.
        x_names: where x is a choice: the names of 0, 1, 2, …
        stairs: a line that changes in steps, x rising.
    """
    dots = [dot for dot in dots if math.isfinite(dot.x) and math.isfinite(dot.y)]
    if not dots:
        return ""
    y_ticks = ticks(min(dot.y for dot in dots), max(dot.y for dot in dots))
    x_of, marks = _x_axis([dot.x for dot in dots], log_x, x_names)
    marks = [(x, name) for x, name in marks if not whole_x or x == int(x)]
    y_of = _scale(y_ticks[0], y_ticks[-1], height - _BOTTOM, _TOP)
    told = "; ".join(f"{dot.title}: {number(dot.y)}" for dot in dots[:40])
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" style="max-width:{_WIDTH}px" role="img" '
        f'aria-label="{escape(f"{y_title} over {x_title}. {told}")}" '
        'xmlns="http://www.w3.org/2000/svg">'
    ]
    for tick in y_ticks:
        y = y_of(tick)
        parts.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>')
        parts.append(_text(_LEFT - 8, y + 4, number(tick), "end"))
    for x, name in marks:
        parts.append(_text(x_of(x), height - _BOTTOM + 18, name, "middle"))
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(_text(middle, height - 6, f"{x_title} – {y_title}", "middle"))
    if len(stairs) > 1:
        path = f"M{x_of(stairs[0][0]):.1f} {y_of(stairs[0][1]):.1f}"
        path += "".join(f"H{x_of(x):.1f}V{y_of(y):.1f}" for x, y in stairs[1:])
        parts.append(f'<path class="line dashed" stroke="var(--good)" d="{path}"/>')
    parts += [_dot(dot, x_of, y_of) for dot in sorted(dots, key=lambda dot: dot.large)]
    return "".join(parts) + "</svg>"


def _x_axis(
    xs: Sequence[float], log_x: bool, names: Sequence[str]
) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
    """Where an x stands, and the x that are named."""
    low, high = min(xs), max(xs)
    if names:
        scale = _scale(-0.5, len(names) - 0.5, _LEFT, _WIDTH - _RIGHT)
        return scale, [(float(i), _short(name)) for i, name in enumerate(names)]
    if log_x and low > 0:
        inner = _scale(math.log(low), math.log(high), _LEFT + 14, _WIDTH - _RIGHT - 14)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        round_ones = [factor * 10.0**power for power in powers for factor in (1, 2, 5)]
        marks = [(x, _plain(x)) for x in round_ones if low <= x <= high]
        return (lambda x: inner(math.log(x))), marks or [(low, _plain(low)), (high, _plain(high))]
    scale = _scale(low, high, _LEFT + 14, _WIDTH - _RIGHT - 14)
    return scale, [(x, number(x)) for x in ticks(low, high) if low <= x <= high]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps [low, high] to [start, end]; to the middle where the two are one."""
    if high <= low:
        return lambda _: (start + end) / 2
    return lambda value: start + (value - low) * (end - start) / (high - low)


def _dot(dot: Dot, x_of: Callable[[float], float], y_of: Callable[[float], float]) -> str:
    size = 6.5 if dot.large else 4
    fill = "none" if dot.hollow else f"var(--{dot.colour})"
    return (
        f'<circle cx="{x_of(dot.x):.1f}" cy="{y_of(dot.y):.1f}" r="{size}" fill="{fill}" '
        f'stroke="var(--{dot.colour})" stroke-width="1.6"><title>{escape(dot.title)}</title>'
        "</circle>"
    )


def _plain(value: float) -> str:
    return f"{value:g}"


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _short(text: str, limit: int = 24) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
