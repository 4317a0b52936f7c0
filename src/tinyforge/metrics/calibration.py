"""How far a model's confidence can be believed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics.tally import Floats, Tally, divide

BINS = 15


def calibration_tally(confidences: Sequence[float], right: NDArray[np.bool_]) -> Tally:
    """Expected calibration error (Guo et al. 2017, arXiv:1706.04599): 15 bins of equal width.

    Args:
        confidences: the chosen label's probability, one a row.
        right: whether that label was right, shape (rows,).
    """
    from scipy.sparse import csr_matrix

    confident = np.asarray(confidences, dtype=np.float64)
    rows = np.arange(len(confident))
    bins = np.clip(np.ceil(confident * BINS).astype(np.int64) - 1, 0, BINS - 1)
    gaps = csr_matrix((confident - right, (rows, bins)), shape=(len(rows), BINS + 1))
    ones = csr_matrix(
        (np.ones(len(rows)), (rows, np.full(len(rows), BINS))), shape=(len(rows), BINS + 1)
    )
    return Tally((gaps + ones).tocsr(), expected_calibration_error)


def expected_calibration_error(sums: Floats) -> Floats:
    """From (sum of confidence - right in each bin ..., rows).

    A bin's share of the rows times its gap is the absolute sum of its rows' gaps over all rows.
    """
    return divide(np.abs(sums[..., :BINS]).sum(axis=-1), sums[..., BINS])
