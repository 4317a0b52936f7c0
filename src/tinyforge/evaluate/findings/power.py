"""How small a difference these test rows can show, and how many more rows would settle it.

Smallest detectable difference of a paired comparison: Card et al. 2020, "With little power comes
great responsibility"; the classic normal formula (z for 5 % two-sided + z for 80 %) times the
standard error that the paired bootstrap gives. Rows that would settle an open verdict: assurance
(Spiegelhalter, Freedman and Parmar 1994; O'Hagan, Stevens and Campbell 2005), that is, the chance
of a verdict averaged over the true differences that the rows at hand leave plausible, and not the
power at the observed difference, which would be far too sure of itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.verdict import FEWEST_GROUPS, Comparison, Verdict, on_common_rows
from tinyforge.evaluate.wording import change_text
from tinyforge.metrics import METRICS, Metric
from tinyforge.metrics.tally import Floats, widest_unseen

Z_TEST, Z_POWER = 1.959964, 0.841621
"""Normal quantiles: 5 % two-sided, 80 %."""

_FEWEST_WINS = 7.906
"""Expected wins without a loss from which six come with 80 % certainty (Poisson). Six heads in a
row are the fewest that a one-sided test at 2.5 % takes for more than a fair coin."""

_MOST = 1_000
"""So many times the rows at hand are looked at; beyond, no likely number of rows settles it."""

_DRAWS = 4_000
_CHANCES = {"half": 0.5, "likely": 0.8, "nearly": 0.95}


@dataclass(frozen=True, slots=True)
class Settles:
    """More independent test rows, and how likely they would settle the verdict.

    Attributes:
        half, likely, nearly: rows that settle it with 50 %, 80 % and 95 % certainty, on top of
            those at hand, to two digits; None: more than anybody has.
    """

    half: int | None
    likely: int | None
    nearly: int | None


@dataclass(frozen=True, slots=True)
class Power:
    """What a test of this size can tell.

    Attributes:
        metric: the headline metric.
        baseline, title: the baseline that the difference is measured against.
        groups: independent test rows.
        standard_error: of the paired difference, in the metric's unit.
        detectable: a true difference of this size is called better with 80 % certainty.
        settles: None unless the verdict is "cannot tell".
    """

    metric: str
    baseline: str
    title: str
    groups: int
    standard_error: float
    detectable: float
    detectable_text: str
    settles: Settles | None
    sentence: str


def power(
    evaluation: Evaluation, baselines: Mapping[str, Evaluation], verdict: Verdict
) -> Power | None:
    """What the test rows can show of the difference that the verdict hangs on.

    Args:
        baselines: those of the verdict.

    Returns:
        None where there is no comparison, or the difference has no standard error (perplexities
        that are infinite).
    """
    if not verdict.comparisons or evaluation.headline is None:
        return None
    comparison = _decisive(verdict)
    metric = METRICS[evaluation.primary.name]
    other = baselines.get(comparison.name)
    if other is None:
        return None
    pair = on_common_rows(evaluation, other, comparison.name)
    groups = pair.groups
    error = standard_error(pair.ours_drawn, pair.theirs_drawn, groups)
    if not math.isfinite(error) or not math.isfinite(comparison.difference):
        return None
    smallest = detectable(error, metric, groups)
    settles = None
    if verdict.word == "cannot tell":
        settles = rows_to_settle(comparison.difference, error, groups, metric)
    return Power(
        metric=metric.name,
        baseline=comparison.name,
        title=comparison.title,
        groups=groups,
        standard_error=error,
        detectable=smallest,
        detectable_text=_size(metric, smallest),
        settles=settles,
        sentence=_sentence(metric, smallest, groups, settles),
    )


def standard_error(ours: Floats, theirs: Floats, groups: int) -> float:
    """Of the paired difference, from both systems on the same resamples, shapes (draws,).

    A bootstrap takes n for n - 1; with few groups that is put right.
    """
    with np.errstate(invalid="ignore"):
        differences = ours - theirs
    spread = float(np.std(differences)) if np.isfinite(differences).all() else math.inf
    return spread * math.sqrt(groups / max(groups - 1, 1))


def detectable(error: float, metric: Metric, groups: int) -> float:
    """The true difference that a 95 % interval lies above zero for in 80 % of such tests.

    Args:
        error: standard error of the paired difference.
    """
    found = (Z_TEST + Z_POWER) * error
    if metric.scale == "free":
        return found
    scale = 100.0 if metric.scale == "points" else 1.0
    fewest = _FEWEST_WINS / groups if metric.proportion else widest_unseen(groups)
    return min(max(found, scale * fewest), scale)


def rows_to_settle(
    difference: float, error: float, groups: int, metric: Metric, seed: int = 0
) -> Settles:
    """More rows until the verdict is "better" or "not better", for three degrees of certainty.

    The true difference and the variance are drawn from what the rows at hand leave plausible
    (normal likelihood, flat prior on the difference, the usual 1 / variance for the variance);
    what the larger test will show follows from them, and the verdict's own rules from that.

    Args:
        difference: the improvement that was seen; above zero is better.
        error: its standard error.
    """
    random = np.random.default_rng([seed, groups])
    if groups < 2:
        return Settles(None, None, None)
    if error == 0:
        return _without_variance(difference, groups, metric)
    degrees = groups - 1
    spread = error * math.sqrt(groups) * np.sqrt(degrees / random.chisquare(degrees, _DRAWS))
    true = difference + spread / math.sqrt(groups) * random.standard_normal(_DRAWS)
    noise = random.standard_normal(_DRAWS)

    def certainty(more: int) -> float:
        total = groups + more
        added = true + spread / math.sqrt(more) * noise
        seen = (groups * difference + more * added) / total
        half = Z_TEST * spread / math.sqrt(total)
        return float(np.mean(_settled(seen, half, metric)))

    found: dict[str, int] = {}
    more = max(FEWEST_GROUPS - groups, 1)
    while len(found) < len(_CHANCES) and more <= _MOST * groups:
        sure = certainty(more)
        for name, wanted in _CHANCES.items():
            if sure >= wanted:
                found.setdefault(name, round_up(more))
        more = max(more + 1, int(more * 1.1))
    return Settles(found.get("half"), found.get("likely"), found.get("nearly"))


def _settled(seen: Floats, half: Floats, metric: Metric) -> NDArray[np.bool_]:
    """Whether the verdict's rules give a word for these differences and half intervals."""
    low, high = seen - half, seen + half
    small = (low >= -metric.margin) & (high <= metric.margin)
    none = (seen <= metric.margin) & (high <= metric.resolution)
    settled: NDArray[np.bool_] = (low > 0) | (high < 0) | small | none
    return settled


def _without_variance(difference: float, groups: int, metric: Metric) -> Settles:
    """Two systems that never differed: as many rows as rule a worthwhile difference out."""
    if difference != 0 or metric.scale == "free":
        return Settles(None, None, None)
    scale = 100.0 if metric.scale == "points" else 1.0
    needed = math.ceil(math.log(0.025) / math.log(1 - metric.resolution / scale))
    more = round_up(max(needed, FEWEST_GROUPS) - groups) if needed > groups else 0
    return Settles(more, more, more)


def _decisive(verdict: Verdict) -> Comparison:
    """The comparison that the verdict hangs on: the best baseline that is not beaten."""
    unbeaten = (c for c in verdict.comparisons if not c.beaten)
    return next(unbeaten, verdict.comparisons[0])


def round_up(number: int) -> int:
    """To two digits, upwards."""
    step: int = 10 ** max(len(str(number)) - 2, 0)
    return -(-number // step) * step


def _size(metric: Metric, value: float) -> str:
    unit = " points" if metric.proportion or metric.scale == "points" else ""
    return change_text(metric.name, value).lstrip("+") + unit


def _sentence(metric: Metric, smallest: float, groups: int, settles: Settles | None) -> str:
    text = (
        f"With {groups:,} independent test rows, a true difference in {metric.title} of "
        f"{_size(metric, smallest)} or more shows with 80 % certainty."
    )
    if settles is None:
        return text
    if settles.likely is None:
        return f"{text} No likely number of rows would settle this verdict: the two are too close."
    more = f" About {settles.likely:,} more test rows would settle the verdict with 80 % certainty"
    parts = []
    if settles.half is not None and settles.half < settles.likely:
        parts.append(f"{settles.half:,} with 50 %")
    if settles.nearly is None:
        parts.append("95 % are out of reach")
    elif settles.nearly > settles.likely:
        parts.append(f"{settles.nearly:,} with 95 %")
    return f"{text}{more}{' (' + ', '.join(parts) + ')' if parts else ''}."
