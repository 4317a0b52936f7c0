"""Batches: every row once an epoch, within the limits, in an order that only seed and step fix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.config.train import TrainSettings
from tinyforge.data.batch import evaluation_batches, training_batches
from tinyforge.data.pack import pack
from tinyforge.errors import SettingError

QUIET = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
LENGTHS = [int(n) for n in np.random.default_rng(0).integers(1, 60, 203)]


@QUIET
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60),
    size=st.integers(1, 16),
    seed=st.integers(0, 9),
    bucket=st.booleans(),
    packed=st.booleans(),
    micro=st.none() | st.integers(1, 8),
    tokens=st.none() | st.integers(1, 200),
)
def test_each_row_once_in_every_epoch(
    fake_task: Any,
    encoded_store: Any,
    lengths: list[int],
    size: int,
    seed: int,
    bucket: bool,
    packed: bool,
    micro: int | None,
    tokens: int | None,
) -> None:
    task = fake_task(family="decoder")
    store = encoded_store(lengths, task)
    chosen = TrainSettings(
        batch_size=size, seed=seed, bucket=bucket, pack=packed,
        micro_batch_size=micro, micro_batch_tokens=tokens,
    )  # fmt: skip
    batches = training_batches(store, task, chosen, max_length=64)
    for epoch in range(2):
        rows: list[int] = []
        for position in range(batches.steps_per_epoch):
            step = epoch * batches.steps_per_epoch + position
            parts = batches.step(step)
            together = np.concatenate([part.rows for part in parts]).tolist()
            assert together == batches.rows(step).tolist()
            rows += together
            for part in parts:
                sequences = len(part.tensors["input_ids"])
                assert micro is None or sequences <= micro
                assert tokens is None or part.padded <= tokens or sequences == 1
                assert part.examples == len(part.rows)
                assert part.tokens <= part.padded
                assert part.units == part.examples * 3
        assert sorted(rows) == list(range(len(lengths)))


def rows_of(batches: Any, steps: Sequence[int]) -> list[list[int]]:
    return [batches.rows(step).tolist() for step in steps]


def test_steps_can_be_taken_in_any_order(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store(LENGTHS, task)
    chosen = TrainSettings(batch_size=8, seed=3)
    first = training_batches(store, task, chosen, max_length=64)
    second = training_batches(store, task, chosen, max_length=64)
    steps = list(range(3 * first.steps_per_epoch))
    assert rows_of(first, steps) == rows_of(second, steps[::-1])[::-1]
    other = training_batches(store, task, TrainSettings(batch_size=8, seed=4), max_length=64)
    assert rows_of(first, steps[:5]) != rows_of(other, steps[:5])
    per_epoch = first.steps_per_epoch
    assert rows_of(first, range(per_epoch)) != rows_of(first, range(per_epoch, 2 * per_epoch))
    assert [len(rows) for rows in rows_of(first, range(per_epoch))].count(8) == per_epoch - 1


def test_like_lengths_meet_in_a_batch(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store(LENGTHS, task)
    waste = {}
    for bucket in (True, False):
        chosen = TrainSettings(batch_size=8, bucket=bucket)
        batches = training_batches(store, task, chosen, max_length=64)
        parts = [p for s in range(batches.steps_per_epoch) for p in batches.step(s)]
        waste[bucket] = sum(p.padded for p in parts) / sum(p.tokens for p in parts)
    assert waste[True] < 1.15 < waste[False]


def test_halved_keeps_the_batches(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store(LENGTHS, task)
    batches = training_batches(store, task, TrainSettings(batch_size=16), max_length=64)
    smaller = batches
    sizes = []
    while smaller.can_halve:
        smaller = smaller.halved()
        sizes.append(max(part.examples for s in range(5) for part in smaller.step(s)))
        assert rows_of(smaller, range(20)) == rows_of(batches, range(20))
    assert sizes == [8, 4, 2, 1]


def test_packing_needs_a_task_that_can(
    fake_task: Any, encoded_store: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = fake_task()
    store = encoded_store([3, 4], task)
    monkeypatch.delattr(type(task), "collate_packed")
    with pytest.raises(SettingError, match=r"train\.pack"):
        training_batches(store, task, TrainSettings(pack=True), max_length=8)


def test_language_models_are_packed_by_default(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task("language-model", "decoder")
    store = encoded_store([5] * 40, task)
    batches = training_batches(store, task, TrainSettings(batch_size=2), max_length=32)
    facts = batches.describe()
    assert facts["packed"] is True
    assert facts["sequences"] == 10
    assert batches.steps_per_epoch == 5


@given(st.lists(st.integers(0, 40), max_size=200), st.integers(10, 40), st.integers(0, 3))
def test_bins_hold_every_row_once_and_are_not_too_full(
    lengths: list[int], size: int, seed: int
) -> None:
    bins = pack(np.array(lengths, dtype=np.int32), size, seed=seed)
    rows = [int(row) for members in bins for row in members]
    assert sorted(rows) == list(range(len(lengths)))
    for members in bins:
        assert len(members) == 1 or sum(lengths[i] for i in members) <= size
    again = pack(np.array(lengths, dtype=np.int32), size, seed=seed)
    assert [b.tolist() for b in bins] == [b.tolist() for b in again]


def test_bins_are_nearly_full() -> None:
    lengths = np.random.default_rng(0).integers(5, 100, 5000)
    bins = pack(lengths, 256)
    assert len(bins) <= 1.02 * lengths.sum() / 256 + 1


def test_evaluation_takes_all_rows_in_a_fixed_order(fake_task: Any, encoded_store: Any) -> None:
    task = fake_task()
    store = encoded_store(LENGTHS, task)
    first = list(evaluation_batches(store, task, micro_batch_tokens=128))
    second = list(evaluation_batches(store, task, micro_batch_tokens=128))
    assert [b.rows.tolist() for b in first] == [b.rows.tolist() for b in second]
    assert sorted(np.concatenate([b.rows for b in first]).tolist()) == list(range(len(LENGTHS)))
    assert all(b.padded <= 128 or b.examples == 1 for b in first)
