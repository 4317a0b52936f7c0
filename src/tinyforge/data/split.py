"""Which rows are for training, for validation and for the test."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.label_cover import learn_every_label

SMALLEST = 20
"""With fewer rows than this, all are for training."""

Indices = NDArray[np.int64]


@dataclass
class Split:
    """Row numbers of each part, sorted.

    Attributes:
        dropped: rows left out because a like row stands in a later part.
        notes: for the user.
    """

    train: Indices
    validation: Indices
    test: Indices
    dropped: Indices
    notes: list[str] = field(default_factory=list)


def nowhere() -> Indices:
    """No rows."""
    return np.empty(0, dtype=np.int64)


def random_split(
    rows: Indices,
    cluster: NDArray[np.int64],
    strata: NDArray[np.int64],
    *,
    validation_share: float,
    test_share: float,
    seed: int,
    labels: Indices | None = None,
) -> Split:
    """Split at random, whole clusters at a time, each stratum in the same shares.

    Args:
        rows: the row numbers to split.
        cluster: cluster of every row of the store; a cluster stays together.
        strata: stratum of every row of the store, such as its label; all 0 where there is none.
        seed: equal seeds give equal splits.
        labels: row and label of each, shape (pairs, 2), for every label of every row of the store;
            each label that any of ``rows`` has then stands in training. None: there are none.
    """
    if len(rows) < SMALLEST:
        note = f"fewer than {SMALLEST} rows: all are for training, none are held out"
        return Split(np.sort(rows), nowhere(), nowhere(), nowhere(), [note])
    units = _units(rows, cluster, strata, np.random.Generator(np.random.PCG64([seed, 1])))
    left = units.stratum_sizes()
    side = np.zeros(len(units.size), dtype=np.int8)
    for part, share in ((2, test_share), (1, validation_share)):
        _fill(units, side, left, part, share)
    if labels is not None:
        learn_every_label(side, units.size, _unit_labels(rows, units.of_row, labels))
    of_row = side[units.of_row]
    parts = [np.sort(rows[of_row == part]) for part in (0, 1, 2)]
    notes = [
        f"no rows could be held out for {name}: too alike, or too few of each label"
        for part, share, name in ((1, validation_share, "validation"), (2, test_share, "the test"))
        if share > 0 and not len(parts[part])
    ]
    return Split(parts[0], parts[1], parts[2], nowhere(), notes)


@dataclass
class _Units:
    """Clusters as the things to deal out, in random order."""

    size: NDArray[np.int64]
    stratum: NDArray[np.int64]
    of_row: NDArray[np.int64]

    def stratum_sizes(self) -> dict[int, int]:
        strata, inverse = np.unique(self.stratum, return_inverse=True)
        sums = np.bincount(inverse, weights=self.size)
        return {int(s): int(n) for s, n in zip(strata, sums, strict=True)}


def _units(
    rows: Indices,
    cluster: NDArray[np.int64],
    strata: NDArray[np.int64],
    random: np.random.Generator,
) -> _Units:
    _, of_row = np.unique(cluster[rows], return_inverse=True)
    count = int(of_row.max()) + 1
    shuffled = random.permutation(count)
    of_row = shuffled[of_row]
    size = np.bincount(of_row, minlength=count)
    # A unit's stratum is the commonest among its rows: the last write of rows sorted by count.
    pairs, repeats = np.unique(np.stack([of_row, strata[rows]], axis=1), axis=0, return_counts=True)
    order = np.argsort(repeats, kind="stable")
    stratum = np.zeros(count, dtype=np.int64)
    stratum[pairs[order, 0]] = pairs[order, 1]
    return _Units(size, stratum, of_row)


def _unit_labels(rows: Indices, of_row: Indices, labels: Indices) -> Indices:
    """Which labels stand in which unit: shape (pairs, 2), no pair twice."""
    order = np.argsort(rows, kind="stable")
    place = np.searchsorted(rows, labels[:, 0], sorter=order)
    place = order[np.minimum(place, len(rows) - 1)]
    here = rows[place] == labels[:, 0]
    pairs = np.stack([of_row[place[here]], labels[here, 1]], axis=1)
    unique: Indices = np.unique(pairs, axis=0)
    return unique


def _fill(
    units: _Units, side: NDArray[np.int8], left: dict[int, int], part: int, share: float
) -> None:
    """Deal units to a part until it has its share, first within strata, then anywhere."""
    total = int(units.size.sum())
    target = round(share * total)
    if target <= 0:
        return
    sizes = units.stratum_sizes()
    by_stratum = np.argsort(units.stratum, kind="stable")
    bounds = np.searchsorted(units.stratum[by_stratum], sorted(sizes))
    got = 0
    carried = 0.0
    for stratum, members in zip(sorted(sizes), np.split(by_stratum, bounds[1:]), strict=True):
        wanted = share * sizes[stratum] + carried
        quota = min(int(wanted + 0.5), left[stratum] - 1, target - got)
        taken = _take(units, side, members, part, quota)
        left[stratum] -= taken
        got += taken
        carried = min(1.0, wanted - taken)
    if got < target * 0.5:  # large clusters: take whole ones that overshoot least
        order = np.argsort(units.size, kind="stable")
        for unit in order.tolist():
            size = int(units.size[unit])
            stratum = int(units.stratum[unit])
            if got >= target * 0.8 or got + size > 2 * target:
                break
            if side[unit] == 0 and left[stratum] > size:
                side[unit] = part
                left[stratum] -= size
                got += size


def _take(
    units: _Units, side: NDArray[np.int8], members: NDArray[np.int64], part: int, quota: int
) -> int:
    taken = 0
    for unit in members.tolist():
        if taken >= quota:
            break
        size = int(units.size[unit])
        if side[unit] == 0 and taken + size <= quota:
            side[unit] = part
            taken += size
    return taken


def ordered_split(
    rows: Indices,
    keys: Sequence[NDArray[np.float64]] | Sequence[NDArray[np.int64]],
    cluster: NDArray[np.int64],
    *,
    validation_share: float,
    test_share: float,
) -> Split:
    """Split by order: the last rows are the test, those before them validation.

    Rows of one cluster do not stand on two sides: the earlier side gives its rows up.

    Args:
        keys: what to sort each of ``rows`` by, the most important key last (as for lexsort).
    """
    if len(rows) < SMALLEST:
        note = f"fewer than {SMALLEST} rows: all are for training, none are held out"
        return Split(np.sort(rows), nowhere(), nowhere(), nowhere(), [note])
    ordered = rows[np.lexsort(keys)]
    tests = round(test_share * len(rows))
    validations = round(validation_share * len(rows))
    first = len(rows) - tests - validations
    parts = [ordered[:first], ordered[first : first + validations], ordered[first + validations :]]
    return without_repeats(parts[0], parts[1], parts[2], cluster)


def without_repeats(
    train: Indices, validation: Indices, test: Indices, cluster: NDArray[np.int64]
) -> Split:
    """The parts without rows whose cluster stands in a later part too (train, validation, test)."""
    in_test = np.isin(cluster[validation], cluster[test])
    held = np.concatenate([cluster[validation], cluster[test]])
    in_held = np.isin(cluster[train], held)
    dropped = np.concatenate([train[in_held], validation[in_test]])
    return Split(
        np.sort(train[~in_held]), np.sort(validation[~in_test]), np.sort(test), np.sort(dropped)
    )


def merge(splits: Iterable[Split]) -> Split:
    """Several splits as one."""
    all_splits = list(splits)
    parts = [
        np.sort(np.concatenate([getattr(split, part) for split in all_splits]))
        for part in ("train", "validation", "test", "dropped")
    ]
    notes = list(dict.fromkeys(note for split in all_splits for note in split.notes))
    return Split(parts[0], parts[1], parts[2], parts[3], notes)
