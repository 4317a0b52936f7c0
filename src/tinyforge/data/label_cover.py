"""Clusters moved between the parts of a split, so that every label has rows to learn from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def learn_every_label(side: NDArray[np.int8], size: Ints, pairs: Ints) -> None:
    """Bring back to training what some label has no training row without.

    Of the clusters that a label stands in, the one goes back whose part loses the fewest labels by
    it (the test counts double), of several the smallest. The part gets others in its place, first
    those with labels that it lacks, and only clusters whose labels training keeps.

    Args:
        side: each cluster's part, 0 for training, 1 for validation, 2 for the test; changed here.
        size: each cluster's rows.
        pairs: cluster and label of each, shape (pairs, 2), no pair twice.
    """
    if not len(pairs):
        return
    parts = _Parts(side, size, pairs)
    moved = {1: 0, 2: 0}
    for label in np.flatnonzero(parts.clusters[0] == 0).tolist():
        homes = parts.homes(label)
        if parts.clusters[0, label] or not len(homes):
            continue  # another label has brought it, or no row here has it
        back = min(homes.tolist(), key=lambda cluster: (parts.loss(cluster), size[cluster]))
        moved[int(side[back])] += int(size[back])
        parts.move(back, 0)
    for part in (2, 1):
        parts.refill(part, moved[part])


class _Parts:
    """The parts, and how many clusters with each label they have.

    Attributes:
        clusters: int64, shape (3, labels).
    """

    def __init__(self, side: NDArray[np.int8], size: Ints, pairs: Ints) -> None:
        self._side, self._size = side, size
        self._by_cluster = pairs[np.argsort(pairs[:, 0], kind="stable")]
        self._by_label = pairs[np.argsort(pairs[:, 1], kind="stable")]
        self.clusters = np.zeros((3, int(pairs[:, 1].max()) + 1), dtype=np.int64)
        np.add.at(self.clusters, (side[pairs[:, 0]], pairs[:, 1]), 1)

    def homes(self, label: int) -> Ints:
        """The clusters with a label."""
        low, high = np.searchsorted(self._by_label[:, 1], (label, label + 1))
        return self._by_label[low:high, 0]

    def labels(self, cluster: int) -> Ints:
        """The labels of a cluster."""
        low, high = np.searchsorted(self._by_cluster[:, 0], (cluster, cluster + 1))
        return self._by_cluster[low:high, 1]

    def loss(self, cluster: int) -> int:
        """How many labels its part would lose with a cluster; the test's count double."""
        part = int(self._side[cluster])
        return part * int((self.clusters[part, self.labels(cluster)] == 1).sum())

    def move(self, cluster: int, part: int) -> None:
        """Put a cluster into another part."""
        labels = self.labels(cluster)
        self.clusters[self._side[cluster], labels] -= 1
        self.clusters[part, labels] += 1
        self._side[cluster] = part

    def refill(self, part: int, rows: int) -> None:
        """Move clusters of so many rows, at most, from training to a part."""
        fitting = np.flatnonzero((self._side == 0) & (self._size <= rows))
        lacking = self.clusters[part, self._by_cluster[:, 1]] == 0
        wanted = np.zeros(len(self._side), dtype=bool)
        wanted[self._by_cluster[lacking, 0]] = True
        for cluster in fitting[np.argsort(~wanted[fitting], kind="stable")].tolist():
            own = int(self._size[cluster])
            if own <= rows and (self.clusters[0, self.labels(cluster)] > 1).all():
                self.move(cluster, part)
                rows -= own
            if not rows:
                return
