"""Splits are leak-safe, stratified and repeatable."""

from __future__ import annotations

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
