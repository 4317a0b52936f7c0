"""Metrics as functions of summed per-row statistics, and what can be said from them.

Nearly every metric is a function of sums over rows: accuracy of two counts, F1 of three counts
per label, BLEU of ten n-gram counts, perplexity of two sums. With the statistics of each row at
hand, a bootstrap resample (Efron 1979) is a product with a matrix of multinomial counts, and a
randomisation test (Noreen 1989) a product with random signs; no text is scored twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_CELLS = 4_000_000
"""Numbers in one block of resampling weights (32 MB)."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A metric, ready to be computed on any weighting of the rows.

    Attributes:
        statistics: shape (rows, k), a NumPy array or a SciPy CSR matrix.
        score: from sums, shape (..., k), to values, shape (...).
    """

    statistics: Any
    score: Callable[[Floats], Floats]

    @property
    def rows(self) -> int:
        return int(self.statistics.shape[0])

    def value(self) -> float:
        """The metric on all rows, each counted once."""
        sums = np.asarray(self.statistics.sum(axis=0), dtype=np.float64).reshape(-1)
        return float(self.score(sums))

    def grouped(self, groups: NDArray[np.int64]) -> Tally:
        """The same metric with rows of one group joined, so that they are drawn together.

        Args:
            groups: shape (rows,), from 0 to the number of groups - 1.
        """
        return replace(self, statistics=_join(self.statistics, groups))


def mean_tally(values: NDArray[Any]) -> Tally:
    """The mean of one number per row."""
    statistics = np.stack([values.astype(np.float64), np.ones(len(values))], axis=1)
    return Tally(statistics, mean_score)


def mean_score(sums: Floats) -> Floats:
    """Mean from (sum, count); 0 where the count is 0."""
    return divide(sums[..., 0], sums[..., 1])


def divide(above: Floats, below: Floats) -> Floats:
    """``above / below``, and 0 where ``below`` is 0 (scikit-learn's ``zero_division=0``)."""
    return np.divide(above, below, out=np.zeros_like(above, dtype=np.float64), where=below != 0)


def bootstrap(tallies: Mapping[str, Tally], *, samples: int, seed: int) -> dict[str, Floats]:
    """Every metric on the same resamples of the rows.

    Two calls with the same number of rows, ``samples`` and ``seed`` draw the same rows, so that
    the difference of their results, sample by sample, is a paired bootstrap.

    Returns:
        name -> shape (samples,).
    """
    if not tallies:
        return {}
    rows = next(iter(tallies.values())).rows
    blocks: dict[str, list[Floats]] = {name: [] for name in tallies}
    for weights in _resamples(rows, samples, seed):
        sums: dict[int, Floats] = {}
        for name, tally in tallies.items():
            key = id(tally.statistics)
            if key not in sums:
                sums[key] = _weighted(tally.statistics, weights)
            blocks[name].append(tally.score(sums[key]))
    return {name: np.concatenate(block) for name, block in blocks.items()}


def randomisation_p(ours: Tally, theirs: Tally, *, samples: int, seed: int, sign: int) -> float:
    """How often chance alone gives at least the improvement that was seen (one-sided).

    Under the hypothesis that the two systems are alike, the owner of each row's answer is a coin
    toss. Exact for any metric and number of rows, but for the number of tosses (Noreen 1989;
    Yeh 2000).

    Args:
        sign: 1 where a higher value is better, -1 where a lower one is.
    """
    seen = sign * (ours.value() - theirs.value())
    mine, other = _sums(ours.statistics), _sums(theirs.statistics)
    change = _differing(ours.statistics, theirs.statistics)
    both = mine + other
    hits = 0
    for swapped in _coins(int(change.shape[0]), samples, seed):
        first = mine - _weighted(change, swapped)
        differences = sign * (ours.score(first) - theirs.score(both - first))
        hits += int(np.count_nonzero(differences >= seen - 1e-12))
    return (1 + hits) / (1 + samples)


def percentile_interval(resampled: Floats) -> tuple[float, float]:
    """The middle 95 % of resampled values (infinite ones allowed)."""
    low, high = np.quantile(resampled, [0.025, 0.975], method="nearest")
    return float(low), float(high)


def widest_unseen(rows: int) -> float:
    """The largest share that, with 97.5 % certainty, hides in ``rows`` rows that show none of it.

    One end of the Clopper-Pearson interval at zero; close to 3.7 / rows.
    """
    return float(1 - 0.025 ** (1 / rows))


def _resamples(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng([seed, rows])
    for size in _block_sizes(rows, samples):
        weights = np.empty((size, rows))
        for line in weights:
            line[:] = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        yield weights


def _coins(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    generator = np.random.default_rng([seed, rows, 1])
    for size in _block_sizes(rows, samples):
        yield generator.integers(0, 2, (size, rows)).astype(np.float64)


def _block_sizes(rows: int, samples: int) -> Iterator[int]:
    block = max(1, _CELLS // max(rows, 1))
    for start in range(0, samples, block):
        yield min(block, samples - start)


def _weighted(statistics: Any, weights: Floats) -> Floats:
    if isinstance(statistics, np.ndarray):
        return weights @ statistics
    product: Floats = (statistics.T @ weights.T).T
    return product


def _sums(statistics: Any) -> Floats:
    return np.asarray(statistics.sum(axis=0), dtype=np.float64).reshape(-1)


def _differing(ours: Any, theirs: Any) -> Any:
    """``ours - theirs`` without the rows in which they agree."""
    if isinstance(ours, np.ndarray):
        change = ours - theirs
        return change[np.any(change != 0, axis=1)]
    change = (ours - theirs).tocsr()
    change.eliminate_zeros()
    return change[np.diff(change.indptr) > 0]


def _join(statistics: Any, groups: NDArray[np.int64]) -> Any:
    count = int(groups.max()) + 1 if len(groups) else 0
    if count == len(groups):
        return statistics
    from scipy.sparse import csr_matrix

    ones = (np.ones(len(groups)), (groups, np.arange(len(groups))))
    joined = csr_matrix(ones, shape=(count, len(groups))) @ statistics
    return joined if isinstance(joined, np.ndarray) else joined.tocsr()
