"""Links between documents that are alike, and the clusters that they make."""

from __future__ import annotations

from array import array

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.duplicates.likeness import Likeness
from tinyforge.corpus.duplicates.signature_files import SignatureFiles
from tinyforge.corpus.duplicates.sorting import Sorter
from tinyforge.data.duplicates import bucket_pairs, find_root, flatten

_SLICE = 20_000
_SHIFT = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Links:
    """Documents joined by pairs that were found alike.

    Attributes:
        roots: int64: the smallest number of each document's cluster.
    """

    def __init__(self, count: int) -> None:
        self.roots = np.arange(count, dtype=np.int64)
        self._first, self._second = array("q"), array("q")
        self._values = array("d"), array("d"), array("d")

    def apart(self, first: int, second: int) -> bool:
        """Whether two documents are in different clusters."""
        return find_root(self.roots, first) != find_root(self.roots, second)

    def all_apart(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.bool_]:
        """``apart`` for many pairs."""
        return np.asarray(self._roots_of(first) != self._roots_of(second))

    def join(self, first: int, second: int, jaccard: float, inside: tuple[float, float]) -> None:
        """Join two documents.

        Args:
            jaccard: their similarity; 0: was not looked at.
            inside: the share of the first in the second, and the other way round; 0: not looked at.
        """
        a, b = find_root(self.roots, first), find_root(self.roots, second)
        self.roots[max(a, b)] = min(a, b)
        self._first.append(first)
        self._second.append(second)
        for column, value in zip(self._values, (jaccard, *inside), strict=True):
            column.append(value)

    def flatten(self) -> None:
        """Let every document point straight to its cluster's smallest."""
        flatten(self.roots)

    def _roots_of(self, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
        found = self.roots[numbers]
        while not np.array_equal(further := self.roots[found], found):
            found = further
        self.roots[numbers] = found  # the next way is shorter
        return found

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """The pairs that were joined, and their three values: shape (pairs, 3)."""
        values = [np.array(column, dtype=np.float64) for column in self._values]
        first, second = (np.array(x, dtype=np.int64) for x in (self._first, self._second))
        return first, second, np.stack(values, axis=1)


def link_near(
    files: SignatureFiles,
    original: NDArray[np.int64],
    likeness: Likeness,
    links: Links,
    sorter: Sorter,
) -> None:
    """Join near-duplicates: documents that share a band and whose similarity is high enough.

    Args:
        original: the first document that each one equals; copies are left out.
        sorter: for the keys of the bands.
    """
    count = len(original)
    for first, rows in files.rows("bands", count):
        numbers = np.arange(first, first + len(rows), dtype=np.int64)
        chosen = (likeness.sizes[numbers] > 0) & (original[numbers] == numbers)
        owners = np.repeat(numbers[chosen].astype(np.uint64), files.bands)
        sorter.add(rows[chosen].ravel(), owners)
    for keys, owners in sorter.repeated():
        for one, other in bucket_pairs(keys, owners.astype(np.int64)):
            for start in range(0, len(one), _SLICE):
                part = slice(start, start + _SLICE)
                _join_near(one[part], other[part], likeness, links)
        likeness.forget()
    sorter.close()
    links.flatten()


def _join_near(
    first: NDArray[np.int64], second: NDArray[np.int64], likeness: Likeness, links: Links
) -> None:
    apart = links.all_apart(first, second)
    count = len(links.roots)
    pairs = np.unique(first[apart] * count + second[apart])  # most share several bands
    if not len(pairs):
        return
    first, second = pairs // count, pairs % count
    estimated = likeness.estimate(first, second)
    close = likeness.may_reach(first, second, estimated)
    likely = (values[close].tolist() for values in (first, second, estimated))
    for one, other, guess in zip(*likely, strict=True):
        if links.apart(one, other):
            true = likeness.jaccard(one, other, guess)
            if true >= likeness.threshold:
                links.join(one, other, true, (0, 0))


def link_contained(
    files: SignatureFiles,
    original: NDArray[np.int64],
    likeness: Likeness,
    links: Links,
    passages: Sorter,
    pairs: Sorter,
) -> None:
    """Join long documents of which one stands in the other for the most part.

    The share of the sampled passages of the one that the other has too is an estimate of the share
    of all its passages, whatever their lengths; those who come near are compared in full.

    Args:
        passages, pairs: for the sampled passages, and for the pairs that share one.
    """
    samples = np.zeros(len(original), dtype=np.int64)
    for rows in files.passages():
        numbers = rows[:, 1].astype(np.int64)
        chosen = original[numbers] == numbers
        passages.add(rows[chosen, 0], rows[chosen, 1])
    for keys, owners in passages.sorted():
        order = np.lexsort((owners, keys))
        keys, numbers = keys[order], owners[order].astype(np.int64)
        once = np.ones(len(keys), dtype=bool)  # a document that was added twice counts once
        once[1:] = (keys[1:] != keys[:-1]) | (numbers[1:] != numbers[:-1])
        keys, numbers = keys[once], numbers[once]
        np.add.at(samples, numbers, 1)
        same = keys[1:] == keys[:-1]
        shared = np.concatenate((same, [False])) | np.concatenate(([False], same))
        for one, other in bucket_pairs(keys[shared], numbers[shared]):
            codes = (one.astype(np.uint64) << _SHIFT) | other.astype(np.uint64)
            pairs.add(codes, np.ones(len(codes), dtype=np.uint64))
    passages.close()
    for codes, _ in pairs.repeated():
        found, shares = np.unique(codes, return_counts=True)
        first, second = (found >> _SHIFT).astype(np.int64), (found & _LOW).astype(np.int64)
        least = np.minimum(samples[first], samples[second])
        close = likeness.may_contain(shares, least)
        for one, other in zip(first[close].tolist(), second[close].tolist(), strict=True):
            _join_contained(one, other, likeness, links)
    pairs.close()
    links.flatten()


def _join_contained(first: int, second: int, likeness: Likeness, links: Links) -> None:
    if links.apart(first, second) and likeness.can_contain(first, second):
        inside = likeness.containment(first, second)
        if max(inside) >= likeness.contained:
            links.join(first, second, 0, inside)
