"""Three real steps before the first one: they say what a run will cost, and are undone."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from tinyforge.train.hooks import Estimate
from tinyforge.train.loop import Training, gradients, update
from tinyforge.train.memory import peak_memory, reset_peak
from tinyforge.train.randomness import random_state, restore_random_state
from tinyforge.train.weights import Tensors

if TYPE_CHECKING:
    from tinyforge.data.batch import Batches

STEPS = 3
LOOKED_AT = 16
"""Batches, spread over an epoch, among which the largest are found."""
ENOUGH_SECONDS = 30.0
"""A model that is slower than this gets fewer steps."""


def measure(training: Training, batches: Batches, start: Callable[[], Tensors]) -> Estimate:
    """Take up to three steps on the largest of some batches, and undo them to the last bit.

    The model must be at its start: the optimizer is left empty.

    Args:
        start: reads the weights as they are now; from the disk, so that measuring takes no more
            memory than learning.
    """
    loss_scale = training.loss_scale.state()
    random, plain = random_state()
    try:
        sizes = _sizes(batches)
        largest = sorted(sizes, key=lambda index: -sizes[index])[:STEPS]
        # The largest comes last: a first step is slow for reasons of its own.
        seconds, peak = _time(training, batches, [*reversed(largest)] or [0])
    finally:
        _undo(training, start())
        training.loss_scale.restore(loss_scale)
        restore_random_state(random, plain)
    mean = sum(sizes.values()) / max(1, len(sizes))
    per_step = mean * min(seconds[index] / max(1, sizes[index]) for index in seconds)
    steps = training.total_steps - training.progress.step
    total = per_step * steps
    if training.max_seconds is not None:
        total = min(total, training.max_seconds)
    return Estimate(
        seconds_per_step=per_step,
        seconds=total,
        peak_memory=peak,
        trainable_parameters=sum(p.numel() for p in training.optimizer.parameters.values()),
        steps=steps,
    )


def _sizes(batches: Batches) -> dict[int, int]:
    """Step to its padded tokens, for some steps of the first epoch."""
    count = min(LOOKED_AT, batches.steps_per_epoch)
    found = {}
    for number in range(count):
        index = number * batches.steps_per_epoch // count
        found[index] = sum(micro_batch.padded for micro_batch in batches.step(index))
    return found


def _time(training: Training, batches: Batches, indices: list[int]) -> tuple[dict[int, float], int]:
    """Seconds of each step, and bytes at the peak of all."""
    reset_peak()
    seconds: dict[int, float] = {}
    begun = time.monotonic()
    for index in indices:
        with training.interruptible():
            started = time.monotonic()
            _, norm = gradients(training, batches.step(index))
            update(training, training.learning_rate(), norm)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[index] = time.monotonic() - started
        if time.monotonic() - begun > ENOUGH_SECONDS:
            break
    return seconds, peak_memory()


def _undo(training: Training, before: Tensors) -> None:
    training.updating = False
    training.optimizer.zero_grad()
    training.optimizer.restore({})
    training.weights.restore(before)
