"""Is the model better than the simplest things that could stand in its place?

The rule, for the headline metric. A model is **better** if it beats every baseline: the 95 %
interval of the paired bootstrap difference lies above zero, and a randomisation test gives
p <= 0.025 (small samples, where the bootstrap is too sure of itself). Since all baselines must be
beaten, no correction for their number is needed (intersection-union test, Berger 1982). It is
**not better** if, against the strongest baseline, the same two tests say that it is worse, or the
interval lies within a margin too small to matter, or no gain worth having was seen and the
interval rules a worthwhile one out. Otherwise nobody **can tell**.

``tests/unit/evaluate/test_verdict_honesty.py`` plays this rule against systems that are equal,
and against one that is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.wording import comparison_text, interval_text, value_text
from tinyforge.metrics import METRICS, Metric
from tinyforge.metrics.tally import Floats, Tally, bootstrap, randomisation_p, widest_unseen

Word = Literal["better", "not better", "cannot tell"]

FEWEST_GROUPS = 10
"""With fewer independent rows than this nothing is said."""

LEVEL = 0.025
"""Chance of calling an equal system better, at most; each side of a 95 % interval."""

_BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Comparison:
    """This model against one baseline, on the rows that both answered.

    Attributes:
        difference: how much the metric improves on the baseline; above zero is better, also for
            metrics where lower values are better. low, high: its 95 % interval.
        p_value: chance of such a difference, in its direction, between equal systems; 1 where it
            was not tested, because the interval holds zero.
        beaten: whether this model is better beyond doubt.
        behind: whether it is worse beyond doubt.
        rows: the rows that both answered. groups: how many of them are independent.
    """

    name: str
    title: str
    ours: float
    theirs: float
    difference: float
    low: float
    high: float
    p_value: float
    beaten: bool
    behind: bool
    rows: int
    groups: int


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in one word, and the sentence that bears it out.

    Attributes:
        best_baseline: name of the baseline that is hardest to beat; None where there is none.
        difference, low, high: against the best baseline; None where there is none.
        comparisons: with every baseline, the best one first.
    """

    word: Word
    sentence: str
    metric: str | None = None
    best_baseline: str | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    comparisons: tuple[Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Paired:
    """Two systems on the same rows, those of a group joined.

    Attributes:
        ours_drawn, theirs_drawn: the metric on the same resamples, shape (draws,).
    """

    ours: Tally
    theirs: Tally
    ours_drawn: Floats
    theirs_drawn: Floats
    rows: int
    groups: int


def judge(
    ours: Evaluation | None, baselines: Mapping[str, Evaluation], *, unseen: bool = True
) -> Verdict:
    """Compare a model with all its baselines on the headline metric.

    Args:
        ours: None where there were no test rows.
        baselines: name -> its evaluation on the same rows or on some of them, with the same
            labels; those without a value for the headline metric are left out.
        unseen: whether it is known that training never saw the rows.

    Raises:
        ValueError: an evaluation is on other rows; the caller's mistake.
    """
    if ours is None:
        return Verdict("cannot tell", "Cannot tell: there are no test rows to judge on.")
    metric = METRICS[ours.primary.name]
    if ours.headline is None:
        return Verdict("cannot tell", f"Cannot tell: {metric.title} was not measured.", metric.name)
    comparisons = [
        compare(ours, other, name) for name, other in baselines.items() if other.headline
    ]
    comparisons.sort(key=lambda comparison: comparison.difference)
    if not comparisons:
        alone = f"{metric.title} {value_text(metric.name, ours.headline.value)}"
        rows = f"{ours.sample.rows:,} {'unseen ' if unseen else ''}rows"
        return Verdict(
            "cannot tell",
            f"Cannot tell: {alone} on {rows}, with no baseline to compare with.",
            metric.name,
        )
    word, sentence = _decide(metric, ours, comparisons, unseen)
    best = comparisons[0]
    return Verdict(
        word, sentence, metric.name, best.name, best.difference, best.low, best.high,
        tuple(comparisons),
    )  # fmt: skip


def compare(ours: Evaluation, other: Evaluation, name: str, *, always: bool = False) -> Comparison:
    """One paired comparison on the headline metric, on the rows that both answered.

    Args:
        name: the other one's short name.
        always: run the randomisation test also where the interval holds zero.

    Raises:
        ValueError: the two share no row, or know other labels.
    """
    metric = METRICS[ours.primary.name]
    pair = on_common_rows(ours, other, name)
    sign = 1 if metric.higher_is_better else -1
    mine, theirs = pair.ours.value(), pair.theirs.value()
    difference = float(_subtract(np.array(sign * mine), np.array(sign * theirs)))
    low, high = _interval(pair, metric, difference, sign)
    p_value = 1.0
    if always or low > 0 or high < 0:
        first, second = (pair.ours, pair.theirs) if difference >= 0 else (pair.theirs, pair.ours)
        p_value = randomisation_p(
            first, second, samples=ours.sample.draws, seed=ours.sample.seed, sign=sign
        )
    sure = p_value <= LEVEL and pair.groups >= FEWEST_GROUPS
    return Comparison(
        name=name, title=other.name, ours=mine, theirs=theirs, difference=difference, low=low,
        high=high, p_value=p_value, beaten=low > 0 and sure, behind=high < 0 and sure,
        rows=pair.rows, groups=pair.groups,
    )  # fmt: skip


def on_common_rows(ours: Evaluation, other: Evaluation, name: str) -> Paired:
    """Both systems' statistics and resamples on the rows that both answered.

    A costly baseline may have been judged on some of the rows only; then everything is counted
    and drawn anew from what was kept of each row.

    Raises:
        ValueError: the two share no row, or know other labels.
    """
    metric = ours.primary.name
    mine, theirs = ours.row_tally, other.row_tally
    if mine is None or theirs is None or ours.tally is None or other.tally is None:
        raise ValueError(f"{name} was not measured by {metric}")
    if mine.statistics.shape[1] != theirs.statistics.shape[1]:
        raise ValueError(f"{name} was not judged with the same labels as {ours.name}")
    if ours.sample == other.sample:
        return Paired(
            ours.tally, other.tally, ours.resampled[metric], other.resampled[metric],
            ours.sample.rows, ours.sample.groups,
        )  # fmt: skip
    _, here, there = np.intersect1d(ours.keys, other.keys, return_indices=True)
    if not len(here):
        raise ValueError(f"{name} was not judged on the same rows as {ours.name}")
    order = np.argsort(here)
    here, there = here[order], there[order]
    groups = np.unique(ours.groups[here], return_inverse=True)[1].astype(np.int64)
    tallies = {
        "ours": _some(mine, here).grouped(groups),
        "theirs": _some(theirs, there).grouped(groups),
    }
    drawn = bootstrap(tallies, samples=ours.sample.draws, seed=ours.sample.seed)
    return Paired(
        tallies["ours"], tallies["theirs"], drawn["ours"], drawn["theirs"],
        len(here), int(groups.max()) + 1,
    )  # fmt: skip


def _some(tally: Tally, rows: NDArray[np.int64]) -> Tally:
    return replace(tally, statistics=tally.statistics[rows])


def _subtract(ours: Floats, theirs: Floats) -> Floats:
    """The difference; none where both are infinite."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(ours - theirs, nan=0.0, posinf=math.inf, neginf=-math.inf)


def _interval(pair: Paired, metric: Metric, difference: float, sign: int) -> tuple[float, float]:
    """The 95 % interval of the difference; not narrower than what so few rows can rule out.

    Percentiles of the paired bootstrap, widened for few rows as Student's t is (the expanded
    percentile interval of Hesterberg 2015). Where no row at all speaks for one of the systems, a
    bootstrap never draws one either, though a few such rows may well be among those not seen; the
    interval then reaches as far as their largest likely share (Clopper and Pearson 1934).
    """
    drawn = _subtract(sign * pair.ours_drawn, sign * pair.theirs_drawn)
    tail = _tail(pair.groups)
    low, high = (float(end) for end in np.quantile(drawn, [tail, 1 - tail], method="nearest"))
    low, high = min(low, difference), max(high, difference)
    if metric.scale == "free":
        return low, high
    unseen = widest_unseen(pair.groups) * (100 if metric.scale == "points" else 1)
    won, lost = _won_and_lost(pair, sign)
    return (low if lost else min(low, difference - unseen)), (
        high if won else max(high, difference + unseen)
    )


def _tail(groups: int) -> float:
    """The share of resamples to leave out at each end, so that 2.5 % are meant."""
    from scipy.special import ndtr, stdtrit

    freedom = max(groups - 1, 1)
    return float(ndtr(stdtrit(freedom, LEVEL) * math.sqrt((freedom + 1) / freedom)))


def _won_and_lost(pair: Paired, sign: int) -> tuple[bool, bool]:
    """Whether ours is the better one on any group, and whether it is the worse one on any."""
    won = lost = False
    for start in range(0, pair.groups, _BLOCK):
        ours, theirs = (
            tally.score(_dense(tally.statistics[start : start + _BLOCK]))
            for tally in (pair.ours, pair.theirs)
        )
        differences = _subtract(sign * ours, sign * theirs)
        won = won or bool((differences > 0).any())
        lost = lost or bool((differences < 0).any())
        if won and lost:
            break
    return won, lost


def _dense(statistics: Floats) -> Floats:
    return statistics if isinstance(statistics, np.ndarray) else statistics.toarray()


def _decide(
    metric: Metric, ours: Evaluation, comparisons: list[Comparison], unseen: bool
) -> tuple[Word, str]:
    best, groups = comparisons[0], ours.sample.groups
    if groups < FEWEST_GROUPS:
        return "cannot tell", (
            f"Cannot tell: {groups} independent test rows are too few, at least {FEWEST_GROUPS} "
            f"are needed. {_said(metric, ours, best, unseen)}."
        )
    unbeaten = [comparison for comparison in comparisons if not comparison.beaten]
    if not unbeaten:
        return "better", f"Better: {_said(metric, ours, best, unseen)} ({_doubt(metric, best)})."
    reason = _no_gain(metric, best)
    if reason:
        text = _said(metric, ours, best, unseen)
        return "not better", f"Not better: {text} ({_doubt(metric, best)}; {reason})."
    open_one = unbeaten[0]
    doubt = _doubt(metric, open_one)
    if open_one.low > 0:
        doubt += f"; a randomisation test says p = {open_one.p_value:.3f}, above {LEVEL}"
    return "cannot tell", (
        f"Cannot tell: {_said(metric, ours, open_one, unseen)}; the difference may be chance "
        f"({doubt}). More test rows would settle it."
    )


def _said(metric: Metric, ours: Evaluation, other: Comparison, unseen: bool) -> str:
    text = comparison_text(
        metric.name, other.ours, other.theirs, other.rows, other.title, unseen=unseen
    )
    if other.rows < ours.sample.rows and ours.headline is not None:
        whole = value_text(metric.name, ours.headline.value)
        text += f" (this model has {whole} on all {ours.sample.rows:,} rows)"
    return text


def _doubt(metric: Metric, other: Comparison) -> str:
    return interval_text(metric.name, other.difference, other.low, other.high)


def _no_gain(metric: Metric, best: Comparison) -> str:
    if best.behind:
        return "the baseline is ahead"
    if -metric.margin <= best.low and best.high <= metric.margin:
        return "too small to matter"
    if best.difference <= metric.margin and best.high <= metric.resolution:
        return "a worthwhile gain would have shown"
    return ""
