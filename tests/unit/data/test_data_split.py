"""Splits are leak-safe, stratified and repeatable."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.data.split import Split, merge, ordered_split, random_split

SHARES = {"validation_share": 0.1, "test_share": 0.1}


def all_rows(split: Split) -> list[int]:
    parts = [split.train, split.validation, split.test, split.dropped]
    return sorted(np.concatenate(parts).tolist())


@settings(deadline=None)
@given(
    st.integers(1, 400),
    st.integers(1, 60),
    st.integers(1, 12),
    st.integers(0, 5),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
)
def test_every_row_once_and_clusters_whole(
    rows: int, clusters: int, labels: int, seed: int, validation: float, test: float
) -> None:
    random = np.random.default_rng(seed)
    cluster = random.integers(0, clusters, rows)
    strata = random.integers(0, labels, rows)
    split = random_split(
        np.arange(rows), cluster, strata, validation_share=validation, test_share=test, seed=seed
    )
    assert all_rows(split) == list(range(rows))
    parts = [set(cluster[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert len(split.train)


def test_stratified_and_repeatable() -> None:
    rows = np.arange(2000)
    strata = np.repeat([0, 1, 2], [1600, 300, 100])
    splits = [random_split(rows, rows, strata, seed=seed, **SHARES) for seed in (3, 3, 4)]
    for split in splits:
        assert np.bincount(strata[split.test]).tolist() == [160, 30, 10]
        assert np.bincount(strata[split.validation]).tolist() == [160, 30, 10]
    assert splits[0].test.tolist() == splits[1].test.tolist() != splits[2].test.tolist()


def test_many_small_classes_share_the_held_out_rows() -> None:
    rows = np.arange(77 * 4)
    strata = rows // 4
    split = random_split(rows, rows, strata, seed=0, **SHARES)
    assert abs(len(split.test) - 31) <= 2
    assert abs(len(split.validation) - 31) <= 2
    assert set(strata[split.train].tolist()) == set(range(77))


def test_single_rows_of_a_class_are_for_training() -> None:
    rows = np.arange(60)
    split = random_split(rows, rows, rows, seed=0, **SHARES)
    assert len(split.train) == 60
    assert any("held out" in note for note in split.notes)


def test_few_rows_are_all_for_training() -> None:
    split = random_split(np.arange(19), np.arange(19), np.zeros(19, int), seed=0, **SHARES)
    assert len(split.train) == 19
    assert "fewer than 20" in split.notes[0]


def test_large_clusters_still_leave_held_out_rows() -> None:
    rows = np.arange(200)
    split = random_split(rows, rows // 25, np.zeros(200, int), seed=0, **SHARES)
    assert len(split.test) == len(split.validation) == 25


def test_by_order_and_without_repeats() -> None:
    rows = np.arange(100)
    times = np.roll(np.arange(100.0), 30)
    cluster = rows.copy()
    newest = int(np.argmax(times))
    oldest = int(np.argmin(times))
    cluster[oldest] = cluster[newest]
    split = ordered_split(rows, [times], cluster, **SHARES)
    assert times[split.test].min() > times[split.validation].max() > times[split.train].max()
    assert split.dropped.tolist() == [oldest]
    assert len(split.test) == len(split.validation) == 10
    both = merge([split, split])
    assert len(both.test) == 20


@settings(deadline=None)
@given(
    st.integers(20, 300),
    st.integers(2, 40),
    st.integers(1, 30),
    st.integers(0, 3),
    st.floats(0, 0.4),
    st.floats(0, 0.4),
)
def test_every_label_is_learnt(
    rows: int, clusters: int, labels: int, seed: int, validation: float, test: float
) -> None:
    """Rows with no label, one or several, and clusters that follow no label."""
    random = np.random.default_rng(seed)
    cluster = random.integers(0, clusters, rows)
    pairs = np.unique(random.integers(0, (rows, labels), (rows, 2)), axis=0)
    strata = np.full(rows, labels)
    strata[pairs[:, 0]] = pairs[:, 1]
    some = np.flatnonzero(random.random(rows) < 0.9)
    shares = {"validation_share": validation, "test_share": test}
    split = random_split(some, cluster, strata, labels=pairs, seed=seed, **shares)
    assert all_rows(split) == some.tolist()
    parts = [set(cluster[part].tolist()) for part in (split.train, split.validation, split.test)]
    assert sum(map(len, parts)) == len(set.union(*parts))
    known = set(pairs[np.isin(pairs[:, 0], some), 1].tolist())
    assert set(pairs[np.isin(pairs[:, 0], split.train), 1].tolist()) == known


def test_a_label_that_stands_beside_others_only_is_on_both_sides() -> None:
    """Clusters of nine common rows; in two of them is one row of a rare label."""
    rows = np.arange(270)
    labels = np.zeros(270, dtype=np.int64)
    labels[[4, 260]] = 1
    pairs = np.stack([rows, labels], axis=1)
    left_to_others = 0
    for seed in range(300):
        given: dict[str, Any] = {"seed": seed, **SHARES}
        before = random_split(rows, rows // 9, labels, **given)
        after = random_split(rows, rows // 9, labels, labels=pairs, **given)
        assert labels[after.train].any()
        if labels[before.train].any():
            assert after.test.tolist() == before.test.tolist()
            continue
        left_to_others += 1
        assert labels[after.test].any() or labels[after.validation].any()
        assert len(after.test) == len(before.test)
        assert len(after.validation) == len(before.validation)
        if labels[before.test].sum() == 1:  # the other one was for validation: it goes back
            assert labels[after.test].any()
    assert left_to_others > 3
