"""Small things that every program here needs."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
