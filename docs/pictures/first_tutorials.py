"""Pictures of tutorials 1 to 5, drawn by code.

``python docs/pictures/first_tutorials.py FOLDER`` writes them as SVG, in the style of the later
tutorials' pictures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import later_tutorials
from later_tutorials import BLUE, GREEN, INK, LINE, ORANGE, RED, SOFT, arrow, box, picture, words

CURVE = "#2f6f9f"


def examples_to_answers() -> str:
    """Tutorial 1: training, and asking."""
    parts = [
        words(20, 34, "Training", anchor="start", bold=True),
        box(20, 50, 210, 34, "the chain fell off → repair", fill=BLUE),
        box(20, 90, 210, 34, "where is my parcel → order", fill=BLUE),
        box(20, 130, 210, 34, "when do you open → hours", fill=BLUE),
        words(125, 186, "examples: questions with answers", size=13, colour=SOFT),
        arrow(230, 107, 290, 107),
        box(290, 70, 130, 74, "training\nfinds the pattern", fill=ORANGE),
        arrow(420, 107, 480, 107),
        box(480, 70, 120, 74, "model\n(numbers)", fill=GREEN, bold=True),
        words(20, 226, "Asking", anchor="start", bold=True),
        box(20, 242, 210, 34, "my brakes squeak → ?", fill=BLUE),
        words(125, 298, "new: not among the examples", size=13, colour=SOFT),
        f'<path d="M230 259 H540 V148" fill="none" stroke="{SOFT}" stroke-width="1.6" '
        'marker-end="url(#tip)"/>',
        arrow(600, 107, 640, 107),
        box(640, 90, 80, 34, "repair", fill=GREEN),
    ]
    return picture(740, 316, "Solved examples make a model, which answers a new question", parts)


def three_piles() -> str:
    """Tutorial 1: training, validation and test rows."""
    piles = [
        ("training rows", "the textbook", "read again and again", 0.8, BLUE),
        ("validation", "mock exam", "now and then", 0.1, ORANGE),
        ("test", "real exam", "once", 0.1, GREEN),
    ]
    parts = [words(20, 34, "Your examples, in three piles", anchor="start", bold=True)]
    x, whole = 20.0, 880
    for name, like, when, share, fill in piles:
        width = share * whole
        parts += [
            box(x, 50, width, 54, f"{100 * share:.0f} %", fill=fill),
            words(x + width / 2, 128, name, size=13, bold=True),
            words(x + width / 2, 150, like, size=13, colour=SOFT),
            words(x + width / 2, 172, when, size=12, colour=SOFT),
        ]
        x += width
    return picture(920, 192, "Most rows are learnt from, a tenth each is kept for the exams", parts)


def descent(rate: float, steps: int) -> list[float]:
    """Where gradient descent on the valley x² stands after each step, from x = -0.95."""
    places = [-0.95]
    for _ in range(steps):
        places.append(places[-1] - rate * 2 * places[-1])
        if abs(places[-1]) > 1.35:
            break
    return places


def valley(middle: float, rate: float, steps: int) -> list[str]:
    """A valley, and the way down into it; ``middle`` is where its floor is."""

    def at(x: float) -> str:
        return f"{middle + 75 * x:.1f},{210 - 75 * x * x:.1f}"

    slope = " ".join(at(i / 50) for i in range(-68, 69))
    places = [at(x) for x in descent(rate, steps)]
    parts = [
        f'<polyline points="{slope}" fill="none" stroke="{LINE}" stroke-width="2.5"/>',
        f'<polyline points="{" ".join(places)}" fill="none" stroke="{CURVE}"/>',
    ]
    for number, place in enumerate(places):
        x, y = place.split(",")
        size, fill = (6, INK) if number == 0 else (4.5, CURVE)
        parts.append(f'<circle cx="{x}" cy="{y}" r="{size}" fill="{fill}"/>')
    x, y = places[-1].split(",")
    ring = f'<circle cx="{x}" cy="{y}" r="8" fill="none" stroke="{INK}" stroke-width="2"/>'
    return [*parts, ring]


def three_rates() -> str:
    """Tutorial 1: the way down with three learning rates, really calculated."""
    ways = [
        ("too small", 0.02, 8, "safe, but hardly moving"),
        ("right", 0.2, 8, "soon at the bottom"),
        ("too large", 1.06, 3, "over the valley, and up"),
    ]
    parts = []
    for number, (title, rate, steps, meaning) in enumerate(ways):
        middle = 130 + 240 * number
        parts += [
            words(middle, 34, f"learning rate {title}", bold=True),
            *valley(middle, rate, steps),
            words(middle, 244, meaning, size=13, colour=SOFT),
        ]
    title = "The way into a valley: with too small, right and too large steps"
    return picture(740, 264, title, parts)


def low_rank() -> str:
    """Tutorial 4: the weights, and the thin and the flat table beside them."""
    parts = [
        box(30, 60, 180, 180, "768 × 768\nweights", fill=BLUE, bold=True),
        words(120, 266, "stay as they are", size=13, colour=SOFT),
        words(246, 158, "+", size=28),
        box(286, 60, 26, 180, "", fill=ORANGE),
        words(299, 266, "thin", size=13, colour=SOFT),
        words(340, 158, "×", size=28),
        box(370, 137, 180, 26, "flat", fill=ORANGE),
        words(460, 190, "8 rows of 768", size=13, colour=SOFT),
        words(299, 50, "8 columns", size=13, colour=SOFT),
        words(345, 240, "these two learn: 12,288 numbers", anchor="start", bold=True),
        words(345, 262, "in place of 589,824", size=13, colour=SOFT, anchor="start"),
    ]
    title = "A large table of weights, and beside it a thin table times a flat one"
    return picture(620, 288, title, parts)


def request_and_answer() -> str:
    """Tutorial 5: what happens to a question."""
    parts = [
        words(20, 34, "A question's way", anchor="start", bold=True),
        box(20, 64, 150, 70, "client\nbrowser, phone,\nprogram", fill=BLUE),
        box(300, 64, 150, 70, "server\nchecks, waits in\nline, counts", fill=ORANGE),
        box(580, 64, 120, 70, "model\n(ONNX)", fill=GREEN, bold=True),
        arrow(170, 86, 300, 86),
        arrow(300, 116, 170, 116),
        arrow(450, 86, 580, 86),
        arrow(580, 116, 450, 116),
        words(235, 78, "POST /predict", size=12, colour=SOFT),
        words(235, 134, "JSON", size=12, colour=SOFT),
        words(515, 78, "tokens", size=12, colour=SOFT),
        words(515, 134, "scores", size=12, colour=SOFT),
        arrow(375, 134, 375, 168, dashed=True),
        box(265, 168, 220, 34, "refused: what is too much", fill=RED),
    ]
    return picture(720, 222, "A client asks the server, which asks the model", parts)


PICTURES: dict[str, Callable[[], str]] = {
    "examples_to_answers": examples_to_answers,
    "three_piles": three_piles,
    "three_rates": three_rates,
    "low_rank": low_rank,
    "request_and_answer": request_and_answer,
}
"""File name without ending, to the function that draws it."""


def write(folder: Path) -> list[Path]:
    """Draw all of them into a folder; returns the files."""
    return later_tutorials.write(folder, PICTURES)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
