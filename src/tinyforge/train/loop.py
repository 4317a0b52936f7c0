"""The loop: one optimizer step after the other. It prints nothing and touches no file."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tinyforge.config.train import TrainSettings
from tinyforge.tasks.base import Task
from tinyforge.train.hooks import StepResult
from tinyforge.train.optimizers import Optimizer, clip_factor
from tinyforge.train.precision import LossScale, Precision
from tinyforge.train.progress import Progress
from tinyforge.train.randomness import seed_torch
from tinyforge.train.recovery import examine, note_loss
from tinyforge.train.schedules import Schedule, progress_of
from tinyforge.train.weights import Weights

if TYPE_CHECKING:
    from tinyforge.data.batch import Batches, MicroBatch


@dataclass
class Training:
    """All that is alive while a model learns.

    Attributes:
        steps_per_epoch: steps in a pass over the rows.
        total_steps: steps at most.
        frozen: ``fingerprint_of_frozen`` of the model.
        speedups: those in use.
        max_seconds: training time at most; None without a limit.
        started: the monotonic clock at the time when ``progress.seconds`` was 0.
        updating: True while weights are being changed.
        interruptible: a context around work that a signal may break off.
    """

    model: Any
    task: Task
    optimizer: Optimizer
    schedule: Schedule
    precision: Precision
    loss_scale: LossScale
    settings: TrainSettings
    progress: Progress
    steps_per_epoch: int
    total_steps: int
    frozen: str
    speedups: tuple[str, ...] = ()
    max_seconds: float | None = None
    started: float = 0.0
    updating: bool = False
    interruptible: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext

    @property
    def weights(self) -> Weights:
        """What learns."""
        return self.optimizer.weights

    @property
    def over(self) -> str | None:
        """Why there is nothing more to learn; None while there is."""
        progress, patience = self.progress, self.settings.early_stopping
        if progress.step >= self.total_steps:
            return "done"
        if patience and progress.stale >= patience:
            return "early_stopping"
        if self.max_seconds is not None and progress.seconds >= self.max_seconds:
            return "max_minutes"
        return None

    @property
    def epoch(self) -> float:
        """Passes over the rows so far."""
        return self.progress.step / self.steps_per_epoch

    def tick(self) -> None:
        """Read the clock."""
        self.progress.seconds = time.monotonic() - self.started

    def learning_rate(self) -> float:
        """For the next update."""
        done = progress_of(
            self.progress.step, self.total_steps, self.progress.seconds, self.max_seconds
        )
        share = self.schedule.share(done, 1 / self.total_steps)
        return (self.settings.learning_rate or 0.0) * share * self.progress.lr_scale


def steps(training: Training, batches: Batches) -> Iterator[StepResult]:
    """Learn, one optimizer step at a time, until the plan or the time is at its end.

    Raises:
        Trouble: a step cannot be learnt from; its update was not made.
    """
    while training.over is None:
        started = time.monotonic()
        with training.interruptible(), _buffers_kept(training.weights):
            micro_batches = batches.step(training.progress.step)
            loss, norm = gradients(training, micro_batches)
        examples = sum(micro_batch.examples for micro_batch in micro_batches)
        examine(
            training.progress, loss, norm,
            examples=examples, spike_factor=training.settings.spike_factor,
        )  # fmt: skip
        lr = training.learning_rate()
        update(training, lr, norm)
        note_loss(training.progress, loss)
        training.progress.step += 1
        training.progress.examples += examples
        training.progress.tokens += sum(micro_batch.tokens for micro_batch in micro_batches)
        training.tick()
        yield StepResult(
            step=training.progress.step,
            epoch=training.epoch,
            loss=loss,
            lr=lr,
            grad_norm=norm,
            examples=examples,
            tokens=sum(micro_batch.tokens for micro_batch in micro_batches),
            units=sum(micro_batch.units for micro_batch in micro_batches),
            seconds=time.monotonic() - started,
        )


def gradients(training: Training, micro_batches: Sequence[MicroBatch]) -> tuple[float, float]:
    """Mean loss of a batch and norm of its gradient, which is left in the weights.

    Each micro-batch's loss is a sum; all are divided by the units of the whole batch, so that
    eight micro-batches of one row give what one of eight rows gives.
    """
    settings, progress = training.settings, training.progress
    if not training.model.training:
        training.model.train()
    device = next(training.model.parameters()).device
    units = max(1, sum(micro_batch.units for micro_batch in micro_batches))
    while True:
        training.optimizer.zero_grad()
        loss = 0.0
        for number, micro_batch in enumerate(micro_batches):
            seed_torch(settings.seed, progress.step, number)
            with training.precision.forward():
                total = training.task.loss(
                    training.model,
                    _on(device, micro_batch.tensors),
                    label_smoothing=settings.label_smoothing,
                )
            share = total / units
            torch.autograd.backward(share * training.loss_scale.scale)
            loss += float(share.detach())
            if len(micro_batches) > 1:
                training.optimizer.add_up()
        training.loss_scale.unscale(list(training.optimizer.parameters.values()))
        norm = training.optimizer.norm()
        if math.isfinite(norm) or not training.loss_scale.overflowed():
            return loss, norm


def update(training: Training, lr: float, norm: float) -> None:
    """Change the weights by the gradients in them, clipped, and drop the gradients."""
    training.updating = True
    training.optimizer.step(lr, clip_factor(norm, training.settings.clip_norm))
    training.updating = False
    training.optimizer.zero_grad()
    training.loss_scale.went_well()


@contextlib.contextmanager
def _buffers_kept(weights: Weights) -> Iterator[None]:
    """Undo what a step that is broken off has done to buffers, such as running means."""
    before = {name: buffer.clone() for name, buffer in weights.buffers().items()}
    try:
        yield
    except BaseException:
        for name, buffer in weights.buffers().items():
            buffer.copy_(before[name])
        raise


def _on(device: torch.device, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in tensors.items()}
