"""Probabilities of all labels, row by row, and the metrics that need them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics.calibration import Calibration, brier_sets, brier_single
from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Means, RowMetric
from tinyforge.records.predictions import Prediction

MOST_SCORES = 5_000_000
"""Rows times labels, at most, of which every probability is kept."""

_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Found:
    """What came of the probabilities.

    Attributes:
        table: shape (rows, labels), in the order of the labels; None where they were not all
            given, or are too many.
        tallies: the Brier score.
        calibration: each label's probability against whether it holds (label sets only).
    """

    table: NDArray[np.float32] | None
    tallies: dict[str, RowMetric]
    calibration: Calibration | None
    notes: list[str]


class Probabilities:
    """Takes in the scores of predictions; as soon as one lacks a label's, all are given up.

    Args:
        rows: how many rows will come, at most.
    """

    def __init__(self, *, multi_label: bool, rows: int) -> None:
        self._multi, self._rows = multi_label, rows
        self._order: tuple[str, ...] | None = None
        self._place: dict[str, int] = {}
        self._table: Column | None = None
        self._brier = Means(["brier"])
        self._calibration = Calibration()
        self._given = True

    def add(self, gold: Sequence[tuple[str, ...]], predictions: Sequence[Prediction]) -> None:
        """Look at some predictions beside the labels that hold."""
        if not self._given or not predictions:
            return
        if self._order is None:
            self._begin(tuple(predictions[0].scores))
        if not self._order or any(p.scores.keys() != self._place.keys() for p in predictions):
            self._given = False
            return
        scores = np.array(
            [[p.scores[label] for label in self._order] for p in predictions], dtype=np.float64
        )
        if self._table is not None:
            self._table.extend(scores)
        if self._multi:
            truth = np.zeros(scores.shape, dtype=bool)
            for row, labels in enumerate(gold):
                truth[row, [self._place[label] for label in labels if label in self._place]] = True
            self._brier.add({"brier": brier_sets(scores, truth)})
            self._calibration.add(scores, truth)
        else:
            right = np.array([self._place.get(row[0], -1) for row in gold])
            self._brier.add({"brier": brier_single(scores, right)})

    def _begin(self, order: tuple[str, ...]) -> None:
        self._order = order
        self._place = {label: i for i, label in enumerate(order)}
        if order and self._rows * len(order) <= MOST_SCORES:
            self._table = Column(np.float32, len(order))

    def close(self, labels: Sequence[str]) -> Found:
        """All of it; ``labels`` are those of the table's columns, 0 where never scored."""
        if not self._given or not self._order:
            return Found(None, {}, None, [])
        notes = []
        table = None
        if self._table is None:
            notes.append(
                f"AUROC and average precision were left out: {self._rows:,} rows with "
                f"{len(self._order):,} labels are more than {MOST_SCORES:,} probabilities"
            )
        else:
            table = self._sorted(self._table.close(), labels)
        return Found(table, self._brier.close(), self._calibration if self._multi else None, notes)

    def _sorted(self, table: NDArray[np.float32], labels: Sequence[str]) -> NDArray[np.float32]:
        if tuple(labels) == self._order:
            return table
        ordered = Column(np.float32, len(labels))
        known = [(i, self._place[label]) for i, label in enumerate(labels) if label in self._place]
        to, start = [i for i, _ in known], [place for _, place in known]
        for row in range(0, len(table), _ROWS):
            part = np.zeros((len(table[row : row + _ROWS]), len(labels)), dtype=np.float32)
            part[:, to] = table[row : row + _ROWS][:, start]
            ordered.extend(part)
        found: NDArray[np.float32] = ordered.close()
        return found
