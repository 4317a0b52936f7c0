"""A score with its texts, and the headline metric on some of the judged rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.wording import value_text
from tinyforge.metrics import METRICS
from tinyforge.metrics.tally import percentile_interval, widest_unseen
from tinyforge.records.scores import Score

_CELLS = 2_000_000


@dataclass(frozen=True, slots=True)
class Value:
    """A metric's value on some rows, with its 95 % interval and both in words."""

    value: float
    low: float
    high: float
    rows: int
    text: str
    interval: str


def value_of(score: Score | None) -> Value | None:
    """The same as a ``Value``; None stays None."""
    if score is None:
        return None
    return in_words(score.name, score.value, score.low, score.high, score.rows)


def in_words(metric: str, value: float, low: float, high: float, rows: int) -> Value:
    """A value and its interval, with their texts."""
    text = f"{value_text(metric, low)} to {value_text(metric, high)}"
    return Value(value, low, high, rows, value_text(metric, value), text)


def score_on(evaluation: Evaluation, kept: NDArray[np.bool_]) -> Value | None:
    """The headline metric on some of the judged rows, with its 95 % bootstrap interval.

    A group of rows counts as a whole: it stays if all of its rows do.

    Args:
        kept: shape (judged rows,).

    Returns:
        None where no whole group is left.
    """
    tally, name = evaluation.tally, evaluation.primary.name
    if tally is None:
        return None
    whole = np.ones(tally.rows, dtype=bool)
    whole[evaluation.groups[~kept]] = False
    groups = np.flatnonzero(whole)
    if not len(groups):
        return None
    value = float(tally.weighted(whole[None].astype(np.float64), {})[0])
    random = np.random.default_rng([evaluation.sample.seed, len(groups)])
    drawn = []
    block = max(1, _CELLS // tally.rows)
    for start in range(0, evaluation.sample.draws, block):
        weights = np.zeros((min(block, evaluation.sample.draws - start), tally.rows))
        for line in weights:
            line += np.bincount(
                groups[random.integers(0, len(groups), len(groups))], minlength=tally.rows
            )
        drawn.append(tally.weighted(weights, {}))
    low, high = percentile_interval(np.concatenate(drawn))
    low, high = min(low, value), max(high, value)
    if METRICS[name].proportion and low == high and value in (0.0, 1.0):
        unseen = widest_unseen(len(groups))
        low, high = (1 - unseen, 1.0) if value else (0.0, unseen)
    return in_words(name, value, low, high, int(np.count_nonzero(whole[evaluation.groups])))
