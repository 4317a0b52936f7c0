"""The README's picture of a terminal, drawn from the record of a real run.

``python docs/pictures/first_run.py FOLDER`` writes ``first_run.svg``. The record beside this
program, ``first_run.txt``, is what ``make quickstart`` printed on two cores on 2026-11-22; most of
its lines of progress, and of the gate's checks, are left out. ``docs/pictures/first_run.svg`` is
kept in the repository, since a README is read where nothing is built.
"""

from __future__ import annotations

import sys
from pathlib import Path
from xml.sax.saxutils import escape

RECORD = Path(__file__).with_suffix(".txt")

LINE, CHARACTER, EDGE, BAR = 19, 8.05, 22, 40
"""Pixels: height of a line, width of a character, margin, height of the window's title."""

GROUND, TITLE, INK, FAINT = "#12151a", "#1f242c", "#dfe4ec", "#97a3b4"
GREEN, GOLD, BLUE = "#55cb92", "#f2c655", "#82a8ff"


SPACE = "\N{NO-BREAK SPACE}"
"""Two plain spaces would be shown as one."""


def picture(record: str) -> str:
    """The record as an SVG document."""
    lines = record.rstrip("\n").split("\n")
    width = round(2 * EDGE + CHARACTER * max(map(len, lines)))
    height = BAR + 2 * EDGE + LINE * (len(lines) - 1)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        'font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, DejaVu Sans Mono, monospace" '
        'font-size="13.4">',
        "<title>make quickstart in a terminal: a model is trained and judged, exported and asked"
        "</title>",
        f'<rect width="{width}" height="{height}" rx="10" fill="{GROUND}"/>',
        f'<path d="M0 {BAR}V10A10 10 0 0 1 10 0H{width - 10}A10 10 0 0 1 {width} 10V{BAR}z" '
        f'fill="{TITLE}"/>',
        *(
            f'<circle cx="{22 + 20 * place}" cy="{BAR / 2:g}" r="6" fill="{colour}"/>'
            for place, colour in enumerate(("#ff8576", GOLD, GREEN))
        ),
    ]
    for number, line in enumerate(lines):
        if line.strip():
            y = BAR + EDGE + LINE * number + 4
            parts.append(
                f'<text x="{EDGE}" y="{y}" fill="{_colour(line)}"'
                f'{_weight(line)} textLength="{CHARACTER * len(line):.1f}" '
                f'lengthAdjust="spacing">{escape(line).replace(" ", SPACE)}</text>'
            )
    return "\n".join([*parts, "</svg>", ""])


def _colour(line: str) -> str:
    if line.startswith("$"):
        return BLUE
    if line.startswith(("Better:", "Ready:", "(difference", "+0.0 points", "source's.")):
        return GREEN
    if line.startswith("  this model"):
        return GOLD
    return INK if line.startswith(("'", "  ")) else FAINT


def _weight(line: str) -> str:
    return ' font-weight="600"' if line.startswith(("$", "Better:", "Ready:")) else ""


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    drawn = picture(RECORD.read_text(encoding="utf-8"))
    (target / "first_run.svg").write_text(drawn, encoding="utf-8")
