"""Three steps are measured and leave no trace."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_fakes import (
    Recorder,
    TinyBatches,
    TinyTask,
    begun,
    digest,
    train,
)

from tinyforge.train.loop import Training
from tinyforge.train.preflight import measure
from tinyforge.train.weights import Tensors


@pytest.mark.parametrize("optimizer", ["adamw", "muon", "sgd"])
def test_the_result_is_the_same_with_and_without(tmp_path: Path, optimizer: str) -> None:
    listener = Recorder()
    one, _ = train(tmp_path / "a", preflight=True, listener=listener, optimizer=optimizer)
    other, outcome = train(tmp_path / "b", preflight=False, optimizer=optimizer)
    assert digest(one) == digest(other)
    metrics = [(tmp_path / n / "tinyforge" / "metrics.jsonl").read_bytes() for n in "ab"]
    assert metrics[0] == metrics[1]
    assert len(listener.estimates) == 1
    assert outcome.estimate is None


def kept(training: Training) -> Callable[[], Tensors]:
    """What stands for the checkpoint of the start."""
    weights = {name: tensor.clone() for name, tensor in training.weights.learnt().items()}
    return lambda: weights


def test_nothing_is_left_behind() -> None:
    task = TinyTask()
    with begun(task=task) as training:
        before = digest(training.model)
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        draws = (float(torch.rand(())), np.random.rand(), random.random())
        torch.manual_seed(5)
        np.random.seed(5)
        random.seed(5)
        estimate = measure(training, TinyBatches(), kept(training))
        assert (float(torch.rand(())), np.random.rand(), random.random()) == draws
        assert digest(training.model) == before
        assert training.optimizer.tensors() == {}
        assert all(weight.grad is None for weight in training.model.parameters())
        assert training.progress.step == 0
        assert task.calls == 3 * 2
        assert estimate.steps == 32
        assert estimate.trainable_parameters == sum(p.numel() for p in training.model.parameters())
        assert estimate.seconds == pytest.approx(32 * estimate.seconds_per_step)
        assert estimate.peak_memory > 0


def test_an_error_leaves_nothing_behind_either() -> None:
    def fault(call: int, ids: Any) -> None:
        if call == 4:
            raise ValueError("broken")

    with begun(task=TinyTask(fault)) as training:
        before = digest(training.model)
        with pytest.raises(ValueError, match="broken"):
            measure(training, TinyBatches(), kept(training))
        assert digest(training.model) == before


def test_time_is_never_more_than_allowed() -> None:
    with begun(epochs=1e7, max_minutes=2) as training:
        assert measure(training, TinyBatches(), kept(training)).seconds == 120


def test_no_measuring_on_resume(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        train(tmp_path, listener=Recorder(raise_at=10), checkpoint_every=5)
    listener = Recorder()
    train(tmp_path, resume=True, preflight=True, listener=listener, checkpoint_every=5)
    assert listener.estimates == []


def test_too_little_memory_is_found_before_the_first_step(tmp_path: Path) -> None:
    def fault(call: int, ids: Any) -> None:
        if len(ids) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")

    listener = Recorder()
    _, outcome = train(tmp_path, task=TinyTask(fault), preflight=True, listener=listener)
    assert outcome.steps == 32
    assert [event.kind for event in listener.events] == ["out of memory"]
    assert len(listener.estimates) == 1
