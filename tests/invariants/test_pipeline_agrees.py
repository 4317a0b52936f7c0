"""Bucketing, packing and accumulation change how rows are put together, not what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from task_models import gpt_tokenizer, language_model

from tinyforge.config.settings import Settings
from tinyforge.config.train import TrainSettings
from tinyforge.data.batch import training_batches
from tinyforge.data.encode import EncodedStore, encode
from tinyforge.data.store import ExampleStore
from tinyforge.records.examples import Example
from tinyforge.tasks import build_task

WORDS = ["the", "cat", "sat", "on", "mat", "and", "dog", "lay", "by", "door", "how", "are", "you"]
LENGTH = 48


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, EncodedStore]:
    """A tiny Llama, the raw-text task and 60 documents of many lengths, encoded."""
    work = tmp_path_factory.mktemp("agrees")
    model = language_model("llama").eval()
    task: Any = build_task(
        "language-model", tokenizer=gpt_tokenizer(), config=model.config, settings=Settings()
    )
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, random.integers(1, 60))) for _ in range(60)]
    store = ExampleStore.of([Example(output=text) for text in texts], work / "rows.bin")
    whole = encode(store, np.arange(len(texts)), task, work=work, name="rows")
    return model, task, whole.limit(task, LENGTH, LENGTH)


def epoch(world: tuple[Any, Any, EncodedStore], **values: Any) -> tuple[float, torch.Tensor, int]:
    """Mean loss of a pass over all rows, the gradient of its sum, and how many steps it takes."""
    model, task, store = world
    settings = TrainSettings(batch_size=4, **values)
    batches = training_batches(store, task, settings, max_length=LENGTH)
    model.zero_grad()
    total, units = 0.0, 0
    for step in range(batches.steps_per_epoch):
        for part in batches.step(step):
            loss = task.loss(model, part.tensors)
            loss.backward()
            total += float(loss.detach())
            units += part.units
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    return total / units, gradient, batches.steps_per_epoch


@pytest.mark.parametrize(
    "how",
    [
        {"pack": False, "bucket": False},
        {"pack": True},
        {"pack": False, "micro_batch_size": 1},
        {"pack": True, "micro_batch_size": 1},
    ],
    ids=["not bucketed", "packed", "accumulated", "packed and accumulated"],
)
def test_a_pass_over_the_rows_costs_the_same(world: Any, how: dict[str, Any]) -> None:
    loss, gradient, _ = epoch(world, pack=False, bucket=True)
    other, found, _ = epoch(world, **how)
    assert other == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(found, gradient, rtol=1e-3, atol=1e-4 * float(gradient.abs().max()))


def test_packing_takes_fewer_steps(world: Any) -> None:
    assert epoch(world, pack=True)[2] < epoch(world, pack=False)[2]
