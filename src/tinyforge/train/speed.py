"""How fast a model learns here, in a few real steps."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import torch

from tinyforge.config.train import TrainSettings
from tinyforge.tasks.base import Task
from tinyforge.train.fit import _begin
from tinyforge.train.loop import gradients, update

if TYPE_CHECKING:
    from tinyforge.data.batch import Batches


def tokens_per_second(
    model: Any,
    task: Task,
    batches: Batches,
    settings: TrainSettings,
    *,
    seconds: float,
) -> float:
    """Tokens learnt from in a second, in steps as ``fit`` does them.

    One step more is done first and not counted: it pays for what is made on first use. The model
    is changed; give one that is thrown away.

    Args:
        seconds: spent on the steps that are counted, about; at least one is.
    """
    with contextlib.ExitStack() as undo:
        training = _begin(model, task, batches, settings, undo)
        _step(training, batches, 0)
        tokens, index, started = 0, 0, time.monotonic()
        while not index or time.monotonic() - started < seconds:
            index += 1
            tokens += _step(training, batches, index)
        return tokens / max(1e-9, time.monotonic() - started)


def _step(training: Any, batches: Batches, index: int) -> int:
    micro_batches = batches.step(index)
    _, norm = gradients(training, micro_batches)
    update(training, training.settings.learning_rate or 0.0, norm)
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return sum(micro_batch.tokens for micro_batch in micro_batches)
