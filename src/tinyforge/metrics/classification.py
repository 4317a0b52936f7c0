"""Accuracy, F1 and the confusion matrix, for one label a row and for several.

All of it follows from three counts per label, equal to scikit-learn's results with
``zero_division=0`` (the tests compare them); a label that neither occurs nor is answered does
not count in the macro mean, as there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import DataError
from tinyforge.metrics.tally import Floats, Tally, divide

OTHER = "(no such label)"
"""Stands for an answer that is not among the labels."""


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


def label_tallies(
    gold: Sequence[str], answered: Sequence[str], labels: Sequence[str]
) -> dict[str, Tally]:
    """accuracy, macro_f1, micro_f1 and weighted_f1 for one label a row.

    Args:
        labels: every label that counts; must hold all of ``gold``. An answer that is not among
            them is simply wrong.
    """
    counts = _counts([(label,) for label in gold], [(label,) for label in answered], labels)
    return _tallies(counts, "accuracy")


def label_set_tallies(
    gold: Sequence[Sequence[str]], answered: Sequence[Sequence[str]], labels: Sequence[str]
) -> dict[str, Tally]:
    """subset_accuracy, macro_f1, micro_f1 and weighted_f1 for any number of labels a row."""
    return _tallies(_counts(gold, answered, labels), "subset_accuracy")


def label_table(tallies: dict[str, Tally], labels: Sequence[str]) -> list[LabelRow]:
    """Precision, recall and F1 of every label that occurs or was answered, in ``labels`` order."""
    sums = np.asarray(tallies["macro_f1"].statistics.sum(axis=0), dtype=np.float64).reshape(-1)
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
    known = set(labels)
    named = [label if label in known else OTHER for label in answered]
    used = {*gold, *named}
    order = [label for label in labels if label in used]
    if OTHER in used and OTHER not in known:
        order.append(OTHER)
    place = {label: i for i, label in enumerate(order)}
    cells = [place[a] * len(order) + place[b] for a, b in zip(gold, named, strict=True)]
    counts = np.bincount(cells, minlength=len(order) ** 2)
    return Confusion(tuple(order), counts.reshape(len(order), len(order)).astype(np.int64))


def right_rows(tallies: dict[str, Tally]) -> NDArray[np.bool_]:
    """Which rows are wholly right, shape (rows,)."""
    statistics = tallies["macro_f1"].statistics
    column = statistics[:, statistics.shape[1] - 2]
    return np.asarray(column.todense()).reshape(-1) > 0


def _tallies(counts: Any, exact: str) -> dict[str, Tally]:
    return {
        exact: Tally(counts, _exact),
        "macro_f1": Tally(counts, _macro_f1),
        "micro_f1": Tally(counts, _micro_f1),
        "weighted_f1": Tally(counts, _weighted_f1),
    }


def _counts(
    gold: Sequence[Sequence[str]], answered: Sequence[Sequence[str]], labels: Sequence[str]
) -> Any:
    """CSR, shape (rows, 3 L + 2): hits, answered and true by label; wholly right; one."""
    from scipy.sparse import csr_matrix

    if not gold:
        raise DataError("there are no rows to score", fix="Give at least one row with a label")
    place = {label: i for i, label in enumerate(labels)}
    size = len(place)
    cells: list[int] = []
    starts = [0]
    for true, given in zip(gold, answered, strict=True):
        wanted, named = set(true), set(given)
        chosen = {label for label in named if label in place}
        cells += sorted(place[label] for label in wanted & chosen)
        cells += sorted(size + place[label] for label in chosen)
        cells += sorted(2 * size + place[label] for label in wanted)
        if wanted == named:
            cells.append(3 * size)
        cells.append(3 * size + 1)
        starts.append(len(cells))
    return csr_matrix(
        (np.ones(len(cells)), np.array(cells), np.array(starts)), shape=(len(gold), 3 * size + 2)
    )


def _three(sums: Floats) -> tuple[Floats, Floats, Floats]:
    size = (sums.shape[-1] - 2) // 3
    return sums[..., :size], sums[..., size : 2 * size], sums[..., 2 * size : 3 * size]


def _exact(sums: Floats) -> Floats:
    return divide(sums[..., -2], sums[..., -1])


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
