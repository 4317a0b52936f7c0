"""Accuracy, F1 and the confusion matrix, for one label a row and for several.

All of it follows from three counts per label, equal to scikit-learn's results with
``zero_division=0`` (the tests compare them); a label that neither occurs nor is answered does
not count in the macro mean, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import DataError
from tinyforge.metrics.spill import SparseRows
from tinyforge.metrics.tally import Floats, RowMetric, Tally, divide

OTHER = "(no such label)"
"""Stands for an answer that is not among the labels."""

_ROWS = 10_000
"""Rows that are counted at a time."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label's line in the table: ``support`` rows carry it, ``answered`` rows were given it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int
    answered: int


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often a row of label i was answered with label j.

    Attributes:
        labels: label of row and column; the last may be ``OTHER``.
        counts: shape (len(labels), len(labels)), rows are the true labels.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]

    def pairs(self, limit: int) -> list[tuple[str, str, int]]:
        """The commonest mistakes: (true, answered, rows), most rows first."""
        wrong = self.counts.copy()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:limit]
        found = (divmod(int(cell), len(self.labels)) for cell in order)
        return [(self.labels[i], self.labels[j], int(wrong[i, j])) for i, j in found if wrong[i, j]]


@dataclass(frozen=True, slots=True)
class LabelSets:
    """Each row's labels as numbers, without repetition.

    Attributes:
        codes: all of them one behind the other; -1 is a label that does not count.
        starts: where each row begins in ``codes``, and the end: shape (rows + 1,).
    """

    codes: NDArray[np.int32]
    starts: NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.starts) - 1

    def part(self, start: int, end: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The labels of some rows, and their rows counted from ``start``."""
        codes = self.codes[self.starts[start] : self.starts[end]].astype(np.int64)
        return codes, np.repeat(np.arange(end - start), np.diff(self.starts[start : end + 1]))

    def truth(self, size: int) -> NDArray[np.bool_]:
        """Which row carries which label: shape (rows, size)."""
        found = np.zeros((self.rows, size), dtype=bool)
        codes, rows = self.part(0, self.rows)
        known = codes >= 0
        found[rows[known], codes[known]] = True
        return found


def numbered(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> LabelSets:
    """Labels as their places in ``labels``."""
    place = {label: i for i, label in enumerate(labels)}
    sets = [dict.fromkeys(row) for row in rows]
    codes = [place.get(label, -1) for row in sets for label in row]
    starts = np.cumsum([0, *map(len, sets)])
    return LabelSets(np.array(codes, dtype=np.int32), starts.astype(np.int64))


def label_tallies(
    gold: Sequence[str], answered: Sequence[str], labels: Sequence[str]
) -> dict[str, RowMetric]:
    """Every metric of one label a row that needs no probabilities; see ``single_tallies``.

    Args:
        labels: every label that counts; must hold all of ``gold``. An answer that is not among
            them is simply wrong.
    """
    wanted = numbered([(label,) for label in gold], labels)
    return single_tallies(count(wanted, numbered([(a,) for a in answered], labels), len(labels)))


def label_set_tallies(
    gold: Sequence[Sequence[str]], answered: Sequence[Sequence[str]], labels: Sequence[str]
) -> dict[str, RowMetric]:
    """Every metric of label sets that needs no probabilities; see ``set_tallies``."""
    return set_tallies(count(numbered(gold, labels), numbered(answered, labels), len(labels)))


def single_tallies(counts: Any) -> dict[str, RowMetric]:
    """accuracy, balanced_accuracy, macro_f1, micro_f1, weighted_f1 and mcc from ``count``."""
    return _tallies(
        counts,
        {
            "accuracy": _exact,
            "balanced_accuracy": _balanced_accuracy,
            "macro_f1": _macro_f1,
            "micro_f1": _micro_f1,
            "weighted_f1": _weighted_f1,
            "mcc": _matthews,
        },
    )


def set_tallies(counts: Any) -> dict[str, RowMetric]:
    """subset_accuracy, macro_f1, micro_f1, weighted_f1 and hamming_loss from ``count``."""
    size = (counts.shape[1] - 2) // 3
    return _tallies(
        counts,
        {
            "subset_accuracy": _exact,
            "macro_f1": _macro_f1,
            "micro_f1": _micro_f1,
            "weighted_f1": _weighted_f1,
            "hamming_loss": partial(_hamming_loss, size=size),
        },
    )


def count(wanted: LabelSets, given: LabelSets, size: int) -> Any:
    """CSR, shape (rows, 3 size + 2): hits, answered and true by label; wholly right; one.

    Raises:
        DataError: there is no row.
    """
    from scipy.sparse import csr_matrix

    if not wanted.rows:
        raise DataError("there are no rows to score", fix="Give at least one row with a label")
    counts = SparseRows(3 * size + 2)
    for start in range(0, wanted.rows, _ROWS):
        end = min(start + _ROWS, wanted.rows)
        rows, cells = _cells(wanted.part(start, end), given.part(start, end), end - start, size)
        shape = (end - start, 3 * size + 2)
        part = csr_matrix((np.ones(len(rows)), (rows, cells)), shape=shape)
        part.sort_indices()
        counts.extend(part)
    return counts.close()


def label_table(tallies: Mapping[str, RowMetric], labels: Sequence[str]) -> list[LabelRow]:
    """Precision, recall and F1 of every label that occurs or was answered, in ``labels`` order."""
    statistics = _statistics(tallies)
    sums = np.asarray(statistics.sum(axis=0), dtype=np.float64).reshape(-1)
    hits, answered, support = _three(sums)
    precision, recall = divide(hits, answered), divide(hits, support)
    f1 = divide(2 * hits, answered + support)
    return [
        LabelRow(
            label,
            float(precision[i]),
            float(recall[i]),
            float(f1[i]),
            int(support[i]),
            int(answered[i]),
        )
        for i, label in enumerate(labels)
        if support[i] + answered[i] > 0
    ]


def confusion(gold: Sequence[str], answered: Sequence[str], labels: Sequence[str]) -> Confusion:
    """The confusion matrix over the labels that occur or were answered."""
    wanted, given = (numbered([(label,) for label in part], labels) for part in (gold, answered))
    return confusion_of(wanted.codes, given.codes, labels)


def confusion_of(
    wanted: NDArray[np.int32], given: NDArray[np.int32], labels: Sequence[str]
) -> Confusion:
    """The same from label numbers, one a row; -1 is an answer that is no label."""
    names = [*labels, OTHER]
    given = np.where(given < 0, len(labels), given)
    used = np.flatnonzero(
        np.bincount(wanted, minlength=len(names)) + np.bincount(given, minlength=len(names))
    )
    place = np.zeros(len(names), dtype=np.int64)
    place[used] = np.arange(len(used))
    counts = np.bincount(place[wanted] * len(used) + place[given], minlength=len(used) ** 2)
    matrix = counts.reshape(len(used), len(used)).astype(np.int64)
    return Confusion(tuple(names[i] for i in used), matrix)


def right_rows(tallies: Mapping[str, RowMetric]) -> NDArray[np.bool_]:
    """Which rows are wholly right, shape (rows,)."""
    statistics = _statistics(tallies)
    column = statistics[:, statistics.shape[1] - 2]
    return np.asarray(column.todense()).reshape(-1) > 0


def _statistics(tallies: Mapping[str, RowMetric]) -> Any:
    tally = tallies["macro_f1"]
    if not isinstance(tally, Tally):
        raise TypeError("macro F1 is a function of counts")
    return tally.statistics


def _tallies(counts: Any, scores: Mapping[str, Callable[[Floats], Floats]]) -> dict[str, RowMetric]:
    return {name: Tally(counts, score) for name, score in scores.items()}


def _cells(
    wanted: tuple[NDArray[np.int64], NDArray[np.int64]],
    given: tuple[NDArray[np.int64], NDArray[np.int64]],
    rows: int,
    size: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the counts that are one."""
    (true, true_rows), (named, named_rows) = wanted, given
    known = named >= 0
    chosen, chosen_rows = named[known], named_rows[known]
    width = max(size, 1)
    hits = np.intersect1d(
        true_rows * width + true, chosen_rows * width + chosen, assume_unique=True
    )
    hit_rows, hit = np.divmod(hits, width)
    found = np.bincount(hit_rows, minlength=rows)
    exact = np.flatnonzero(
        (found == np.bincount(true_rows, minlength=rows))
        & (found == np.bincount(named_rows, minlength=rows))
    )
    every = np.arange(rows)
    return (
        np.concatenate([hit_rows, chosen_rows, true_rows, exact, every]),
        np.concatenate(
            [hit, size + chosen, 2 * size + true, 0 * exact + 3 * size, 0 * every + 3 * size + 1]
        ),
    )


def _three(sums: Floats) -> tuple[Floats, Floats, Floats]:
    size = (sums.shape[-1] - 2) // 3
    return sums[..., :size], sums[..., size : 2 * size], sums[..., 2 * size : 3 * size]


def _exact(sums: Floats) -> Floats:
    return divide(sums[..., -2], sums[..., -1])


def _balanced_accuracy(sums: Floats) -> Floats:
    hits, _, true = _three(sums)
    return divide(divide(hits, true).sum(axis=-1), (true > 0).sum(axis=-1).astype(np.float64))


def _macro_f1(sums: Floats) -> Floats:
    hits, answered, true = _three(sums)
    both = answered + true
    return divide(divide(2 * hits, both).sum(axis=-1), (both > 0).sum(axis=-1).astype(np.float64))


def _micro_f1(sums: Floats) -> Floats:
    hits, answered, true = (part.sum(axis=-1) for part in _three(sums))
    return divide(2 * hits, answered + true)


def _weighted_f1(sums: Floats) -> Floats:
    hits, answered, true = _three(sums)
    return divide((divide(2 * hits, answered + true) * true).sum(axis=-1), true.sum(axis=-1))


def _matthews(sums: Floats) -> Floats:
    """The correlation of Matthews (1975) for any number of labels (Gorodkin 2004).

    Every row is answered once, so the answers that are no label are what is left of the rows;
    they count as one more label.
    """
    hits, answered, true = _three(sums)
    rows = sums[..., -1]
    other = rows - answered.sum(axis=-1)
    shared = hits.sum(axis=-1) * rows - (answered * true).sum(axis=-1)
    spread = rows**2 - (answered**2).sum(axis=-1) - other**2
    bound = spread * (rows**2 - (true**2).sum(axis=-1))
    return divide(shared, np.sqrt(np.maximum(bound, 0.0)))


def _hamming_loss(sums: Floats, *, size: int) -> Floats:
    hits, answered, true = (part.sum(axis=-1) for part in _three(sums))
    return divide(answered + true - 2 * hits, sums[..., -1] * size)
