"""Findings as charts and rows of the report's page: where the model fails, and what to believe."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from tinyforge.artifacts.plots import Line, Whisker, line_chart, whisker_chart

_SLICES_DRAWN = 12
_Z = 1.96


def findings_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that come from ``report["findings"]`` and the reliability bins.

    Every finding may be missing: it was not made, or does not fit the task.
    """
    found, evaluation = report.get("findings") or {}, report["evaluation"]
    errors = found.get("errors") or {}
    return {
        "findings": {
            name: found.get(name)
            for name in (
                "power", "slices", "leaks", "label_errors", "abstention", "out_of_scope", "gap",
                "forgetting", "learning_curve", "bias",
            )
        },
        "mistakes": errors.get("worst") or (evaluation["mistakes"] if evaluation else []),
        "confident": _not_shown_yet(errors),
        "slices_svg": _slices(found.get("slices")),
        "reliability_svg": _reliability((evaluation or {}).get("reliability") or []),
        "abstention_svg": _risk(found.get("abstention")),
        "curve_svg": _learning_curve(found.get("learning_curve"), report["metrics"]),
    }  # fmt: skip


def _not_shown_yet(errors: Mapping[str, Any]) -> list[Any]:
    """The most confident errors, where they are not the worst ones anyway."""
    worst, confident = errors.get("worst") or [], errors.get("confident") or []
    same = [row["source"] for row in worst] == [row["source"] for row in confident]
    return [] if same else list(confident)


def _slices(slices: Mapping[str, Any] | None) -> str:
    rows = [
        Whisker(row["name"], row["difference"], row["low"], row["high"], f"{row['rows']:,} rows",
                "bad")
        for row in (slices or {}).get("found", [])[:_SLICES_DRAWN]
        if None not in (row["difference"], row["low"], row["high"])
    ]  # fmt: skip
    title = "Difference to all other rows, with its 95 % interval"
    return whisker_chart(rows, title=title, reference=(0.0, "as the others"))


def _reliability(bins: list[Mapping[str, Any]]) -> str:
    """Confidence against the share that was right; an interval for each bin (Wilson 1927)."""
    points = [(float(row["confidence"]), float(row["accuracy"])) for row in bins if row["rows"]]
    spans = [
        (float(row["confidence"]), *_wilson(row["accuracy"], row["rows"]))
        for row in bins
        if row["rows"]
    ]
    line = Line("this model", points, "accent", dots=True, spans=spans)
    return line_chart([line], x_title="confidence", y_title="share right", diagonal=True)


def _wilson(share: float, rows: int) -> tuple[float, float]:
    centre = (share + _Z**2 / (2 * rows)) / (1 + _Z**2 / rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2)) / (1 + _Z**2 / rows)
    return max(0.0, centre - half), min(1.0, centre + half)


def _risk(abstention: Mapping[str, Any] | None) -> str:
    """The error among answered rows, against the share of rows that are answered."""
    curve = [(float(a), float(b)) for a, b in (abstention or {}).get("curve") or []]
    line = Line("error among answered rows", sorted(curve), "accent")
    return line_chart(
        [line], x_title="share of rows answered, surest first", y_title="error", y_from_zero=True
    )


def _learning_curve(curve: Mapping[str, Any] | None, metrics: Mapping[str, Any]) -> str:
    if not curve:
        return ""
    points = [
        (float(row["rows"]), float(row["value"]))
        for row in curve["points"]
        if row["value"] is not None
    ]
    spans = [
        (float(row["rows"]), float(row["low"]), float(row["high"]))
        for row in curve["points"]
        if None not in (row["low"], row["high"])
    ]
    lines = [Line("measured", points, "accent", dots=True, spans=spans)]
    doubled = curve.get("doubled")
    if doubled and points and None not in (doubled["low"], doubled["high"]):
        ahead = [points[-1], (float(doubled["rows"]), float(doubled["value"]))]
        span = [(float(doubled["rows"]), float(doubled["low"]), float(doubled["high"]))]
        lines.append(Line("expected with twice the rows", ahead, "second", dashed=True, spans=span))
    title = metrics.get(curve["metric"], {}).get("title", curve["metric"])
    return line_chart(lines, x_title="training rows", y_title=str(title))
