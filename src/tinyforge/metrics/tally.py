"""Metrics as functions of per-row statistics, and what can be said from them.

Nearly every metric is a function of sums over rows: accuracy of two counts, F1 of three counts
per label, BLEU of ten n-gram counts, perplexity of two sums. With the statistics of each row at
hand, a bootstrap resample (Efron 1979) is a product with a matrix of multinomial counts, and a
randomisation test (Noreen 1989) a product with random signs; no text is scored twice. Metrics of
the order of the rows (area under the ROC curve, average precision) are in ``ranking.py``; they
have the same interface, ``RowMetric``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinyforge.metrics.spill import Column, SparseRows

Floats = NDArray[np.float64]
_CELLS = 4_000_000
"""Numbers in one block of resampling weights (32 MB)."""

_JOINED = 10_000
"""Groups whose rows are joined at a time."""


class RowMetric(Protocol):
    """A metric, ready to be computed on any weighting of its rows."""

    @property
    def rows(self) -> int:
        """How many rows, or groups of rows, can be drawn."""
        ...

    def value(self) -> float:
        """The metric on all rows, each counted once."""
        ...

    def grouped(self, groups: NDArray[np.int64]) -> Self:
        """The same metric with rows of one group joined, so that they are drawn together.

        Args:
            groups: shape (rows,), from 0 to the number of groups - 1.
        """
        ...

    def weighted(self, weights: Floats, shared: dict[int, Any]) -> Floats:
        """The metric under several weightings.

        Args:
            weights: shape (draws, rows), how often each row counts.
            shared: what metrics of the same statistics have worked out for these weights.

        Returns:
            shape (draws,).
        """
        ...

    def exchanged(
        self, other: RowMetric, samples: int, seed: int
    ) -> Iterator[tuple[Floats, Floats]]:
        """Values of two systems after coin tosses gave each row's answer to one or the other.

        Args:
            other: the same metric of another system on the same rows.

        Yields:
            blocks of values of the first and of the second system; ``samples`` in all.
        """
        ...


@dataclass(frozen=True, slots=True)
class Tally:
    """A metric that is a function of sums over rows; a ``RowMetric``.

    Attributes:
        statistics: shape (rows, k), a NumPy array or a SciPy CSR matrix.
        score: from sums, shape (..., k), to values, shape (...).
    """

    statistics: Any
    score: Callable[[Floats], Floats]

    @property
    def rows(self) -> int:
        """How many rows there are statistics of."""
        return int(self.statistics.shape[0])

    def value(self) -> float:
        """The metric on all rows, each counted once."""
        return float(self.score(_sums(self.statistics)))

    def by_row(self) -> Floats:
        """The metric of each row alone, shape (rows,)."""
        statistics = self.statistics
        whole = statistics if isinstance(statistics, np.ndarray) else statistics.toarray()
        return self.score(np.asarray(whole, dtype=np.float64))

    def grouped(self, groups: NDArray[np.int64]) -> Self:
        """The same metric with rows of one group joined, so that they are drawn together."""
        return replace(self, statistics=_join(self.statistics, groups))

    def weighted(self, weights: Floats, shared: dict[int, Any]) -> Floats:
        """The metric under several weightings: shape (draws,)."""
        key = id(self.statistics)
        if key not in shared:
            shared[key] = _weighted(self.statistics, weights)
        return self.score(shared[key])

    def exchanged(
        self, other: RowMetric, samples: int, seed: int
    ) -> Iterator[tuple[Floats, Floats]]:
        """Values of both systems after coin tosses gave each row's statistics to one of them."""
        if not isinstance(other, Tally):
            raise TypeError("the two systems were not measured in the same way")
        mine = _sums(self.statistics)
        both = mine + _sums(other.statistics)
        change = _differing(self.statistics, other.statistics)
        for swapped in coins(int(change.shape[0]), samples, seed):
            first = mine - _weighted(change, swapped)
            yield self.score(first), other.score(both - first)


class Means:
    """Several means of one number a row each, taken in part by part.

    Args:
        names: what is measured.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self._rows = Column(np.float64, len(self.names) + 1)

    def add(self, values: Mapping[str, ArrayLike]) -> None:
        """Take in some rows: shape (rows,) for every name."""
        parts = [np.asarray(values[name], dtype=np.float64) for name in self.names]
        self._rows.extend(np.stack([*parts, np.ones_like(parts[0])], axis=1))

    def close(self) -> dict[str, RowMetric]:
        """A tally for each name, all of the same statistics."""
        statistics = self._rows.close()
        return {
            name: Tally(statistics, partial(_mean_of, place=place))
            for place, name in enumerate(self.names)
        }


def _mean_of(sums: Floats, *, place: int) -> Floats:
    return divide(sums[..., place], sums[..., -1])


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


def bootstrap(tallies: Mapping[str, RowMetric], *, samples: int, seed: int) -> dict[str, Floats]:
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
        shared: dict[int, Any] = {}
        for name, tally in tallies.items():
            blocks[name].append(tally.weighted(weights, shared))
    return {name: np.concatenate(block) for name, block in blocks.items()}


def randomisation_p(
    ours: RowMetric, theirs: RowMetric, *, samples: int, seed: int, sign: int
) -> float:
    """How often chance alone gives at least the improvement that was seen (one-sided).

    Under the hypothesis that the two systems are alike, the owner of each row's answer is a coin
    toss. Exact for any metric and number of rows, but for the number of tosses (Noreen 1989;
    Yeh 2000).

    Args:
        sign: 1 where a higher value is better, -1 where a lower one is.
    """
    seen = sign * (ours.value() - theirs.value())
    hits = 0
    for first, second in ours.exchanged(theirs, samples, seed):
        hits += int(np.count_nonzero(sign * (first - second) >= seen - 1e-12))
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
    """Blocks of weights, each in the place of the one before."""
    generator = np.random.default_rng([seed, rows])
    weights = np.empty((0, rows))
    for size in _block_sizes(rows, samples):
        weights = np.empty((size, rows)) if len(weights) < size else weights[:size]
        for line in weights:
            line[:] = np.bincount(generator.integers(0, rows, rows), minlength=rows)
        yield weights


def coins(rows: int, samples: int, seed: int) -> Iterator[Floats]:
    """Blocks of coin tosses, 0 or 1: shape (draws, rows), ``samples`` draws in all."""
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
    """Sums over groups, some groups at a time, so that the result may lie in files."""
    count = int(groups.max()) + 1 if len(groups) else 0
    if count == len(groups):
        return statistics
    from scipy.sparse import csr_matrix

    width = int(statistics.shape[1])
    dense = isinstance(statistics, np.ndarray)
    joined: Any = Column(np.float64, width) if dense else SparseRows(width)
    order = np.argsort(groups, kind="stable")
    places = groups[order]
    for start in range(0, count, _JOINED):
        end = min(start + _JOINED, count)
        first, last = np.searchsorted(places, [start, end])
        cells = (places[first:last] - start, np.arange(last - first))
        ones = csr_matrix((np.ones(last - first), cells), shape=(end - start, last - first))
        joined.extend(ones @ statistics[order[first:last]])
    return joined.close()
