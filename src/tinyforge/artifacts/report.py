"""The report on disk: ``report.json`` for programs, ``report.html`` and a model card for people."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import write_json, write_text
from tinyforge.artifacts.html import fill
from tinyforge.artifacts.model_card import model_card as model_card
from tinyforge.artifacts.report_page import page_of, systems


def write_report(folder: Path, report: Mapping[str, Any]) -> None:
    """Write ``tinyforge/report.json``, ``tinyforge/report.html`` and ``README.md``.

    Args:
        folder: the run folder.
        report: as ``evaluate.report.build_report`` makes it; plain JSON.
    """
    meta = Path(folder) / "tinyforge"
    meta.mkdir(parents=True, exist_ok=True)
    write_json(meta / "report.json", report)
    write_text(meta / "report.html", render(report))
    write_text(Path(folder) / "README.md", model_card(report))


def render(report: Mapping[str, Any]) -> str:
    """The report as one HTML page that needs nothing else: no script, no network."""
    return fill("report.html.jinja", page_of(report))


def summary(report: Mapping[str, Any], *, width: int = 100) -> str:
    """The few lines for the terminal: verdict, this model beside its baselines, where to look."""
    lines = textwrap.wrap(report["verdict"]["sentence"], width)
    rows = [(_line(system, report)) for system in systems(report)]
    if rows:
        title = report["metrics"].get(report["verdict"]["metric"], {}).get("title", "")
        rows.insert(0, ("", title, "95 % interval", "time"))
        widths = [max(len(row[i]) for row in rows) for i in range(4)]
        lines.append("")
        lines += [
            f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:<{widths[2]}}  "
            f"{row[3]:>{widths[3]}}".rstrip()
            for row in rows
        ]
    for absent in report["data"].get("absent_labels", ()):
        lines += ["", *textwrap.wrap(f"Note: {absent['sentence']}", width)]
    if report["advice"] and report["verdict"]["word"] != "better":
        lines += ["", *textwrap.wrap(f"Next: {report['advice'][0]}", width)]
    lines += ["", f"Report: {Path(report['output_dir']) / 'tinyforge' / 'report.html'}"]
    return "\n".join(lines)


def _line(system: Mapping[str, Any], report: Mapping[str, Any]) -> tuple[str, str, str, str]:
    score = system["scores"].get(report["verdict"]["metric"])
    if not score:
        return system["title"], "–", "", system["time"]
    return system["title"], score["text"], score["interval"], system["time"]
