"""Trouble in training: how it is seen. ``keeper`` goes back, ``fit`` decides."""

from __future__ import annotations

import math
from typing import Literal

import torch

from tinyforge.errors import ConditionError
from tinyforge.train.progress import Progress

MOST_RETURNS = 3
WATCHED_FROM = 20
"""Losses that are seen before one can count as a spike."""
MEMORY_OF_MEAN = 0.98
"""Share of the running mean that a new loss leaves."""
WORST_ROW = 16.0
"""Loss, in nats, of a row of which a model is sure and wrong: a probability of one in ten million.
A single row like that, in a batch however small, is no spike."""


class Trouble(Exception):  # noqa: N818 - it is handled, not reported
    """A step whose loss or gradient cannot be learnt from. No weight has been changed by it."""

    def __init__(self, kind: Literal["not finite", "spike"], step: int, message: str) -> None:
        self.kind, self.step, self.message = kind, step, message
        super().__init__(message)


class Diverged(ConditionError):  # noqa: N818 - it is what happened
    """Training could not be kept on its way."""


def examine(
    progress: Progress, loss: float, norm: float, *, examples: int, spike_factor: float
) -> None:
    """Look at a step before its update.

    A spike is a loss above ``spike_factor`` times the running mean. It also has to be above what
    the model had at its start by more than one odd row can explain: late in training the mean is
    near 0, and a batch with one mislabelled row would be many times it.

    Raises:
        Trouble: loss or gradient is not finite, or the loss is a spike, unless the same step has
            been a spike before (its rows are the reason then, and clipping bounds what they do).
    """
    step = progress.step + 1
    if not math.isfinite(loss):
        raise Trouble("not finite", step, f"the loss of step {step} is {loss}")
    if not math.isfinite(norm):
        raise Trouble("not finite", step, f"the gradient of step {step} is not finite")
    if progress.losses < WATCHED_FROM or progress.mean_loss is None or step in progress.forgiven:
        return
    floor = (progress.first_loss or 0.0) + WORST_ROW / max(1, examples)
    if loss > max(spike_factor * progress.mean_loss, floor):
        raise Trouble(
            "spike", step,
            f"the loss of step {step} is {loss:.3g}, its running mean {progress.mean_loss:.3g}",
        )  # fmt: skip


def note_loss(progress: Progress, loss: float) -> None:
    """Take a good loss into the running mean."""
    count = progress.losses
    if count < WATCHED_FROM:
        mean = ((progress.mean_loss or 0.0) * count + loss) / (count + 1)
        progress.mean_loss = mean
        # The largest: batches of like length may hold one label each, and swing far around a mean.
        progress.first_loss = max(progress.first_loss or 0.0, loss)
    else:
        mean = progress.mean_loss or 0.0
        progress.mean_loss = MEMORY_OF_MEAN * mean + (1 - MEMORY_OF_MEAN) * loss
    progress.losses = count + 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the CPU or the GPU has no memory left."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "can't allocate memory" in text
        or "out of memory" in text
        or "CUBLAS_STATUS_ALLOC_FAILED" in text
    )
