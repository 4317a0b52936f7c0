"""How alike two documents are: estimated from their signatures, or counted in their texts."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.signature_files import SignatureFiles
from tinyforge.corpus.duplicates.signatures import PASSAGE, VALUES, distinct_shingles
from tinyforge.data.similar import Comparer

_CHANCE = 1 / 16  # of four bits to agree though the values differ
_ERRORS = 3
_REMEMBERED = 1_000_000
_LEAST_CHECKS = 1_000_000
_CHECKS_PER_DOCUMENT = 4
_LONGEST = 20_000_000
"""Shingles of a document whose set of them is still made; longer ones are compared by estimate."""


class Likeness:
    """Compares documents by number.

    Args:
        text_of: a document's text by its number.
        files: the signatures.
        count: how many documents there are.
        settings: the size of a shingle, and the likeness that is looked for.

    Attributes:
        threshold: the Jaccard similarity of near-duplicates.
        contained: the share of a document's passages that makes it a part of another.
        sizes: int64: shingles of each document.
        compared: pairs that were counted in their texts.
        estimated: pairs for which the estimate was taken instead: very long documents, and those
            after very many comparisons.
    """

    def __init__(
        self,
        text_of: Callable[[int], str],
        files: SignatureFiles,
        count: int,
        settings: DuplicateSettings,
    ) -> None:
        self.threshold, self.contained = settings.similarity, settings.containment
        self.sizes = files.sizes(count)
        self.compared = self.estimated = 0
        self._settings = settings
        self._bits = files.column("bits", count)
        width = settings.shingle
        self._shingles = Comparer(text_of, lambda text: distinct_shingles(text, width))
        self._passages = Comparer(text_of, lambda text: distinct_shingles(text, PASSAGE))
        self._count = count
        self._failed: dict[int, float] = {}
        self._checks = _LEAST_CHECKS + _CHECKS_PER_DOCUMENT * count

    @property
    def margin_at_threshold(self) -> float:
        """Three standard errors of the estimate of a long document at the threshold."""
        least = np.array([_LONGEST])
        return float(_margin(self.threshold, least)[0])

    def estimate(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Jaccard similarity of pairs by their signatures."""
        differ = self._bits[first] ^ self._bits[second]
        same = np.count_nonzero(differ & 0xF0 == 0, axis=1)
        same += np.count_nonzero(differ & 0x0F == 0, axis=1)
        found: NDArray[np.float64] = (same / VALUES - _CHANCE) / (1 - _CHANCE)
        return found

    def may_reach(
        self, first: NDArray[np.int64], second: NDArray[np.int64], estimated: NDArray[np.float64]
    ) -> NDArray[np.bool_]:
        """Whether pairs may be near-duplicates by their estimates."""
        least = np.minimum(self.sizes[first], self.sizes[second])
        return np.asarray(estimated >= self.threshold - _margin(self.threshold, least))

    def may_contain(
        self, shared: NDArray[np.int64], samples: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Whether pairs may contain each other, by the sampled passages that they share.

        Args:
            samples: those of the one of each pair that has fewer.
        """
        error = np.sqrt(self.contained * (1 - self.contained) / samples)
        return np.asarray(shared / samples >= self.contained - _ERRORS * error)

    def jaccard(self, first: int, second: int, estimated: float) -> float:
        """The true Jaccard similarity, or the estimate where that is too dear."""
        pair = first * self._count + second
        known = self._failed.get(pair)
        if known is not None:
            return known
        if self._checks <= 0 or self._too_long(first, second):
            self.estimated += 1
            return estimated
        self._checks -= 1
        self.compared += 1
        true = self._shingles.jaccard(first, second)
        if true < self.threshold and len(self._failed) < _REMEMBERED:
            self._failed[pair] = true
        return true

    def containment(self, first: int, second: int) -> tuple[float, float]:
        """The shares of each one's passages that stand in the other."""
        self.compared += 1
        common, a, b = self._passages.overlap(first, second)
        return common / max(1, a), common / max(1, b)

    def can_contain(self, first: int, second: int) -> bool:
        """Whether two documents can be compared by their passages: both long, neither too long."""
        least = min(self.sizes[first], self.sizes[second])
        long = least >= self._settings.long_document // 2  # of shingles; spaces have gone
        return bool(long) and not self._too_long(first, second)

    def forget(self) -> None:
        """Give pages of the signatures back to the system."""
        self._bits.forget()

    def _too_long(self, first: int, second: int) -> bool:
        return bool(max(self.sizes[first], self.sizes[second]) > _LONGEST)


def _margin(similarity: float, shingles: NDArray[np.int64]) -> NDArray[np.float64]:
    """Standard errors of the estimate of a similarity, by the shingles of the shorter document.

    A short document fills few bins; only these tell something.
    """
    filled = np.maximum(1, VALUES * -np.expm1(-shingles / VALUES))
    agree = similarity + (1 - similarity) * _CHANCE
    error: NDArray[np.float64] = np.sqrt(agree * (1 - agree) / filled) / (1 - _CHANCE)
    return _ERRORS * error
