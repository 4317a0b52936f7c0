"""Plots as SVG text: no library, no script; colours come from the page's CSS variables.

Every text that may come from a user's data goes through ``_text`` or ``_title``, which escape it.
The texts that screen readers are given (``aria-label``) hold the figures, not only the subject.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from html import escape

_WIDTH = 720
_POINTS = 400
"""Points in one line of a chart, at most; more are averaged in even stretches."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        points: (x, y), x rising.
        colour: name of a CSS variable, without the dashes.
        dots: mark every point.
        dashed: tells lines apart without colours.
        spans: (x, low, high) of an interval around a point.
    """

    title: str
    points: Sequence[tuple[float, float]]
    colour: str
    dots: bool = False
    dashed: bool = False
    spans: Sequence[tuple[float, float, float]] = ()


@dataclass(frozen=True, slots=True)
class Whisker:
    """One value with its interval; ``text`` stands beside it."""

    title: str
    value: float
    low: float
    high: float
    text: str
    colour: str


def line_chart(
    lines: Sequence[Line],
    *,
    x_title: str,
    y_title: str,
    mark: tuple[float, str] | None = None,
    diagonal: bool = False,
    y_from_zero: bool = False,
) -> str:
    """Lines over a common x. Nothing where no point is.

    Args:
        mark: an x with a word for it.
        diagonal: draw the line where y equals x, and let both axes go from 0 to 1.
        y_from_zero: the y axis starts at zero.
    """
    lines = [line for line in map(_thinned, lines) if line.points]
    if not lines:
        return ""
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points]
    ys += [end for line in lines for _, low, high in line.spans for end in (low, high)]
    if diagonal:
        xs, ys = [0.0, 1.0], [0.0, 1.0]
    if y_from_zero:
        ys = [0.0, *ys]
    left, right, top, bottom, height = 62, 16, 30, 42, 280
    y_ticks = ticks(min(ys), max(ys))
    x_at = _scale(min(xs), max(xs), left, _WIDTH - right)
    y_at = _scale(min(*y_ticks, *ys), max(*y_ticks, *ys), height - bottom, top)
    parts = [_open(height, _told(lines, x_title, y_title))]
    for tick in y_ticks:
        y = y_at(tick)
        parts.append(f'<path class="grid" d="M{left} {y:.1f}H{_WIDTH - right}"/>')
        parts.append(_text(left - 8, y + 4, number(tick), "end"))
    for tick in ticks(min(xs), max(xs)):
        if min(xs) <= tick <= max(xs):
            parts.append(_text(x_at(tick), height - bottom + 18, number(tick), "middle"))
    parts.append(_text((left + _WIDTH - right) / 2, height - 6, x_title, "middle"))
    if diagonal:
        ends = f"M{x_at(0):.1f} {y_at(0):.1f}L{x_at(1):.1f} {y_at(1):.1f}"
        parts.append(f'<path class="mark" d="{ends}"/>')
    if mark is not None:
        x = x_at(min(max(mark[0], min(xs)), max(xs)))
        anchor = "end" if x > _WIDTH / 2 else "start"
        parts.append(f'<path class="mark" d="M{x:.1f} {top}V{height - bottom}"/>')
        parts.append(_text(x + (-6 if anchor == "end" else 6), top + 10, mark[1], anchor))
    parts += [_line(line, x_at, y_at) for line in lines]
    return "".join([*parts, _legend(lines, left), "</svg>"])


def whisker_chart(
    rows: Sequence[Whisker], *, title: str, reference: tuple[float, str] | None = None
) -> str:
    """Values as dots with their intervals as lines, one below the other, on one scale.

    Args:
        reference: a value to compare with, drawn as a line over all rows, and its name.
    """
    finite = [row for row in rows if math.isfinite(row.value + row.low + row.high)]
    if not finite:
        return ""
    left, right, row_height, top = 230, 90, 30, 8 if reference is None else 24
    height = top + row_height * len(finite) + 44
    ends = [end for row in finite for end in (row.low, row.high)]
    ends += [] if reference is None else [reference[0]]
    marks = ticks(min(ends), max(ends))
    x_at = _scale(min(marks[0], *ends), max(marks[-1], *ends), left, _WIDTH - right)
    base = top + row_height * len(finite)
    told = "; ".join(
        f"{row.title}: {row.text} ({number(row.low)} to {number(row.high)})" for row in finite
    )
    parts = [_open(height, f"{title}. {told}")]
    for tick in marks:
        x = x_at(tick)
        parts.append(f'<path class="grid" d="M{x:.1f} {top}V{base}"/>')
        parts.append(_text(x, base + 16, number(tick), "middle"))
    parts.append(_text((left + _WIDTH - right) / 2, height - 8, title, "middle"))
    if reference is not None:
        x = x_at(reference[0])
        parts.append(f'<path class="mark" d="M{x:.1f} {top - 4}V{base}"/>')
        parts.append(_text(x, top - 9, reference[1], "middle"))
    for i, row in enumerate(finite):
        y = top + row_height * (i + 0.5)
        a, b, x, colour = x_at(row.low), x_at(row.high), x_at(row.value), f"var(--{row.colour})"
        parts.append(_text(left - 12, y + 4, _short(row.title, 32), "end", full=row.title))
        parts.append(
            f'<path class="whisker" stroke="{colour}" d="M{a:.1f} {y:.1f}H{b:.1f}'
            f'M{a:.1f} {y - 5:.1f}v10M{b:.1f} {y - 5:.1f}v10"/>'
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}">{_title(row.title)}</circle>'
        )
        parts.append(_text(_WIDTH - right + 12, y + 4, row.text, "start", bold=True))
    return "".join(parts) + "</svg>"


def heat_map(labels: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """A confusion matrix: one row per true label, the darker the larger its share of that row."""
    size = len(labels)
    if not size:
        return ""
    cell = max(18, min(54, 520 // size))
    left = 24 + 7 * max(min(len(label), 20) for label in labels)
    top = left
    width, height = left + cell * size + 10, top + cell * size + 24
    right = sum(row[i] for i, row in enumerate(counts))
    told = f"{right:,} of {sum(map(sum, counts)):,} on the diagonal"
    parts = [_open(height, f"Confusion matrix: true labels down, answers across; {told}", width)]
    for i, label in enumerate(labels):
        middle = top + cell * (i + 0.5)
        parts.append(_text(left - 8, middle + 4, _short(label, 20), "end", full=label))
        across = left + cell * (i + 0.5) + 4
        parts.append(
            f'<g transform="translate({across:.1f} {top - 8}) rotate(-60)">'
            + _text(0, 0, _short(label, 20), "start", full=label)
            + "</g>"
        )
    for i, row in enumerate(counts):
        total = max(sum(row), 1)
        for j, count in enumerate(row):
            x, y, share = left + cell * j, top + cell * i, count / total
            colour = "good" if i == j else "bad"
            told = f"{labels[i]} answered as {labels[j]}: {count:,} rows ({share:.0%})"
            parts.append(
                f'<rect class="cell" x="{x}" y="{y}" width="{cell}" height="{cell}" '
                f'fill="var(--{colour})" fill-opacity="{share:.3f}">{_title(told)}</rect>'
            )
            if count and cell >= 24:
                light = " on" if share > 0.55 else ""
                parts.append(
                    f'<text class="count{light}" x="{x + cell / 2:.1f}" y="{y + cell / 2 + 4:.1f}" '
                    f'text-anchor="middle">{_compact(count)}</text>'
                )
    parts.append(_text(left + cell * size / 2, height - 6, "answered", "middle"))
    return "".join(parts) + "</svg>"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About ``count`` round numbers (1, 2, 5 times a power of ten) that span from low to high."""
    if high <= low:
        high = low + (abs(low) * 0.1 or 1.0)
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def number(value: float) -> str:
    """A short number for an axis: ``0.25``, ``1,500``, ``2e+06``."""
    if value and not 1e-4 <= abs(value) < 1e6:
        return f"{value:.3g}"
    return f"{value:,.4f}".rstrip("0").rstrip(".")


def _line(line: Line, x_at: Callable[[float], float], y_at: Callable[[float], float]) -> str:
    colour = f"var(--{line.colour})"
    parts = [
        f'<path class="whisker" stroke="{colour}" d="M{x_at(x):.1f} {y_at(low):.1f}'
        f'V{y_at(high):.1f}"/>'
        for x, low, high in line.spans
    ]
    if len(line.points) > 1:
        path = "L".join(f"{x_at(x):.1f} {y_at(y):.1f}" for x, y in line.points)
        kind = "line dashed" if line.dashed else "line"
        parts.append(f'<path class="{kind}" stroke="{colour}" d="M{path}"/>')
    if line.dots or len(line.points) == 1:
        parts += [
            f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3.2" fill="{colour}">'
            f"{_title(f'{line.title}: {number(y)} at {number(x)}')}</circle>"
            for x, y in line.points
        ]
    return "".join(parts)


def _legend(lines: Sequence[Line], left: float) -> str:
    parts, place = [], left
    for line in lines:
        kind = "line dashed" if line.dashed else "line"
        parts.append(
            f'<path class="{kind}" stroke="var(--{line.colour})" d="M{place:.0f} 12h18"/>'
            + _text(place + 24, 16, line.title, "start")
        )
        place += 44 + 7 * len(line.title)
    return "".join(parts)


def _told(lines: Sequence[Line], x_title: str, y_title: str) -> str:
    """What a chart shows, for those who do not see it."""
    ends = "; ".join(
        f"{line.title} from {number(line.points[0][1])} at {number(line.points[0][0])} to "
        f"{number(line.points[-1][1])} at {number(line.points[-1][0])}"
        for line in lines
    )
    return f"{y_title} over {x_title}: {ends}"


def _compact(count: int) -> str:
    return f"{count:,}" if count < 10_000 else f"{count / 1000:.0f}k"


def _thinned(line: Line) -> Line:
    points = [(x, y) for x, y in line.points if math.isfinite(x) and math.isfinite(y)]
    if len(points) > _POINTS:
        parts = [
            points[i * len(points) // _POINTS : (i + 1) * len(points) // _POINTS]
            for i in range(_POINTS)
        ]
        points = [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]
    return replace(line, points=points)


class _scale:  # noqa: N801 - used as a function
    """Maps [low, high] to [start, end]."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self._low, self._start = low, start
        self._step = (end - start) / (high - low) if high > low else 0.0

    def __call__(self, value: float) -> float:
        return self._start + (value - self._low) * self._step


def _open(height: float, told: str, width: float = _WIDTH) -> str:
    return (
        f'<svg viewBox="0 0 {width:.0f} {height:.0f}" style="max-width:{width:.0f}px" role="img" '
        f'aria-label="{escape(told)}" xmlns="http://www.w3.org/2000/svg">'
    )


def _title(text: str) -> str:
    return f"<title>{escape(text)}</title>"


def _text(x: float, y: float, text: str, anchor: str, *, full: str = "", bold: bool = False) -> str:
    weight = ' class="bold"' if bold else ""
    hint = _title(full) if full and full != text else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{weight}>{hint}{escape(text)}</text>'
    )


def _short(text: str, limit: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
