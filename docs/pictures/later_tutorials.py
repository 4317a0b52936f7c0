"""Pictures of tutorials 6 to 9 and of the explanations, drawn by code.

``python docs/pictures/later_tutorials.py FOLDER`` writes them as SVG. Every picture has its own
light ground, so that it can be read on a dark page too, and a title for screen readers.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

INK, SOFT, LINE = "#1f2933", "#52606d", "#9aa5b1"
GROUND, PLAIN = "#fbfaf7", "#ffffff"
BLUE, GREEN, ORANGE, RED = "#d6e6f7", "#d9efdc", "#fbe5c8", "#f8d7d3"

LINE_HEIGHT = 18


def picture(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    """A whole SVG document."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" '
            'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" '
            f'fill="{SOFT}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="12" fill="{GROUND}"/>',
            *parts,
            "</svg>",
            "",
        ]
    )


def words(
    x: float, y: float, text: str, *, size: int = 14, colour: str = INK, anchor: str = "middle",
    bold: bool = False,
) -> str:  # fmt: skip
    """Lines of text, the first on the baseline ``y``."""
    weight = ' font-weight="600"' if bold else ""
    lines = [
        f'<tspan x="{x:g}" dy="{0 if number == 0 else LINE_HEIGHT}">{escape(line)}</tspan>'
        for number, line in enumerate(text.split("\n"))
    ]
    return (
        f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}" '
        f'text-anchor="{anchor}"{weight}>{"".join(lines)}</text>'
    )


def box(
    x: float, y: float, width: float, height: float, text: str, *, fill: str = PLAIN,
    bold: bool = False,
) -> str:  # fmt: skip
    """A rounded box with its text in the middle."""
    lines = text.count("\n") + 1
    first = y + height / 2 + 5 - (lines - 1) * LINE_HEIGHT / 2
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="8" fill="{fill}" '
        f'stroke="{LINE}"/>' + words(x + width / 2, first, text, bold=bold)
    )


def arrow(x1: float, y1: float, x2: float, y2: float, *, dashed: bool = False) -> str:
    """A line with a tip at its second end."""
    dashes = ' stroke-dasharray="5 4"' if dashed else ""
    return (
        f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="{SOFT}" '
        f'stroke-width="1.6" marker-end="url(#tip)"{dashes}/>'
    )


def two_roads() -> str:
    """Tutorial 6: pretraining once and fine-tuning often, or each model from nothing."""
    parts = [
        words(20, 34, "Fine-tuning", anchor="start", bold=True),
        box(20, 50, 150, 56, "raw text,\nvery much of it", fill=BLUE),
        arrow(170, 78, 212, 78),
        box(212, 50, 160, 56, "a model that\ncan read", fill=GREEN),
        arrow(372, 78, 430, 78),
        box(430, 50, 190, 56, "a model that does\nyour job", fill=ORANGE),
        words(192, 128, "once, by somebody with\nmany machines", size=13, colour=SOFT),
        words(401, 128, "minutes, by you,\nwith some rows", size=13, colour=SOFT),
        words(20, 196, "From scratch", anchor="start", bold=True),
        box(20, 212, 150, 56, "random\nnumbers"),
        arrow(170, 240, 430, 240),
        box(430, 212, 190, 56, "a model that does\nyour job, no more", fill=ORANGE),
        words(300, 230, "all that it will ever know", size=13, colour=SOFT),
        words(300, 262, "has to stand in your rows", size=13, colour=SOFT),
    ]
    return picture(640, 290, "Two roads to a model: fine-tuning, or training from scratch", parts)


def next_word() -> str:
    """Tutorial 6: one sentence is many exercises."""
    sentence = ["the", "sun", "rises", "in", "the", "east"]
    parts = [words(20, 34, "One sentence, five exercises", anchor="start", bold=True)]
    for row, known in enumerate(range(1, len(sentence))):
        y, x = 52 + 40 * row, 20.0
        for place, word in enumerate(sentence[: known + 1]):
            width = 24 + 9 * len(word)
            fill = ORANGE if place == known else BLUE
            parts.append(box(x, y, width, 30, "?" if place == known else word, fill=fill))
            x += width + 8
        parts.append(words(x + 12, y + 20, f"→ {sentence[known]}", anchor="start", bold=True))
    return picture(
        640, 270, "Every word of a text is an exercise: guess it from those before", parts
    )


def intervals() -> str:
    """Tutorial 7: 80 % right, of 10, 100 and 1,000 rows, with 95 % intervals by bootstrap."""
    left, right = 150, 600

    def at(share: float) -> float:
        return left + (share - 0.4) / 0.6 * (right - left)

    parts = [words(20, 34, "80 % right, and how sure that is", anchor="start", bold=True)]
    for share in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        x = at(share)
        parts.append(f'<line x1="{x:g}" y1="54" x2="{x:g}" y2="190" stroke="#e4e7eb"/>')
        parts.append(words(x, 212, f"{100 * share:.0f} %", size=13, colour=SOFT))
    for number, rows in enumerate((10, 100, 1_000)):
        low, high = bootstrap(round(0.8 * rows), rows)
        y = 80 + 45 * number
        parts += [
            words(left - 20, y + 5, f"{rows:,} rows", anchor="end"),
            f'<line x1="{at(low):g}" y1="{y}" x2="{at(high):g}" y2="{y}" stroke="#2f6f9f" '
            'stroke-width="9" stroke-linecap="round"/>',
            f'<circle cx="{at(0.8):g}" cy="{y}" r="7" fill="{INK}"/>',
        ]
    return picture(640, 230, "The same score on 10, 100 and 1,000 rows with its intervals", parts)


def bootstrap(right: int, rows: int) -> tuple[float, float]:
    """The 95 % interval of ``right`` of ``rows``, as the tutorial reckons it."""
    rng = random.Random(0)
    answers = [1] * right + [0] * (rows - right)
    scores = sorted(sum(rng.choices(answers, k=rows)) / rows for _ in range(2_000))
    return scores[50], scores[-51]


def prompt_parts() -> str:
    """Tutorial 8: what a prompt is made of."""
    lines = [
        (BLUE, "Is the review good or bad?", "the task, once"),
        (GREEN, "Review: two lost hours\nIt was bad", "a solved example"),
        (GREEN, "Review: I laughed and cried\nIt was good", "another one"),
        (ORANGE, "Review: a warm and funny film\nIt was", "your input"),
    ]
    parts, y = [words(20, 34, "What the model reads", anchor="start", bold=True)], 50
    for fill, text, meaning in lines:
        height = 34 + LINE_HEIGHT * text.count("\n")
        parts.append(
            f'<rect x="20" y="{y}" width="360" height="{height}" rx="6" fill="{fill}" '
            f'stroke="{LINE}"/>'
        )
        parts.append(words(34, y + 22, text, anchor="start"))
        parts.append(words(400, y + height / 2 + 5, meaning, anchor="start", colour=SOFT))
        y += height + 8
    parts.append(arrow(200, y - 4, 200, y + 22))
    parts.append(words(216, y + 20, "good", anchor="start", bold=True))
    parts.append(words(400, y + 20, "what it goes on with", anchor="start", colour=SOFT))
    return picture(640, y + 40, "The parts of a prompt: task, solved examples, input", parts)


def swap_one_word() -> str:
    """Tutorial 9: a test for unfairness."""
    parts = [
        words(20, 34, "Change one word that must not matter", anchor="start", bold=True),
        box(20, 54, 330, 44, "Kim, four years of chess, north school", fill=BLUE),
        box(20, 124, 330, 44, "Kim, four years of chess, south school", fill=BLUE),
        arrow(350, 76, 420, 76),
        arrow(350, 146, 420, 146),
        box(420, 54, 110, 44, "accept", fill=GREEN),
        box(420, 124, 110, 44, "refuse", fill=RED),
        words(475, 116, "unfair", bold=True),
        words(20, 200, "The score does not show it: the model repeats what the rows say.",
              anchor="start", colour=SOFT),
    ]  # fmt: skip
    return picture(640, 224, "The same application from two schools gets two answers", parts)


def safeguards() -> str:
    """Tutorial 9: what stands around a served model."""
    parts = [
        words(20, 34, "Around a served model", anchor="start", bold=True),
        box(20, 70, 90, 50, "question", fill=BLUE),
        arrow(110, 95, 140, 95),
        box(140, 56, 130, 78, "block list\njailbreaks\npersonal data"),
        arrow(270, 95, 300, 95),
        box(300, 70, 90, 50, "model", fill=GREEN, bold=True),
        arrow(390, 95, 420, 95),
        box(420, 56, 120, 78, "toxicity\npersonal data\ndoubt"),
        arrow(540, 95, 566, 95),
        box(566, 70, 66, 50, "answer", fill=BLUE),
        arrow(205, 134, 205, 170, dashed=True),
        arrow(480, 134, 480, 170, dashed=True),
        box(140, 170, 130, 36, "refusal", fill=RED),
        box(420, 170, 120, 36, "refusal", fill=RED),
        words(345, 194, "and a count of each", size=13, colour=SOFT),
    ]
    return picture(650, 226, "Safeguards before and behind the model", parts)


def step() -> str:
    """Explanation of the loop: one optimizer step."""
    names = [
        ("rows of\nstep n", BLUE),
        ("forward:\nread them", PLAIN),
        ("loss:\nhow wrong", ORANGE),
        ("backward:\nwhich way", PLAIN),
        ("update the\nweights", GREEN),
    ]
    parts = [words(20, 34, "One step", anchor="start", bold=True)]
    for number, (name, fill) in enumerate(names):
        x = 20 + 124 * number
        parts.append(box(x, 54, 104, 56, name, fill=fill))
        if number < len(names) - 1:
            parts.append(arrow(x + 104, 82, x + 124, 82))
    parts += [
        f'<path d="M568 110 V146 H72 V114" fill="none" stroke="{SOFT}" stroke-width="1.6" '
        'marker-end="url(#tip)"/>',
        words(320, 166, "again, with the rows of step n + 1", size=13, colour=SOFT),
    ]
    return picture(640, 184, "A step: rows, forward, loss, backward, update, and again", parts)


def checkpoint() -> str:
    """Explanation of resuming: how a checkpoint comes to be."""
    names = [
        ("write under a\nhidden name", PLAIN),
        ("sync every\nfile", PLAIN),
        ("manifest with\nall hashes", ORANGE),
        ("rename:\nnow it counts", GREEN),
        ("delete an\nolder one", RED),
    ]
    parts = [words(20, 34, "A checkpoint", anchor="start", bold=True)]
    for number, (name, fill) in enumerate(names):
        x = 20 + 124 * number
        parts.append(box(x, 54, 108, 56, name, fill=fill))
        if number < len(names) - 1:
            parts.append(arrow(x + 108, 82, x + 124, 82))
    parts += [
        words(190, 140, "killed here: the one before it is used", size=13, colour=SOFT),
        words(500, 140, "killed here: this one is used", size=13, colour=SOFT),
        f'<line x1="386" y1="46" x2="386" y2="146" stroke="{SOFT}" stroke-dasharray="4 4"/>',
    ]
    return picture(640, 162, "A checkpoint counts from the moment it is renamed", parts)


PICTURES: dict[str, Callable[[], str]] = {
    "two_roads": two_roads,
    "next_word": next_word,
    "intervals": intervals,
    "prompt_parts": prompt_parts,
    "swap_one_word": swap_one_word,
    "safeguards": safeguards,
    "step": step,
    "checkpoint": checkpoint,
}
"""File name without ending, to the function that draws it."""


def write(folder: Path, pictures: Mapping[str, Callable[[], str]] = PICTURES) -> list[Path]:
    """Draw all of them into a folder; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, draw in pictures.items():
        path = folder / f"{name}.svg"
        path.write_text(draw(), encoding="utf-8")
        paths.append(path)
    return paths


if __name__ == "__main__":
    write(Path(sys.argv[1]))
