"""Is the model better than the simplest things that could stand in its place?

The rule, for the headline metric. A model is **better** if it beats every baseline: the 95 %
interval of the paired bootstrap difference lies above zero, and a randomisation test gives
p <= 0.025 (small samples, where the bootstrap is too sure of itself). Since all baselines must be
beaten, no correction for their number is needed (intersection-union test, Berger 1982). It is
**not better** if, against the best baseline, the interval lies at or below zero, or within a
margin too small to matter, or the difference is not above zero and the interval is narrow enough
to have shown a worthwhile one. Otherwise nobody **can tell**.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.wording import comparison_text, interval_text, value_text
from tinyforge.metrics import METRICS, Metric
from tinyforge.metrics.tally import Floats, percentile_interval, randomisation_p, widest_unseen

Word = Literal["better", "not better", "cannot tell"]

FEWEST_GROUPS = 10
"""With fewer independent rows than this nothing is said."""

_LEVEL = 0.025


@dataclass(frozen=True, slots=True)
class Comparison:
    """This model against one baseline, on the same rows.

    Attributes:
        difference: how much the metric improves on the baseline; above zero is better, also for
            metrics where lower values are better. low, high: its 95 % interval.
        p_value: chance of such an improvement between equal systems; 1 where it was not tested,
            because the interval already reaches down to zero.
        beaten: whether this model is better beyond doubt.
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer in one word, and the sentence that bears it out.

    Attributes:
        best_baseline: name of the baseline with the best headline value; None where there is none.
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


def judge(ours: Evaluation | None, baselines: Mapping[str, Evaluation]) -> Verdict:
    """Compare a model with all its baselines on the headline metric.

    Args:
        ours: None where there were no test rows.
        baselines: name -> its evaluation on the same rows, with the same labels, settings and
            seed; baselines without a value for the headline metric are left out.

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
    sign = 1 if metric.higher_is_better else -1
    comparisons.sort(key=lambda comparison: -sign * comparison.theirs)
    alone = f"{metric.title} {value_text(metric.name, ours.headline.value)}"
    if not comparisons:
        return Verdict(
            "cannot tell",
            f"Cannot tell: {alone} on {ours.sample.rows:,} unseen rows, with no baseline to "
            "compare with.",
            metric.name,
        )
    word, sentence = _decide(metric, ours, comparisons)
    best = comparisons[0]
    return Verdict(
        word, sentence, metric.name, best.name, best.difference, best.low, best.high,
        tuple(comparisons),
    )  # fmt: skip


def compare(ours: Evaluation, other: Evaluation, name: str) -> Comparison:
    """One paired comparison on the headline metric.

    Raises:
        ValueError: the two were judged on different rows or by different metrics.
    """
    metric = METRICS[ours.primary.name]
    if ours.sample != other.sample or ours.tally is None or other.tally is None:
        raise ValueError(f"{name} was not judged on the same rows as {ours.name}")
    mine, theirs = ours.tally.value(), other.tally.value()
    sign = 1 if metric.higher_is_better else -1
    differences = _subtract(sign * ours.resampled[metric.name], sign * other.resampled[metric.name])
    low, high = _interval(differences, metric, ours.sample.groups)
    p_value = 1.0
    if low > 0:
        p_value = randomisation_p(
            ours.tally, other.tally, samples=ours.sample.draws, seed=ours.sample.seed, sign=sign
        )
    difference = float(_subtract(np.array(sign * mine), np.array(sign * theirs)))
    return Comparison(
        name=name,
        title=other.name,
        ours=mine,
        theirs=theirs,
        difference=difference,
        low=min(low, difference),
        high=max(high, difference),
        p_value=p_value,
        beaten=min(low, difference) > 0 and p_value <= _LEVEL,
    )


def _subtract(ours: Floats, theirs: Floats) -> Floats:
    """The difference; none where both are infinite."""
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(ours - theirs, nan=0.0, posinf=math.inf, neginf=-math.inf)


def _interval(differences: Floats, metric: Metric, groups: int) -> tuple[float, float]:
    """The percentile interval; not narrower than what so few rows can rule out.

    Two systems that score the same on every row show no doubt to a bootstrap. With few rows they
    may differ all the same.
    """
    low, high = percentile_interval(differences)
    if low == high == 0 and metric.scale != "free":
        unseen = widest_unseen(groups) * (100 if metric.scale == "points" else 1)
        return -unseen, unseen
    return low, high


def _decide(metric: Metric, ours: Evaluation, comparisons: list[Comparison]) -> tuple[Word, str]:
    best, rows, groups = comparisons[0], ours.sample.rows, ours.sample.groups
    text = comparison_text(metric.name, best.ours, best.theirs, rows, best.title)
    doubt = interval_text(metric.name, best.difference, best.low, best.high)
    if groups < FEWEST_GROUPS:
        return "cannot tell", (
            f"Cannot tell: {groups} independent test rows are too few, at least {FEWEST_GROUPS} "
            f"are needed. {text}."
        )
    unbeaten = [comparison for comparison in comparisons if not comparison.beaten]
    if not unbeaten:
        return "better", f"Better: {text} ({doubt})."
    reason = _no_gain(metric, best)
    if reason:
        return "not better", f"Not better: {text} ({doubt}; {reason})."
    if best.beaten:
        other = unbeaten[0]
        text = comparison_text(metric.name, other.ours, other.theirs, rows, other.title)
        doubt = interval_text(metric.name, other.difference, other.low, other.high)
        best = other
    if best.low > 0:
        doubt += f"; a randomisation test says p = {best.p_value:.3f}, above {_LEVEL}"
    return "cannot tell", (
        f"Cannot tell: {text}; the difference may be chance ({doubt}). More test rows would "
        "settle it."
    )


def _no_gain(metric: Metric, best: Comparison) -> str:
    if best.high <= 0:
        return "the baseline is ahead" if best.high < 0 else "no gain"
    if -metric.margin <= best.low and best.high <= metric.margin:
        return "too small to matter"
    if best.difference <= 0 and (best.high - best.low) / 2 <= metric.resolution:
        return "a worthwhile gain would have shown"
    return ""
