"""The page of a prepared corpus: what came in, what was dropped and why, what is left."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinyforge.artifacts.bars import Bar, bar_chart, histogram
from tinyforge.artifacts.html import fill
from tinyforge.artifacts.words import bytes_text, count_text, flat

_LANGUAGES = 12
_SOURCES = 20
_PAIRS = 50
_REASONS = 40

_STEP_NAMES = {
    "read": "while reading", "clean": "by cleaning", "duplicates": "as duplicates",
    "contamination": "as evaluation text",
}  # fmt: skip


def render_preparation(report: Mapping[str, Any]) -> str:
    """A corpus' report as one HTML page that needs nothing else.

    Args:
        report: as ``corpus.report.Tally.report`` makes it, with ``settings`` and ``notes``.
    """
    steps = report["steps"]
    kept, found = steps[-1], steps[0]
    page = {
        "report": report,
        "word": f"{kept['documents']:,} documents",
        "sentence": _sentence(found, kept),
        "glance": _glance(report),
        "steps": _steps(steps),
        "steps_svg": bar_chart(
            [Bar(step["title"], step["characters"], f"{count_text(step['characters'])} characters")
             for step in steps],
            title="Characters after each step",
        ),
        "reasons": [
            reason | {"where": _STEP_NAMES.get(reason["step"], reason["step"])}
            for reason in report["reasons"][:_REASONS]
        ],
        "more_reasons": max(0, len(report["reasons"]) - _REASONS),
        "reasons_svg": bar_chart(
            [Bar(reason["reason"], reason["documents"], f"{reason['documents']:,}")
             for reason in report["reasons"][:15]],
            title="Documents dropped, by reason",
        ),
        "languages_svg": bar_chart(
            [Bar(row["language"] or "not identified", row["characters"],
                 f"{row['documents']:,} documents")
             for row in report["languages"][:_LANGUAGES]],
            title="Characters by language",
        ),
        "lengths_svg": _lengths(report["lengths"]),
        "sources_svg": _sources(report["sources"]),
        "sources": [
            source | {"size": bytes_text(source["bytes"]),
                      "kept": sum(c["documents"] for c in source["parts"].values()),
                      "characters": sum(c["characters"] for c in source["parts"].values())}
            for source in report["sources"]
        ],
        "pairs": report["doubles"]["pairs"][:_PAIRS],
        "settings": flat(report["settings"]),
    }  # fmt: skip
    return fill("prepare.html.jinja", page)


def _sentence(found: Mapping[str, Any], kept: Mapping[str, Any]) -> str:
    share = kept["characters"] / found["characters"] if found["characters"] else 0.0
    return (
        f"are left of {found['documents']:,} that were found: {count_text(kept['characters'])} "
        f"characters of {count_text(found['characters'])}, {share:.1%}".replace("%", " %")
    )


def _glance(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    parts = ", ".join(
        f"{name} {counts['documents']:,} documents ({count_text(counts['characters'])} characters)"
        for name, counts in report["parts"].items()
        if counts["documents"]
    )
    top = report["reasons"][:3]
    rows = [
        ("Parts", parts),
        ("Dropped most", "; ".join(f"{r['documents']:,} {r['reason']}" for r in top) or "nothing"),
    ]
    changed = report["changes"][:4]
    if changed:
        told = "; ".join(f"{c['change']} in {c['documents']:,} documents" for c in changed)
        rows.append(("Changed", told))
    between = [row for row in report["doubles"]["between"] if row["dropped"] != row["kept"]]
    if between:
        count = sum(row["documents"] for row in between)
        rows.append(("In two sources", f"{count:,} documents stand in another source too"))
    if report["notes"]:
        rows.append(("Note", "; ".join(report["notes"])))
    return rows


def _steps(steps: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    before = steps[0]
    for step in steps:
        fewer = before["documents"] - step["documents"]
        lost = before["characters"] - step["characters"]
        found.append({**step, "fewer": fewer, "lost": lost})
        before = step
    return found


def _lengths(lengths: Mapping[str, Any]) -> str:
    names = [count_text(start) for start in lengths["from"]]
    return histogram(
        names, lengths["kept"], lengths["read"],
        title="Documents by length in characters, kept ones",
    )  # fmt: skip


def _sources(sources: list[Mapping[str, Any]]) -> str:
    bars = []
    for source in sources[:_SOURCES]:
        kept = sum(counts["characters"] for counts in source["parts"].values())
        read = source["read"]["characters"]
        text = f"{count_text(kept)} of {count_text(read)}"
        bars.append(Bar(source["name"], float(max(read, kept)), text, float(max(read - kept, 0))))
    return bar_chart(bars, title="Characters of each source, kept and not")
