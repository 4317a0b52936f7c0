"""Several models on the same rows: which is better than which, and which rows changed.

Every pair is compared by the paired bootstrap and by approximate randomisation (Noreen 1989);
the p-values of all pairs are corrected together by Holm's method (1979), which holds the chance of
any wrong claim to 5 % however many models there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.verdict import FEWEST_GROUPS, Comparison, compare
from tinyforge.evaluate.wording import interval_text, value_text
from tinyforge.metrics import METRICS, Metric, better_first

Word = Literal["better", "worse", "alike", "cannot tell"]

FAMILY_LEVEL = 0.05
"""Chance that any of the pairs is wrongly told apart, at most."""

_SAME = 1e-9


@dataclass(frozen=True)
class Flips:
    """How the answers to the same rows changed from one model to another.

    Rows are numbered by their place among the judged ones. ``gained``, ``lost`` and ``same`` rows
    make up all of them.

    Attributes:
        right_or_wrong: whether a row is simply right or wrong; otherwise a row is gained where
            its answer got closer to the expected one, and lost where it got further away.
        gained: rows from wrong to right, the greatest gain first.
        lost: rows from right to wrong, the greatest loss first.
        same: rows whose answer is as good as before.
        both_right, both_wrong: the two kinds of ``same`` rows; None where rows are not simply
            right or wrong.
        rewritten: rows whose answer reads otherwise, whether better, worse or as good.
        p_value: exact sign test over independent groups of rows; where every row stands for
            itself and is right or wrong this is McNemar's test (1947) in its exact form.
    """

    right_or_wrong: bool
    gained: NDArray[np.int64]
    lost: NDArray[np.int64]
    same: int
    both_right: int | None
    both_wrong: int | None
    rewritten: int
    p_value: float


@dataclass(frozen=True)
class Pair:
    """One model beside another.

    Attributes:
        before, after: their names; ``after`` comes later in the user's list.
        comparison: ``after`` against ``before``; above zero is an improvement.
        p_value: chance of such a difference, in either direction, between equal models.
        adjusted_p: the same after Holm's correction for all pairs.
        word: what ``after`` is beside ``before``; ``alike`` if the whole interval lies within a
            margin too small to matter.
    """

    before: str
    after: str
    comparison: Comparison
    p_value: float
    adjusted_p: float
    word: Word
    flips: Flips


@dataclass(frozen=True)
class Ranking:
    """Models in order, and what is known about that order.

    Attributes:
        order: names, the best value of the headline metric first.
        ranks: name -> 1 plus the number of models that are better beyond doubt.
        pairs: every two models, in the user's order.
        best: the model that is better than every other; None where there is none.
        word: what the best of the other models is beside the first one of the list.
        sentence: the answer in words.
    """

    metric: str
    order: list[str]
    ranks: dict[str, int]
    pairs: list[Pair]
    best: str | None
    word: Word
    sentence: str


def rank(evaluations: Mapping[str, Evaluation]) -> Ranking:
    """Compare every two of at least two evaluations on the same rows.

    Raises:
        ValueError: they were not judged on the same rows, or not by the same headline metric.
    """
    names = list(evaluations)
    metric = METRICS[evaluations[names[0]].primary.name]
    found = [
        (a, b, compare(evaluations[b], evaluations[a], a, always=True))
        for a, b in combinations(names, 2)
    ]
    two_sided = [min(1.0, 2 * comparison.p_value) for _, _, comparison in found]
    pairs = [
        Pair(
            a, b, comparison, p, adjusted, _word(metric, comparison, adjusted),
            flips(evaluations[a], evaluations[b]),
        )
        for (a, b, comparison), p, adjusted in zip(found, two_sided, holm(two_sided), strict=True)
    ]  # fmt: skip
    values = {name: _value(evaluations[name]) for name in names}
    order = better_first(values, metric.name)
    beaten = {name: sum(_beats(pair) == (other, name) for pair in pairs for other in names)
              for name in names}  # fmt: skip
    ranks = {name: 1 + beaten[name] for name in order}
    best = order[0] if all(_beaten_by(pairs, order[0], other) for other in order[1:]) else None
    rows = evaluations[names[0]].sample.rows
    word, sentence = _answer(metric, names, order, pairs, best, values, rows)
    return Ranking(metric.name, order, ranks, pairs, best, word, sentence)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction (1979): the p-values as large as their number makes them."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for place, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - place) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def flips(before: Evaluation, after: Evaluation) -> Flips:
    """Which rows changed for the better and for the worse.

    Raises:
        ValueError: the two were not judged on the same rows.
    """
    if before.sample.fingerprint != after.sample.fingerprint:
        raise ValueError(f"{after.name} was not judged on the same rows as {before.name}")
    binary = _right_or_wrong(before)
    old, new = before.quality, after.quality
    if binary:
        old, new = (old >= 1).astype(np.float64), (new >= 1).astype(np.float64)
    change = new - old
    gained = np.argsort(-change, kind="stable")[: int((change > _SAME).sum())]
    lost = np.argsort(change, kind="stable")[: int((change < -_SAME).sum())]
    same = len(change) - len(gained) - len(lost)
    both_right = int(((old >= 1) & (new >= 1)).sum()) if binary else None
    groups = before.groups
    net = np.bincount(groups, weights=np.where(abs(change) > _SAME, change, 0.0))
    return Flips(
        right_or_wrong=binary,
        gained=gained.astype(np.int64),
        lost=lost.astype(np.int64),
        same=same,
        both_right=both_right,
        both_wrong=None if both_right is None else same - both_right,
        rewritten=sum(
            a.output != b.output
            for a, b in zip(before.predictions, after.predictions, strict=True)
        ),
        p_value=sign_test(int((net > _SAME).sum()), int((net < -_SAME).sum())),
    )  # fmt: skip


def sign_test(wins: int, losses: int) -> float:
    """Two-sided exact test that wins and losses are equally likely; 1 where there is neither."""
    from scipy.special import bdtr

    if wins + losses == 0:
        return 1.0
    return min(1.0, 2 * float(bdtr(min(wins, losses), wins + losses, 0.5)))


def _right_or_wrong(evaluation: Evaluation) -> bool:
    if evaluation.task == "classify":
        return not evaluation.multi_label
    return METRICS[evaluation.primary.name].proportion


def _value(evaluation: Evaluation) -> float:
    if evaluation.headline is None:
        raise ValueError(f"{evaluation.name} was not measured by {evaluation.primary.name}")
    return evaluation.headline.value


def _word(metric: Metric, comparison: Comparison, adjusted: float) -> Word:
    sure = adjusted <= FAMILY_LEVEL and comparison.groups >= FEWEST_GROUPS
    if sure and comparison.low > 0:
        return "better"
    if sure and comparison.high < 0:
        return "worse"
    if -metric.margin <= comparison.low and comparison.high <= metric.margin:
        return "alike"
    return "cannot tell"


def _beats(pair: Pair) -> tuple[str, str] | None:
    """(winner, loser) where the two are told apart."""
    if pair.word == "better":
        return pair.after, pair.before
    return (pair.before, pair.after) if pair.word == "worse" else None


def _beaten_by(pairs: Sequence[Pair], winner: str, loser: str) -> bool:
    return any(_beats(pair) == (winner, loser) for pair in pairs)


def _answer(
    metric: Metric,
    names: list[str],
    order: list[str],
    pairs: list[Pair],
    best: str | None,
    values: Mapping[str, float],
    rows: int,
) -> tuple[Word, str]:
    """The word about the best of the others beside the first model, and the sentence about all."""
    first = names[0]
    rival = next(name for name in order if name != first)
    pair = next(pair for pair in pairs if (pair.before, pair.after) == (first, rival))
    difference = interval_text(
        metric.name, pair.comparison.difference, pair.comparison.low, pair.comparison.high
    )
    a, b = (value_text(metric.name, values[name]) for name in (rival, first))
    lower = "" if metric.higher_is_better else ", lower is better"
    scores = f"{metric.title} {a} against {b} on {rows:,} rows{lower} ({difference})"
    said = {
        "better": f"Better: {rival} beats {first}: {scores}.",
        "worse": f"Worse: {rival} falls behind {first}: {scores}.",
        "alike": f"Alike: {rival} and {first} differ too little to matter: {scores}.",
        "cannot tell": f"Cannot tell {rival} and {first} apart: {scores}.",
    }[pair.word]
    if len(names) == 2:
        return pair.word, said
    if best is not None:
        return pair.word, f"{said} Best of all {len(names)}: {best}."
    level = [name for name in order if not any(_beaten_by(pairs, other, name) for other in names)]
    return pair.word, f"{said} None beats all others; not beaten: {', '.join(level)}."
