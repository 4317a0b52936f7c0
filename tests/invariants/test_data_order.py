"""Runs that must see the same rows: accumulated or not, bucketed or not, resumed or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinyforge.config.train import TrainSettings
from tinyforge.data.batch import training_batches
from tinyforge.data.encode import EncodedStore, encode
from tinyforge.data.store import ExampleStore
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example


class Characters:
    """An encoder-decoder task without a model: one token a character."""

    name, family, tokenizer = "text2text", "encoder-decoder", None

    def encode(self, examples: Any) -> list[Encoded]:
        def ids(text: str) -> Any:
            return np.frombuffer(text.encode("utf-32-le"), np.int32)

        return [Encoded(ids(e.input), ids(e.output or "")) for e in examples]

    def units(self, items: Any) -> int:
        return sum(len(item.labels) for item in items)

    def collate(self, items: Any) -> dict[str, Any]:
        return {"input_ids": [item.input_ids.tolist() for item in items]}


@pytest.fixture
def store(tmp_path: Path) -> EncodedStore:
    random = np.random.default_rng(0)
    examples = [Example(input="x" * int(n), output="y") for n in random.integers(1, 90, 101)]
    kept = ExampleStore.of(examples, tmp_path / "examples.bin")
    task: Any = Characters()
    return encode(kept, np.arange(101), task, work=tmp_path, name="all")


def batches(store: EncodedStore, **values: Any) -> Any:
    task: Any = Characters()
    return training_batches(store, task, TrainSettings(batch_size=8, **values), max_length=96)


def test_eight_micro_batches_of_one_are_one_of_eight(store: EncodedStore) -> None:
    many, one = batches(store, micro_batch_size=1), batches(store, micro_batch_size=8)
    for step in range(2 * one.steps_per_epoch):
        parts, (whole,) = many.step(step), one.step(step)
        assert [part.examples for part in parts] == [1] * whole.examples
        assert np.concatenate([part.rows for part in parts]).tolist() == whole.rows.tolist()
        assert sum(part.units for part in parts) == whole.units
        assert sum(part.tokens for part in parts) == whole.tokens


def test_an_epoch_has_the_same_rows_bucketed_or_not(store: EncodedStore) -> None:
    for epoch in range(3):
        seen = []
        for bucket in (True, False):
            order = batches(store, bucket=bucket)
            steps = range(epoch * order.steps_per_epoch, (epoch + 1) * order.steps_per_epoch)
            seen.append(sorted(np.concatenate([order.rows(step) for step in steps]).tolist()))
        assert seen[0] == seen[1] == list(range(101))


def test_a_resumed_run_sees_what_the_first_would_have(store: EncodedStore) -> None:
    whole = batches(store, seed=5)
    steps = 2 * whole.steps_per_epoch + 3
    through = [[part.tensors for part in whole.step(step)] for step in range(steps)]
    for start in (1, whole.steps_per_epoch - 1, whole.steps_per_epoch + 2):
        fresh = batches(store, seed=5)
        again = [[part.tensors for part in fresh.step(step)] for step in range(start, steps)]
        assert again == through[start:]
