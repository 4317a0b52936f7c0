"""Which document of each cluster is kept, and for which of the kept ones each other stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.likeness import Likeness
from tinyforge.corpus.duplicates.linking import Links

_MOST_KEPT = 64
"""Kept documents of a cluster that a further one is compared with."""

Inside = tuple[float, float]


@dataclass(frozen=True)
class Choice:
    """For each document: which is kept instead (-1: itself), how alike, and whether as its part."""

    duplicate_of: NDArray[np.int64]
    similarity: NDArray[np.float32]
    contained: NDArray[np.bool_]


@dataclass
class _Cluster:
    """Documents that are linked, and what is known of their pairs, the smaller number first."""

    members: list[int]
    jaccard: dict[tuple[int, int], float] = field(default_factory=dict)
    inside: dict[tuple[int, int], Inside] = field(default_factory=dict)


def choose(links: Links, likeness: Likeness, settings: DuplicateSettings) -> Choice:
    """Decide cluster by cluster.

    A document is dropped only for one that is kept and that it was itself compared with: a chain of
    likenesses drops nothing at its far end. The first in order is kept, but a document that is part
    of a longer one goes after it.
    """
    count = len(links.roots)
    choice = Choice(
        np.full(count, -1, dtype=np.int64),
        np.zeros(count, dtype=np.float32),
        np.zeros(count, dtype=np.bool_),
    )
    for cluster in _clusters(links):
        _decide(cluster, likeness, settings, choice)
    return choice


def _clusters(links: Links) -> Iterator[_Cluster]:
    """All clusters with more than one document, in order of their smallest."""
    first, second, values = links.pairs()
    linked = np.unique(np.concatenate((first, second)))
    linked = linked[np.argsort(links.roots[linked], kind="stable")]
    by_root = np.argsort(links.roots[first], kind="stable")
    pair_roots = links.roots[first][by_root]
    roots, starts = np.unique(links.roots[linked], return_index=True)
    ends = np.append(starts, len(linked))[1:]
    for root, start, end in zip(roots.tolist(), starts.tolist(), ends.tolist(), strict=True):
        cluster = _Cluster(linked[start:end].tolist())
        low, high = np.searchsorted(pair_roots, (root, root + 1))
        for place in by_root[low:high].tolist():
            pair = (int(first[place]), int(second[place]))
            jaccard, *inside = values[place].tolist()
            if jaccard:
                cluster.jaccard[pair] = jaccard
            else:
                cluster.inside[pair] = (inside[0], inside[1])
        yield cluster


def _decide(
    cluster: _Cluster, likeness: Likeness, settings: DuplicateSettings, choice: Choice
) -> None:
    kept: list[int] = []
    for number in _order(cluster, settings):
        for other in kept[:_MOST_KEPT]:
            value, part = _likeness_of(number, other, cluster, likeness, settings)
            if value:
                choice.duplicate_of[number] = other
                choice.similarity[number] = value
                choice.contained[number] = part
                break
        else:
            kept.append(number)


def _order(cluster: _Cluster, settings: DuplicateSettings) -> list[int]:
    """By number, but those that stand in a longer one after all others."""
    parts = set()
    for pair, inside in cluster.inside.items():
        if min(inside) < settings.containment:
            parts.add(pair[inside[1] > inside[0]])
    return sorted(cluster.members, key=lambda number: (number in parts, number))


def _likeness_of(
    number: int, kept: int, cluster: _Cluster, likeness: Likeness, settings: DuplicateSettings
) -> tuple[float, bool]:
    """How alike a document is to a kept one, and whether as its part; 0: not enough to drop it."""
    pair = (min(number, kept), max(number, kept))
    jaccard = cluster.jaccard.get(pair)
    if jaccard is None and pair not in cluster.inside and settings.similarity < 1:
        jaccard = _near(*pair, likeness)
    if jaccard is not None and jaccard >= settings.similarity:
        return jaccard, False
    inside = cluster.inside.get(pair)
    if inside is None and settings.containment < 1 and likeness.can_contain(*pair):
        inside = likeness.containment(*pair)
    share = inside[number != pair[0]] if inside else 0.0
    return (share, True) if share >= settings.containment else (0.0, False)


def _near(first: int, second: int, likeness: Likeness) -> float:
    one, other = np.array([first]), np.array([second])
    estimated = likeness.estimate(one, other)
    if not likeness.may_reach(one, other, estimated)[0]:
        return 0.0
    return likeness.jaccard(first, second, float(estimated[0]))
