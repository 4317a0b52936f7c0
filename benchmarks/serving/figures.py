"""Small things that every program here needs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy.stats import linregress
from scipy.stats import t as student

RESULTS = Path(__file__).parent / "results"


def say(text: str) -> None:
    """A line for who watches."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that so many of a hundred do not exceed; None of none."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(len(values) * share / 100) - 1)]


@dataclass(frozen=True)
class Slope:
    """A straight line's slope and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def slope(times: Sequence[float], values: Sequence[float], *, blocks: int) -> Slope:
    """The least-squares line through the means of so many stretches of equal length.

    Samples that follow each other are alike, by which an interval of them all would come out much
    too narrow; means of long stretches are nearly independent (the method of batch means).

    Raises:
        ValueError: there are fewer than three samples for each stretch.
    """
    each = len(times) // blocks
    if each < 3:
        raise ValueError(f"{len(times)} samples are too few for {blocks} stretches")
    last = len(times) - each * blocks  # the first ones are left out where it does not divide
    starts = range(last, len(times), each)
    x = [fmean(times[start : start + each]) for start in starts]
    y = [fmean(values[start : start + each]) for start in starts]
    if min(y) == max(y):  # of which scipy has no error to tell
        return Slope(0.0, 0.0, 0.0)
    line = linregress(x, y)
    half = float(student.ppf(0.975, blocks - 2) * line.stderr)
    value = float(line.slope)
    return Slope(value, value - half, value + half)


def save(name: str, result: dict[str, Any], chosen: argparse.Namespace) -> None:
    """Keep or print a result, as was asked for."""
    if getattr(chosen, "save", False):
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    if chosen.json:
        sys.stdout.write(json.dumps(result) + "\n")


def verdict(name: str, counts: dict[str, Any], bad: Sequence[str]) -> int:
    """Say what was counted and what is wrong; the exit code."""
    say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in counts.items()))
    for each in bad:
        say(f"FAILED: {each}")
    return 1 if bad else 0
