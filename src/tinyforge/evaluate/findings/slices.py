"""Slices of the rows in which the model does significantly worse than elsewhere.

All slices of ``slice_features`` are tested; Holm's correction (1979) keeps the chance that even one
of those reported is a false alarm at 5 %, however the slices overlap. It is preferred to a false
discovery rate (Benjamini and Yekutieli 2001) because each slice sends somebody to work.

The test is Fisher's exact one where a row is right or wrong, and otherwise Wilcoxon's rank sum with
ties (normal approximation; at least ten rows). Of rows that are not independent of each other (one
input, one group) one is drawn for the test; the figures shown are of all rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.slice_features import FEWEST_ROWS, Candidates, candidates
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example

LEVEL = 0.05
MOST_ROWS = 200_000
"""More judged rows are sampled."""

_SHOWN = 10
_LOOKED_AT = 200
_SAME = 0.5
_TERMS = 5_000
_Z = 1.959964
_METHOD = (
    "{test} on independent rows, each slice against all other rows, corrected by Holm's method for "
    "all slices looked at"
)


@dataclass(frozen=True, slots=True)
class Slice:
    """A slice that does worse.

    Attributes:
        name: to be read after "rows".
        kind: length, label, source, group, word, pair or form.
        inside, outside: mean quality in the slice and elsewhere.
        difference: inside less outside, with the 95 % interval of this slice taken alone (Newcombe
            1998 for shares, else Welch). The worst of many slices look worse than they are.
        p: corrected.
        excess: quality lost here: rows times what they are worse than elsewhere. For right and
            wrong: errors that would vanish if the slice were as good as the rest.
        also: other slices that hold mostly the same errors.
        where: rows to look at, worst first.
    """

    name: str
    kind: str
    rows: int
    inside: float
    outside: float
    difference: float
    low: float
    high: float
    p: float
    excess: float
    also: tuple[str, ...]
    where: tuple[str, ...]
    inside_text: str
    outside_text: str


@dataclass(frozen=True, slots=True)
class Slices:
    """What the search for slices came to.

    Attributes:
        tested: slices looked at, which is what the correction is for.
        units: independent rows.
        quality: mean over all rows.
        measure: what quality is.
        found: the slice with most quality lost first.
    """

    tested: int
    rows: int
    units: int
    quality: float
    measure: str
    method: str
    found: tuple[Slice, ...]
    sentence: str


def find_slices(
    evaluation: Evaluation, examples: Sequence[Example], *, seed: int = 0
) -> Slices | None:
    """Look for slices in which the answers are worse.

    Args:
        examples: those that were judged.
        seed: of the choice of independent rows.

    Returns:
        None where there are too few rows to cut slices from.
    """
    quality, groups, index = evaluation.quality, evaluation.groups, evaluation.rows
    chosen = np.arange(len(index))
    if len(index) > MOST_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(len(index), MOST_ROWS, replace=False))
    quality, groups, index = quality[chosen], groups[chosen], index[chosen]
    if len(index) < 2 * FEWEST_ROWS:
        return None
    table = candidates((examples[int(i)] for i in index), evaluation.task)
    units = _independent(groups, seed)
    p_values, test = slice_tests(table, quality, units)
    corrected = holm(p_values)
    found = [
        _describe(table, column, also, quality, units, corrected, index, examples, evaluation.task)
        for column, also in _choose(table, quality, corrected)
    ]
    slices = tuple(sorted(found, key=lambda one: -one.excess)[:_SHOWN])
    return Slices(
        tested=len(p_values), rows=len(index), units=len(units), quality=float(quality.mean()),
        measure=_measure(evaluation), method=_METHOD.format(test=test), found=slices,
        sentence=_sentence(slices, len(p_values)),
    )  # fmt: skip


def slice_tests(table: Candidates, quality: Floats, units: NDArray[np.int64]) -> tuple[Floats, str]:
    """One-sided p-value of "worse inside" for every slice, and the test's name.

    Groups as slices are tested on all their rows: the claim is then about that very group.
    """
    p_values = np.ones(len(table.names))
    test = ""
    by_group = np.array([kind == "group" for kind in table.kinds], dtype=bool)
    for columns, rows in ((~by_group, units), (by_group, np.arange(len(quality)))):
        if columns.any() or not test:
            matrix = table.matrix[:, np.flatnonzero(columns)].tocsr()[rows]
            p_values[columns], test = _tests(matrix, quality[rows])
    return p_values, test


def _tests(matrix: Any, quality: Floats) -> tuple[Floats, str]:
    sizes = np.asarray(matrix.sum(axis=0)).reshape(-1)
    bad = _bad_rows(quality)
    if bad is None:
        p_values = _rank_sum(matrix, sizes, quality)
        test = "Wilcoxon rank-sum test"
    else:
        hits = matrix.T @ bad.astype(np.float64)
        p_values = fisher(hits, sizes, int(bad.sum()), len(bad))
        test = "Fisher's exact test"
    p_values[sizes < FEWEST_ROWS] = 1.0
    return p_values, test


def _bad_rows(quality: Floats) -> NDArray[np.bool_] | None:
    """Right and wrong, where most rows have one and the same quality; else None.

    With so many ties, ranks are no better than two classes, and their sum is far from normal.
    """
    values, counts = np.unique(quality, return_counts=True)
    usual = values[counts.argmax()]
    if 2 * counts.max() <= len(quality) and len(values) > 2:
        return None
    below = quality < usual
    bad: NDArray[np.bool_] = below if below.sum() >= (quality > usual).sum() else quality <= usual
    return bad


def fisher(hits: Floats, sizes: Floats, bad: int, rows: int) -> Floats:
    """Chance of at least ``hits`` bad rows among ``sizes`` rows drawn without replacement.

    Args:
        hits, sizes: shape (slices,).
        bad: how many of all ``rows`` are bad.
    """
    from scipy.special import gammaln, logsumexp

    def choose(n: Any, k: Any) -> Any:
        return gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)

    p_values = np.ones(len(hits))
    for place in np.flatnonzero(hits * rows > sizes * bad):
        size, least = int(sizes[place]), int(hits[place])
        tail = np.arange(least, min(size, bad, least + _TERMS) + 1)
        terms = choose(bad, tail) + choose(rows - bad, size - tail) - choose(rows, size)
        p_values[place] = min(1.0, math.exp(logsumexp(terms)))
    return p_values


def _rank_sum(matrix: Any, sizes: Floats, quality: Floats) -> Floats:
    from scipy.special import ndtr
    from scipy.stats import rankdata

    ranks = rankdata(quality)
    rows = len(ranks)
    sums = matrix.T @ ranks
    spread = np.sqrt(sizes * (rows - sizes) / max(rows - 1, 1)) * ranks.std()
    below = sizes * ranks.mean() - sums
    z = np.divide(below, spread, out=np.zeros(len(sizes)), where=spread > 0)
    p_values: Floats = ndtr(-z)
    return p_values


def holm(p_values: Floats) -> Floats:
    """Holm's step-down correction: p-values that hold for the whole family."""
    count = len(p_values)
    order = np.argsort(p_values, kind="stable")
    raised = np.maximum.accumulate(p_values[order] * (count - np.arange(count)))
    corrected = np.empty(count)
    corrected[order] = np.minimum(raised, 1.0)
    return corrected


def _independent(groups: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """One row of every group, drawn at random; sorted."""
    order = np.random.default_rng([seed, len(groups)]).permutation(len(groups))
    _, first = np.unique(groups[order], return_index=True)
    return np.sort(order[first])


def _choose(table: Candidates, quality: Floats, corrected: Floats) -> list[tuple[int, list[str]]]:
    """Significant slices, each with the names of those that say the same.

    From the surest on: a slice says the same as one before if they share half of their rows
    (Jaccard), or if most of the quality it loses is lost in slices before.
    """
    loss = quality.mean() - quality
    significant = np.flatnonzero(corrected <= LEVEL)
    excess = table.matrix[:, significant].T @ loss
    order = significant[np.lexsort((-excess, corrected[significant]))][:_LOOKED_AT]
    kept: list[tuple[int, NDArray[np.int64], list[str]]] = []
    taken = np.zeros(len(quality), dtype=bool)
    for column in order.tolist():
        rows = _rows_of(table, column)
        new = rows[~taken[rows]]
        shared = [len(np.intersect1d(rows, other, assume_unique=True)) for _, other, _ in kept]
        alike = [n / (len(rows) + len(k[1]) - n) for n, k in zip(shared, kept, strict=True)]
        if kept and (max(alike) >= _SAME or loss[new].sum() < 0.5 * loss[rows].sum()):
            kept[int(np.argmax(shared))][2].extend([table.names[column], *table.twins[column]])
            continue
        kept.append((column, rows, list(table.twins[column])))
        taken[rows] = True
    return [(column, also) for column, _, also in kept]


def _rows_of(table: Candidates, column: int) -> NDArray[np.int64]:
    start, end = table.matrix.indptr[column : column + 2]
    rows: NDArray[np.int64] = table.matrix.indices[start:end].astype(np.int64)
    return rows


def _describe(
    table: Candidates,
    column: int,
    also: list[str],
    quality: Floats,
    units: NDArray[np.int64],
    corrected: Floats,
    index: NDArray[np.int64],
    examples: Sequence[Example],
    task: str,
) -> Slice:
    rows = _rows_of(table, column)
    member = np.zeros(len(quality), dtype=bool)
    member[rows] = True
    inside, outside = float(quality[member].mean()), float(quality[~member].mean())
    tested = np.arange(len(quality)) if table.kinds[column] == "group" else units
    low, high = difference_interval(
        quality[tested][member[tested]], quality[tested][~member[tested]]
    )
    worst = rows[np.argsort(quality[rows], kind="stable")][:5]
    return Slice(
        name=table.names[column],
        kind=table.kinds[column],
        rows=len(rows),
        inside=inside,
        outside=outside,
        difference=inside - outside,
        low=min(low, inside - outside),
        high=max(high, inside - outside),
        p=float(corrected[column]),
        excess=(outside - inside) * len(rows),
        also=tuple(also[:_SHOWN]),
        where=tuple(str(examples[int(index[row])].source) for row in worst),
        inside_text=_text(inside, task),
        outside_text=_text(outside, task),
    )


def difference_interval(inside: Floats, outside: Floats) -> tuple[float, float]:
    """95 % interval of a difference of means: Newcombe's for zeros and ones, else Welch's."""
    if np.isin(inside, (0, 1)).all() and np.isin(outside, (0, 1)).all():
        first, second = float(inside.mean()), float(outside.mean())
        low1, high1 = _wilson(first, len(inside))
        low2, high2 = _wilson(second, len(outside))
        change = first - second
        down = math.hypot(first - low1, high2 - second)
        up = math.hypot(high1 - first, second - low2)
        return change - down, change + up
    from scipy.stats import ttest_ind

    found = ttest_ind(inside, outside, equal_var=False).confidence_interval(0.95)
    return float(found.low), float(found.high)


def _wilson(share: float, rows: int) -> tuple[float, float]:
    centre = share + _Z**2 / (2 * rows)
    half = _Z * math.sqrt(share * (1 - share) / rows + _Z**2 / (4 * rows**2))
    scale = 1 + _Z**2 / rows
    return (centre - half) / scale, (centre + half) / scale


def _measure(evaluation: Evaluation) -> str:
    if evaluation.task == "classify":
        return "mean F1 of the label sets" if evaluation.multi_label else "share of rows right"
    if evaluation.task == "language-model":
        return "bits per byte, with a minus sign"
    return "mean quality of the answers, 0 to 1"


def _text(quality: float, task: str) -> str:
    if task == "language-model":
        return f"{-quality:.3f} bits per byte"
    return f"{100 * quality:.1f} %"


def _sentence(found: Sequence[Slice], tested: int) -> str:
    if not found:
        return f"No slice is significantly worse than the rest ({tested:,} were looked at)."
    worst = found[0]
    more = f"; {len(found) - 1:,} more slices are listed" if len(found) > 1 else ""
    return (
        f"The model is worst on rows {worst.name}: {worst.inside_text} on {worst.rows:,} rows, "
        f"against {worst.outside_text} elsewhere (p = {worst.p:.2g} after correction for "
        f"{tested:,} slices){more}."
    )
