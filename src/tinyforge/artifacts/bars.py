"""Bar charts as SVG text, in the manner of ``plots``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_WIDTH = 720
_SHOWN = 32


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; ``text`` stands at its end. ``part`` of ``value`` is drawn in the second colour."""

    title: str
    value: float
    text: str
    part: float = 0.0


def bar_chart(bars: Sequence[Bar], *, title: str) -> str:
    """Horizontal bars, one below the other, on one scale from zero. Nothing where no bar is."""
    if not bars or max(bar.value for bar in bars) <= 0:
        return ""
    left, right, height, top = 210, 150, 26, 6
    scale = (_WIDTH - left - right) / max(bar.value for bar in bars)
    told = escape(f"{title}: " + "; ".join(f"{bar.title} {bar.text}" for bar in bars))
    total = top + height * len(bars) + 8
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {total}" style="max-width:{_WIDTH}px" role="img" '
        f'aria-label="{told}" xmlns="http://www.w3.org/2000/svg">'
    ]
    for number, bar in enumerate(bars):
        y = top + height * number
        width = max(bar.value * scale, 1.0)
        first = width - bar.part * scale
        parts.append(_text(left - 10, y + 16, bar.title, "end"))
        parts.append(_box(left, y, first, height - 7, "accent"))
        if bar.part > 0:
            parts.append(_box(left + first, y, bar.part * scale, height - 7, "second"))
        parts.append(_text(left + width + 8, y + 16, bar.text, "start"))
    return "".join(parts) + "</svg>"


def histogram(
    names: Sequence[str], lower: Sequence[float], upper: Sequence[float], *, title: str
) -> str:
    """Columns of two heights over named bins: ``upper`` behind, ``lower`` before it."""
    most = max([*lower, *upper], default=0)
    if most <= 0:
        return ""
    left, bottom, top, height = 20, 34, 10, 220
    step = (_WIDTH - 2 * left) / len(names)
    told = escape(
        f"{title}: " + "; ".join(f"{n} {b:,.0f}" for n, b in zip(names, lower, strict=True))
    )
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {height}" style="max-width:{_WIDTH}px" role="img" '
        f'aria-label="{told}" xmlns="http://www.w3.org/2000/svg">'
    ]
    base = height - bottom
    for number, (name, low, high) in enumerate(zip(names, lower, upper, strict=True)):
        x, scale = left + step * number, (base - top) / most
        parts.append(_box(x + 1, base - high * scale, step - 2, high * scale, "line"))
        parts.append(_box(x + 1, base - low * scale, step - 2, low * scale, "accent"))
        parts.append(_text(x + step / 2, base + 16, name, "middle"))
    parts.append(f'<path class="grid" d="M{left} {base}H{_WIDTH - left}"/>')
    return "".join(parts) + "</svg>"


def _box(x: float, y: float, width: float, height: float, colour: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width, 0):.1f}" height="{max(height, 0):.1f}" '
        f'fill="var(--{colour})"/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    plain = " ".join(text.split())
    shown = plain if len(plain) <= _SHOWN else plain[: _SHOWN - 1] + "…"
    hint = f"<title>{escape(plain)}</title>" if shown != plain else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{hint}{escape(shown)}</text>'
