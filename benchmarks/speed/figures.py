"""From single measurements to what is told: medians, ratios, and whether they count."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TAIL = 0.2
"""The last share of the steps, over which the training loss is averaged."""

RELATIVE = 0.03
"""Two losses that differ by less than this share of the peer's are the same."""

ACCURACY = 0.015
"""Two accuracies on about 1,000 rows that differ by less are the same: one standard error of
their difference is about as much."""

Step = Mapping[str, Any]


@dataclass(frozen=True)
class Agreement:
    """Whether two sides learnt the same.

    Attributes:
        measure: what was compared.
        ours, peer: medians over the runs.
        tolerance: largest difference that counts as noise.
        word: ``same``, ``ours lower`` or ``ours higher``.
    """

    measure: str
    ours: float
    peer: float
    tolerance: float
    word: str


def summary(values: Sequence[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rates(steps: Sequence[Step], dropped: int) -> dict[str, float]:
    """Examples and tokens a second, over all steps but the first ``dropped``.

    Sides that put like lengths together meet the long rows at other times (the Trainer first of
    all), so that the counted steps hold longer rows on one side than on the other. Examples are
    therefore told in rows of the run's mean length: tokens a second over tokens of a mean row.

    Raises:
        ValueError: no step is left.
    """
    counted = steps[dropped:]
    if not counted:
        raise ValueError(f"{len(steps)} steps, and the first {dropped} do not count")
    seconds = sum(float(step["seconds"]) for step in counted)
    tokens_per_second = sum(int(step["tokens"]) for step in counted) / seconds
    row = sum(int(step["tokens"]) for step in steps) / sum(int(step["examples"]) for step in steps)
    return {
        "seconds": seconds,
        "examples_per_second": tokens_per_second / row,
        "tokens_per_second": tokens_per_second,
    }


def end_loss(losses: Sequence[float]) -> float:
    """Mean training loss over the last fifth of the steps."""
    count = max(1, round(len(losses) * TAIL))
    return statistics.fmean(losses[-count:])


def ratios(ours: Sequence[float], peer: Sequence[float]) -> dict[str, float]:
    """The ratio of the medians, and the smallest and largest ratio of a pair of runs.

    Runs are paired in the order in which they took turns, so that a slow spell of the machine
    meets both sides of a pair.
    """
    pairs = [one / other for one, other in zip(ours, peer, strict=True)]
    return {
        "ratio": statistics.median(ours) / statistics.median(peer),
        "low": min(pairs),
        "high": max(pairs),
    }


def agreement(
    measure: str,
    ours: Sequence[float],
    peer: Sequence[float],
    *,
    relative: float = RELATIVE,
    absolute: float = 0.0,
) -> Agreement:
    """Compare the medians of two sides.

    Noise is the largest of: a share of the peer's value, an absolute difference, and the spread
    of either side over its runs, each of which has a seed of its own.
    """
    a, b = statistics.median(ours), statistics.median(peer)
    spread = max(max(ours) - min(ours), max(peer) - min(peer))
    tolerance = max(relative * abs(b), absolute, spread)
    word = "same" if abs(a - b) <= tolerance else "ours lower" if a < b else "ours higher"
    return Agreement(measure, a, b, tolerance, word)


def same_rows(ours: Sequence[Step], peer: Sequence[Step]) -> str:
    """Why the two sides did not see the same rows; empty where they did.

    Tokens may differ by one in a hundred: tools differ in an end token, or in where a text that
    is cut in two is tokenized.
    """
    for key, tolerance in (("examples", 0.0), ("tokens", 0.01)):
        a, b = (sum(int(step[key]) for step in steps) for steps in (ours, peer))
        if abs(a - b) > tolerance * b:
            return f"ours learnt from {a:,} {key}, the peer from {b:,}"
    return ""
