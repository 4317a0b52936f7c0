"""Which rows are the same, or nearly so: clusters that must stay on one side of a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.similar import Comparer, Signatures

_NEIGHBOURS = 32
_LEADERS = 16
_SLICE = 50_000
_GIANT_SHARE = 0.15
_GIANT_LEAST = 50
_STRICTER = (0.8, 0.9, 0.95)
_CHECKS_PER_TEXT = 2
_LEAST_CHECKS = 500_000
_REMEMBERED = 100_000


@dataclass(frozen=True)
class Clusters:
    """Rows grouped by likeness.

    Attributes:
        exact: int64, shape (rows,): equal where the compared texts are equal.
        cluster: int64, shape (rows,): equal where rows are linked by near-duplicates.
        near: rows in a cluster with more than one text.
        notes: what was done otherwise than asked, for the user.
    """

    exact: NDArray[np.int64]
    cluster: NDArray[np.int64]
    near: int
    notes: list[str] = field(default_factory=list)


def find_clusters(
    hashes: NDArray[np.uint64],
    text: Callable[[int], str],
    characters: int,
    threshold: float,
    folder: Path,
) -> Clusters:
    """Cluster rows by the Jaccard similarity of their texts' 5-character shingles.

    Candidates come from MinHash with banding; each pair that would join two clusters is checked
    by its true similarity. Within a band, a text is compared with its neighbours and with the
    first texts of its bucket, so the work grows with the number of rows and not with its square.

    Args:
        hashes: a hash of each row's normal text; equal means the same text.
        text: the normal text of a row by its number.
        characters: all texts' characters together, about.
        threshold: similarity from which rows belong together; 1 means the same text only.
        folder: for temporary files.
    """
    _, first, exact = np.unique(hashes, return_index=True, return_inverse=True)
    exact = exact.astype(np.int64)
    count = len(first)
    if threshold >= 1 or count < 2:
        return Clusters(exact, exact, 0)
    texts = (text(int(row)) for row in first)
    search = _Search(
        Signatures(texts, count, characters, threshold, folder),
        Comparer(lambda index: text(int(first[index]))),
        count,
    )
    roots = search.run(threshold, np.ones(count, dtype=bool))
    notes: list[str] = []
    for stricter in (*(s for s in _STRICTER if s > threshold), 1.0):
        giant = _giant(roots)
        if giant is None:
            break
        share = 100 * np.count_nonzero(giant) / count
        how = "exact duplicates only" if stricter == 1 else f"similarity {stricter}"
        notes.append(
            f"near-duplicates chain {share:.0f} % of the distinct texts together (templated "
            f"text?); among these, rows are kept on one side by {how}"
        )
        roots[giant] = np.flatnonzero(giant)
        if stricter < 1:
            roots = np.where(giant, search.run(stricter, giant), roots)
    sizes = np.bincount(roots, minlength=count)
    cluster = roots[exact]
    near = int(np.count_nonzero(sizes[cluster] > 1))
    return Clusters(exact, cluster, near, notes[-1:])


def _giant(roots: NDArray[np.int64]) -> NDArray[np.bool_] | None:
    """The texts of the largest cluster, where it is too large to split the rest of the rows."""
    sizes = np.bincount(roots)
    largest = int(sizes.argmax())
    if sizes[largest] <= max(_GIANT_LEAST, _GIANT_SHARE * len(roots)):
        return None
    giant: NDArray[np.bool_] = roots == largest
    return giant


class _Search:
    """Joins near-duplicates found through one set of signatures."""

    def __init__(self, signatures: Signatures, comparer: Comparer, count: int) -> None:
        self.signatures = signatures
        self.comparer = comparer
        self.count = count
        self.failed: dict[int, float] = {}
        self.checks = _LEAST_CHECKS + _CHECKS_PER_TEXT * count

    def run(self, threshold: float, among: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Cluster the texts in ``among``; the number of its first text for each text."""
        roots = np.arange(self.count, dtype=np.int64)
        members = None if among.all() else np.flatnonzero(among)
        for keys in self.signatures.bands():
            for first, second in _candidates(keys, members):
                for start in range(0, len(first), _SLICE):
                    part = slice(start, start + _SLICE)
                    self._join(first[part], second[part], threshold, roots)
        return roots

    def _join(
        self,
        first: NDArray[np.int64],
        second: NDArray[np.int64],
        threshold: float,
        roots: NDArray[np.int64],
    ) -> None:
        apart = roots[first] != roots[second]
        first, second = first[apart], second[apart]
        if not len(first):
            return
        likely = self.signatures.estimate(first, second)
        close = likely >= threshold - self.signatures.margin(threshold)
        order = np.argsort(-likely[close], kind="stable")
        pairs = zip(first[close][order].tolist(), second[close][order].tolist(), strict=True)
        joined = False
        for (a, b), estimated in zip(pairs, likely[close][order].tolist(), strict=True):
            root_a, root_b = find_root(roots, a), find_root(roots, b)
            if root_a != root_b and self._similarity(a, b, estimated) >= threshold:
                roots[max(root_a, root_b)] = min(root_a, root_b)
                joined = True
        if joined:
            flatten(roots)

    def _similarity(self, first: int, second: int, estimated: float) -> float:
        """The true similarity, or the estimate where very many pairs were checked already."""
        pair = first * self.count + second
        known = self.failed.get(pair)
        if known is not None:
            return known
        if self.checks <= 0:
            return estimated
        self.checks -= 1
        true = self.comparer.jaccard(first, second)
        if len(self.failed) < _REMEMBERED:
            self.failed[pair] = true
        return true


def find_root(roots: NDArray[np.int64], index: int) -> int:
    """The first text of the cluster that a text is in. Shortens the way to it."""
    while (parent := int(roots[index])) != index:
        roots[index] = index = int(roots[parent])
    return index


def flatten(roots: NDArray[np.int64]) -> None:
    """Let every text point straight to the first of its cluster."""
    while not np.array_equal(shorter := roots[roots], roots):
        roots[:] = shorter


def _candidates(
    keys: NDArray[np.uint64], members: NDArray[np.int64] | None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of texts with the same key: neighbours in a bucket, and its first texts with all.

    Args:
        keys: the key of every text.
        members: the texts to look at; None: all.
    """
    if members is not None:
        keys = keys[members]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    crowded = np.zeros(len(keys), dtype=bool)
    crowded[1:] |= same
    crowded[:-1] |= same
    order, keys = order[crowded], keys[crowded]
    yield from bucket_pairs(keys, order if members is None else members[order])


def bucket_pairs(
    keys: NDArray[np.uint64], texts: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Pairs of texts in a bucket: close neighbours, and the bucket's first texts with all.

    Args:
        keys: sorted; equal keys make a bucket.
        texts: the number of the text of each key.
    """
    for distance in range(1, _NEIGHBOURS + 1):
        same = keys[distance:] == keys[:-distance]
        if not same.any():
            return
        yield texts[:-distance][same], texts[distance:][same]
    begins = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    begin = np.repeat(begins, np.diff(np.append(begins, len(keys))))
    place = np.arange(len(keys))
    for leader in range(_LEADERS):
        far = place - begin > leader + _NEIGHBOURS
        if far.any():
            yield texts[begin[far] + leader], texts[far]


def join_groups(cluster: NDArray[np.int64], group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Clusters joined wherever two of their rows share a group (number below 0: no group)."""
    count = int(cluster.max()) + 1 if len(cluster) else 0
    roots = np.arange(count, dtype=np.int64)
    seen: dict[int, int] = {}
    grouped = group >= 0
    pairs = np.unique(np.stack([group[grouped], cluster[grouped]], axis=1), axis=0)
    for number, member in pairs.tolist():
        other = seen.setdefault(number, member)
        a, b = find_root(roots, other), find_root(roots, member)
        if a != b:
            roots[max(a, b)] = min(a, b)
    flatten(roots)
    return roots[cluster]
