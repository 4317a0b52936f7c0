"""How far a model's confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics.spill import SparseRows
from tinyforge.metrics.tally import Floats, Tally, divide

BINS = 15


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Decisions of about the same confidence.

    Attributes:
        low, high: the bin's bounds.
        confidence: their mean confidence.
        accuracy: the share that was right.
        rows: how many there are; for label sets, one for each row and label.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    rows: int


class Calibration:
    """Confidences and whether they were borne out, taken in row by row."""

    def __init__(self) -> None:
        self._rows = SparseRows(BINS + 1)
        self._confident, self._right = np.zeros(BINS), np.zeros(BINS)
        self._counts = np.zeros(BINS, dtype=np.int64)

    def add(self, confidences: Floats, right: NDArray[np.bool_]) -> None:
        """Take in some rows.

        Args:
            confidences: shape (rows, decisions): the chosen label's probability, or each
                label's.
            right: the same shape: whether that label was right, or holds.
        """
        from scipy.sparse import csr_matrix

        rows, decisions = confidences.shape
        bins = np.clip(np.ceil(confidences * BINS).astype(np.int64) - 1, 0, BINS - 1)
        flat = bins.reshape(-1)
        self._confident += np.bincount(flat, confidences.reshape(-1), BINS)
        self._right += np.bincount(flat, right.reshape(-1), BINS)
        self._counts += np.bincount(flat, minlength=BINS)
        places = np.repeat(np.arange(rows), decisions)
        shape = (rows, BINS + 1)
        gaps = csr_matrix(((confidences - right).reshape(-1), (places, flat)), shape=shape)
        last = (np.arange(rows), np.full(rows, BINS))
        self._rows.extend(
            (gaps + csr_matrix((np.full(rows, float(decisions)), last), shape=shape)).tocsr()
        )

    def close(self) -> tuple[Tally, list[ReliabilityBin]]:
        """The calibration error, and the bins that are not empty."""
        table = [
            ReliabilityBin(
                i / BINS,
                (i + 1) / BINS,
                float(self._confident[i] / self._counts[i]),
                float(self._right[i] / self._counts[i]),
                int(self._counts[i]),
            )
            for i in np.flatnonzero(self._counts).tolist()
        ]
        return Tally(self._rows.close(), expected_calibration_error), table


def calibration_tally(confidences: Sequence[float], right: NDArray[np.bool_]) -> Tally:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599): 15 bins of equal width.

    Args:
        confidences: the chosen label's probability, one a row.
        right: whether that label was right, shape (rows,).
    """
    seen = Calibration()
    seen.add(np.asarray(confidences, dtype=np.float64)[:, None], np.asarray(right)[:, None])
    return seen.close()[0]


def expected_calibration_error(sums: Floats) -> Floats:
    """From (sum of confidence - right in each bin ..., decisions).

    A bin's share of the decisions times its gap is the absolute sum of its gaps over all of them.
    """
    return divide(np.abs(sums[..., :BINS]).sum(axis=-1), sums[..., BINS])


def brier_single(probabilities: Floats, truth: NDArray[np.int64]) -> Floats:
    """Half the squared distance of the probabilities from the truth (Brier 1950), row by row.

    From 0 to 1; for two labels the square of the error of either probability. scikit-learn's
    ``brier_score_loss`` with ``scale_by_half``.

    Args:
        probabilities: shape (rows, labels), each row with sum 1.
        truth: the right label's column; -1 where the predictor does not know it.
    """
    squares = (probabilities**2).sum(axis=1)
    known = truth >= 0
    given = probabilities[np.arange(len(truth)), np.where(known, truth, 0)]
    halves: Floats = (squares - 2 * np.where(known, given, 0.0) + 1) / 2
    return halves


def brier_sets(probabilities: Floats, truth: NDArray[np.bool_]) -> Floats:
    """The mean over the labels of the squared error of each label's probability, row by row."""
    scores: Floats = ((probabilities - truth) ** 2).mean(axis=1)
    return scores
