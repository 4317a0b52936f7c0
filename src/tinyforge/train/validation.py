"""Validation while training runs: when, what is better, and when to give up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from tinyforge.errors import SettingError, TinyForgeError
from tinyforge.registry import suggest
from tinyforge.train.hooks import Validation
from tinyforge.train.loop import Training
from tinyforge.train.randomness import seed_torch
from tinyforge.train.recovery import is_out_of_memory

Evaluate = Callable[[Any], Mapping[str, float | str]]
"""A model's values by name; what is a text is shown and kept, and judged by nobody."""

FAR_FROM_ANY_MICRO_BATCH = 2**31
"""In the place of a micro-batch's number, so that no dropout mask meets these random numbers."""


@dataclass(frozen=True)
class Validator:
    """Scores the validation rows on a schedule.

    Attributes:
        evaluate: gives the model's values, among them ``best_by``.
        best_by: ``loss`` (lower is better) or a metric (higher is better).
        every: steps between validations.
    """

    evaluate: Evaluate
    best_by: str
    every: int

    def due(self, training: Training) -> bool:
        """Whether the model as it is now should be scored, and has not been."""
        progress = training.progress
        on_schedule = progress.step > 0 and progress.step % self.every == 0
        return progress.validated != progress.step and (on_schedule or training.over is not None)

    def run(self, training: Training) -> Validation:
        """Score the model and note whether it is the best so far.

        Raises:
            SettingError: the values lack ``best_by``.
            TinyForgeError: there is not enough memory for it.
        """
        values, texts = self._values(training)
        progress = training.progress
        value = values[self.best_by]
        best = self._better(value, progress.best_value)
        # Accuracy moves in jumps; while the loss still falls, the model still learns.
        loss = values.get("loss", math.inf)
        falling = loss < (math.inf if progress.lowest_loss is None else progress.lowest_loss)
        if falling:
            progress.lowest_loss = loss
        progress.stale = 0 if best or falling else progress.stale + 1
        if best:
            progress.best_step, progress.best_value = progress.step, value
        progress.validated = progress.step
        training.tick()
        return Validation(progress.step, training.epoch, values, best, texts)

    def _values(self, training: Training) -> tuple[dict[str, float], dict[str, str]]:
        seed_torch(training.settings.seed, training.progress.step, FAR_FROM_ANY_MICRO_BATCH)
        training.model.eval()
        try:
            with training.interruptible(), torch.no_grad():
                found = self.evaluate(training.model)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise TinyForgeError(
                "there is not enough memory to score the validation rows",
                fix="Lower data.max_length, or use a smaller model",
            ) from error
        finally:
            training.model.train()
        texts = {name: value for name, value in found.items() if isinstance(value, str)}
        values = {name: float(value) for name, value in found.items() if name not in texts}
        if self.best_by not in values:
            raise SettingError(
                "there is no such validation value", where="train.best_by", value=self.best_by,
                fix=suggest(self.best_by, values),
            )  # fmt: skip
        return values, texts

    def _better(self, value: float, best: float | None) -> bool:
        if math.isnan(value):
            return False
        if best is None:
            return True
        return value < best if self.best_by == "loss" else value > best
