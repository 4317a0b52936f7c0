"""Train, validation and test: whole clusters of near-duplicates, chosen by hashes of ids.

Each source is split for itself, and a cluster belongs to the source of its first document. The hash
of that document's id and the seed is its place in the order by which the source is split. So
sources that are added behind the others move nothing, and a source that grows moves only clusters
next to the two borders.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.prepare import SplitSettings

PARTS = ("train", "validation", "test")
DROPPED = -1
_LARGEST = 2
"""A cluster that would overfill a part, being more than twice its share, is trained on."""
_SMALL = 4
"""Where none fits into a part, it gets one that is no more than a fourth of its source."""


@dataclass(frozen=True)
class Clusters:
    """The documents, as far as the split needs them; all arrays have one value a document.

    Attributes:
        cluster: int64: the smallest number in the document's cluster.
        kept: bool: False for those that are dropped as duplicates.
        characters: int64.
        home: int32: the document's source.
        keys: uint64: a hash of the id and the seed.
    """

    cluster: NDArray[np.int64]
    kept: NDArray[np.bool_]
    characters: NDArray[np.int64]
    home: NDArray[np.int32]
    keys: NDArray[np.uint64]


def assign_parts(found: Clusters, settings: SplitSettings) -> NDArray[np.int8]:
    """Each document's part as its number in ``PARTS``, or ``DROPPED``.

    Documents of one cluster have one part. Takes some 60 bytes of memory a document.
    """
    count = len(found.cluster)
    numbers = np.unique(found.cluster)  # of each cluster's first document
    place, home = found.keys[numbers], found.home[numbers]
    weight = found.characters if settings.by == "characters" else np.ones(count, dtype=np.int64)
    # What a cluster has in other sources is not counted: it may come later.
    own = found.kept & (found.home == found.home[found.cluster])
    sizes = np.where(own, weight, 0).astype(np.float64)
    summed: NDArray[Any] = np.bincount(found.cluster, sizes, minlength=count)
    weights = summed[numbers]
    order = np.lexsort((place, home))
    part_of = np.zeros(count, dtype=np.int8)
    borders = np.flatnonzero(np.diff(home[order])) + 1
    for members in np.split(order, borders):
        part_of[numbers[members]] = _cut(weights[members], settings)
    return np.where(found.kept, part_of[found.cluster], DROPPED).astype(np.int8)


def _cut(weights: NDArray[np.float64], settings: SplitSettings) -> NDArray[np.int8]:
    """The parts of one source's clusters, which stand in the order of their places."""
    parts = np.zeros(len(weights), dtype=np.int8)
    total = weights.sum()
    for part, share in ((2, settings.test_share), (1, settings.validation_share)):
        if share == 0:
            continue
        left = np.flatnonzero(parts == 0)
        own = weights[left]
        fitting = own <= _LARGEST * share * total
        if fitting.any():
            left, own = left[fitting], own[fitting]
            # A cluster is held out where most of it lies before the border; beside a giant, some
            # of the small ones are left for the other parts.
            most = max(1, int(len(left) * max(0.5, share)))
            chosen = left[np.cumsum(own) - own / 2 <= share * total][:most]
        else:
            chosen = left[own * _SMALL <= total][:1]
        parts[chosen] = part
    return parts
