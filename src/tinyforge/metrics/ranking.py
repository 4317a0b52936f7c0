"""How well scores put the right rows first: area under the ROC curve and average precision.

Both depend on the order of the rows only, and are no function of sums over rows. For a bootstrap
the rows are sorted once; how often each is drawn is a weight, and both metrics are sums of
cumulated weights. The values are scikit-learn's ``roc_auc_score`` and
``average_precision_score`` with ``sample_weight`` (the tests compare them).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Floats, RowMetric, coins, divide

Kind = Literal["auroc", "average_precision"]

_CELLS = 500_000
"""Weights that are worked on at a time; a few arrays of this size are needed."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One label's rows, the highest score first.

    Rows of equal score stand in one block; only blocks with a row of the label matter.

    Attributes:
        order: row numbers by falling score, shape (rows,).
        cuts: where each block begins and ends in ``order``, shape (2 * blocks + 1,), first 0.
        right: the numbers of the label's rows by falling score.
        starts: where each block's rows begin in ``right``, shape (blocks + 1,).
    """

    order: NDArray[np.int32]
    cuts: NDArray[np.int32]
    right: NDArray[np.int32]
    starts: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores of some labels, sorted.

    Attributes:
        scores: shape (rows, labels).
        truth: whether a row carries a label, shape (rows, labels).
        curves: one for each label that some rows carry and some do not.
        columns: the labels' columns in ``scores``.
        units: the unit that each row is drawn with; None where each row is one.
    """

    scores: NDArray[Any]
    truth: NDArray[np.bool_]
    curves: Sequence[Curve]
    columns: Sequence[int]
    units: NDArray[np.int32] | None = None

    @classmethod
    def of(cls, scores: NDArray[Any], truth: NDArray[np.bool_]) -> Self:
        """Sort each label's column."""
        rows = len(scores)
        shares = truth.sum(axis=0)
        columns = [int(i) for i in np.flatnonzero((shares > 0) & (shares < rows))]
        stored = Column(np.int32)
        sizes = []
        for column in columns:
            parts = _sorted(np.asarray(scores[:, column]), truth[:, column])
            sizes += [len(part) for part in parts]
            for part in parts:
                stored.extend(part)
        pieces = np.split(stored.close(), np.cumsum(sizes)[:-1]) if sizes else []
        curves = [Curve(*pieces[i : i + 4]) for i in range(0, len(pieces), 4)]
        return cls(scores, truth, curves, columns)

    @property
    def rows(self) -> int:
        """How many units can be drawn."""
        if self.units is None:
            return len(self.scores)
        return int(self.units.max()) + 1

    def _sizes(self) -> Floats:
        """How many rows each unit has."""
        if self.units is None:
            return np.ones(len(self.scores))
        return np.bincount(self.units).astype(np.float64)

    def values(self, weights: Floats) -> dict[str, Floats]:
        """Both metrics, the mean over the labels, under several weightings.

        A label that a draw has no row of, or nothing but rows of, does not count in it. Where no
        label is left, AUROC is 0.5 and average precision 0.

        Args:
            weights: shape (draws, units).
        """
        step = max(1, _CELLS // len(self.scores))
        parts = [self._some(weights[i : i + step]) for i in range(0, len(weights), step)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _some(self, weights: Floats) -> dict[str, Floats]:
        turned = np.ascontiguousarray(weights.T)
        every = weights @ self._sizes()
        ones = np.ones(len(self.scores))
        sums = {"auroc": np.zeros(len(weights)), "average_precision": np.zeros(len(weights))}
        counts = {name: np.zeros(len(weights)) for name in sums}
        for curve in self.curves:
            found = _areas(curve, turned, every, ones, self.units)
            for name, (value, defined) in found.items():
                sums[name] += np.where(defined, value, 0.0)
                counts[name] += defined
        missing = {"auroc": 0.5, "average_precision": 0.0}
        return {
            name: np.where(counts[name] > 0, divide(sums[name], counts[name]), missing[name])
            for name in sums
        }


@dataclass(frozen=True, slots=True)
class RankTally:
    """AUROC or average precision of a ranking; a ``RowMetric``."""

    ranking: Ranking
    kind: Kind

    @property
    def rows(self) -> int:
        """How many rows, or groups of rows, can be drawn."""
        return self.ranking.rows

    def value(self) -> float:
        """The metric on all rows, each counted once."""
        return float(self.ranking.values(np.ones((1, self.rows)))[self.kind][0])

    def grouped(self, groups: NDArray[np.int64]) -> Self:
        """The same metric with rows of one group drawn together."""
        if int(groups.max()) + 1 == len(groups):
            return self
        return replace(self, ranking=replace(self.ranking, units=groups.astype(np.int32)))

    def weighted(self, weights: Floats, shared: dict[int, Any]) -> Floats:
        """The metric under several weightings: shape (draws,)."""
        key = id(self.ranking.curves)
        if key not in shared:
            shared[key] = self.ranking.values(weights)
        found: Floats = shared[key][self.kind]
        return found

    def exchanged(
        self, other: RowMetric, samples: int, seed: int
    ) -> Iterator[tuple[Floats, Floats]]:
        """Values after coin tosses swapped the two systems' ranks of some rows.

        Ranks are swapped and not scores, so that systems with scores of different size can be
        compared (Bandos, Rockette and Gur 2005).
        """
        if not isinstance(other, RankTally):
            raise TypeError("the two systems were not measured in the same way")
        mine, theirs = self.ranking, other.ranking
        pairs = [
            (_ranks(mine.scores[:, i]), _ranks(theirs.scores[:, i]), mine.truth[:, i])
            for i in mine.columns
        ]
        for tossed in coins(self.rows, samples, seed):
            swap = (tossed if mine.units is None else tossed[:, mine.units]) > 0
            first, second = np.zeros(len(swap)), np.zeros(len(swap))
            for ours, others, truth in pairs:
                first += areas_of(np.where(swap, others, ours), truth)[self.kind]
                second += areas_of(np.where(swap, ours, others), truth)[self.kind]
            yield first / len(pairs), second / len(pairs)


def rank_tallies(scores: NDArray[Any], truth: NDArray[np.bool_]) -> dict[str, RowMetric]:
    """``auroc`` and ``average_precision``; nothing where no label has rows with and without it.

    Args:
        scores: shape (rows, labels), higher for rows that are likelier to carry the label.
        truth: the same shape. Several labels count the same in the mean (one against the rest).
    """
    ranking = Ranking.of(scores, truth)
    if not ranking.curves:
        return {}
    return {
        "auroc": RankTally(ranking, "auroc"),
        "average_precision": RankTally(ranking, "average_precision"),
    }


def areas_of(scores: Floats, truth: NDArray[np.bool_]) -> dict[str, Floats]:
    """Both metrics of many scorings of the same rows.

    Args:
        scores: shape (draws, rows). truth: shape (rows,), neither all nor none.

    Returns:
        shape (draws,) each.
    """
    rows = scores.shape[1]
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(scores, order, axis=1)
    right = truth[order]
    place = np.broadcast_to(np.arange(rows), scores.shape)
    new = np.ones(scores.shape, dtype=bool)
    new[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    last = np.ones(scores.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    start = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, place, rows)[:, ::-1], axis=1)[:, ::-1]
    hits = np.zeros((len(scores), rows + 1))
    np.cumsum(right, axis=1, out=hits[:, 1:])
    above, within = np.take_along_axis(hits, start, 1), np.take_along_axis(hits, end + 1, 1)
    total = float(truth.sum())
    precision = within / (end + 1)
    wrong = (start - above) + (end + 1 - within)
    return {
        "auroc": 1 - (right * wrong).sum(axis=1) / (2 * total * (rows - total)),
        "average_precision": (right * precision).sum(axis=1) / total,
    }


def _sorted(scores: NDArray[Any], truth: NDArray[np.bool_]) -> tuple[NDArray[Any], ...]:
    """A curve's order, cuts, right rows and starts."""
    order = np.argsort(-scores, kind="stable")
    ranked, right = scores[order], truth[order]
    begins = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    block_of = np.searchsorted(begins, np.flatnonzero(right), side="right") - 1
    used, counts = np.unique(block_of, return_counts=True)
    ends = np.append(begins[1:], len(order))
    cuts = np.stack([begins[used], ends[used]], axis=1).reshape(-1)
    return order, np.append(0, cuts), order[right], np.append(0, np.cumsum(counts))


def _areas(
    curve: Curve, weights: Floats, every: Floats, ones: Floats, units: NDArray[np.int32] | None
) -> dict[str, tuple[Floats, NDArray[np.bool_]]]:
    """Both metrics of one label under weights (units, draws), and where they are defined."""
    between = _segment_sums(curve.order, curve.cuts, weights, ones, units)
    block = _segment_sums(curve.right, curve.starts, weights, ones, units)
    everything = np.cumsum(between, axis=0)
    above, within = everything[0::2], everything[1::2]
    hits = np.cumsum(block, axis=0)
    total = hits[-1]
    wrong = (above - (hits - block)) + (within - hits)
    others = every - total
    area = 1 - divide((block * wrong).sum(axis=0), 2 * total * others)
    precision = divide((block * divide(hits, within)).sum(axis=0), total)
    return {
        "auroc": (area, (total > 0) & (others > 0)),
        "average_precision": (precision, total > 0),
    }


def _segment_sums(
    members: NDArray[np.int32],
    starts: NDArray[np.int32],
    weights: Floats,
    ones: Floats,
    units: NDArray[np.int32] | None,
) -> Floats:
    """Weights summed over members[starts[i]:starts[i + 1]]: shape (segments, draws)."""
    from scipy.sparse import csr_matrix

    used = members[: int(starts[-1])]
    chosen = used if units is None else units[used]
    shape = (len(starts) - 1, len(weights))
    found: Floats = csr_matrix((ones[: len(chosen)], chosen, starts), shape=shape) @ weights
    return found


def _ranks(scores: NDArray[Any]) -> Floats:
    from scipy.stats import rankdata

    ranks: Floats = rankdata(scores).astype(np.float64)
    return ranks
