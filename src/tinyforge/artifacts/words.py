"""Values as people read them: durations, sizes, counts, and anything in a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinyforge.artifacts.plots import number


def seconds_text(seconds: float) -> str:
    """``0.4 s``, ``75 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def duration_text(seconds: float) -> str:
    """A short time: ``0.31 ms``, ``12.4 ms``, ``1.2 s``."""
    if seconds >= 1:
        return seconds_text(seconds)
    thousandths = 1000 * seconds
    return f"{thousandths:.2g} ms" if thousandths < 1 else f"{thousandths:.1f} ms"


def bytes_text(size: int | None) -> str:
    """``812 kB``, ``90.9 MB``, ``1.2 GB``; a dash where it is not known."""
    if size is None:
        return "–"
    for unit, name in ((10**9, "GB"), (10**6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 1000:.0f} kB"


def count_text(value: int) -> str:
    """``22.7 M``, ``1.5 k``, ``12``."""
    for size, name in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= size:
            return f"{value / size:.1f} {name}"
    return str(value)


def energy_text(energy: Mapping[str, Any] | None) -> str:
    """``3.1 Wh (estimate)``; nothing where it is not known."""
    if not energy or energy.get("watt_hours") is None:
        return ""
    hours = float(energy["watt_hours"])
    size = f"{hours / 1000:.2f} kWh" if hours >= 1000 else f"{hours:.2g} Wh"
    if 10 <= hours < 1000:
        size = f"{hours:.0f} Wh"
    return size if energy.get("measured") else f"{size} (estimate)"


def p_text(value: float | None) -> str:
    """A p-value: ``0.031``, ``< 0.001``; a dash where there is none."""
    if value is None:
        return "–"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def value_text(value: Any) -> str:
    """Any value of a setting or a count."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(str, value)) or "–"
    return str(value) or "–"


def flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as (``train.learning_rate``, value)."""
    found = []
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found += flat(value, f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", value_text(value)))
    return found
