"""Seconds, loss and size of each step of a Hugging Face Trainer, at next to no cost.

A step's time runs from the end of the step before, so that fetching and padding its batch count,
as they do on TinyForge's side.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from benchmarks.speed.encoding import IGNORED
from benchmarks.speed.harness import write_json


class Clock(TrainerCallback):  # type: ignore[misc]
    """Collects one record a step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self._now: dict[str, float] = {}
        self._last = 0.0

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        """The first step's time includes what the Trainer does before it."""
        self._last = time.perf_counter()

    def learnt(self, inputs: dict[str, Any], loss: float) -> None:
        """A batch and its loss."""
        labels = inputs["labels"]
        tokens = int(inputs["attention_mask"].sum())
        if self.both_sides:
            tokens += int((labels != IGNORED).sum())
        self._now = {"loss": loss, "examples": len(labels), "tokens": tokens}

    both_sides = False
    """Whether the answer is a sequence of its own beside the input."""

    def on_step_end(self, *_: Any, **__: Any) -> None:
        """The weights are updated."""
        now = time.perf_counter()
        self.steps.append({"seconds": now - self._last, **self._now})
        self._last = now


def recorded(trainer_class: Any) -> Any:
    """The trainer class with a ``clock`` argument."""

    class Recorded(trainer_class):  # type: ignore[misc]
        def __init__(self, *args: Any, clock: Clock, **options: Any) -> None:
            self.clock = clock
            super().__init__(*args, **options)
            self.add_callback(clock)

        def training_step(self, model: Any, inputs: dict[str, Any], *args: Any, **kw: Any) -> Any:
            seen = {key: inputs[key] for key in ("input_ids", "attention_mask", "labels")}
            loss = super().training_step(model, inputs, *args, **kw)
            self.clock.learnt(seen, float(loss))
            return loss

    return Recorded


def finish(model: Any, tokenizer: Any, clock: Clock, folder: Path) -> None:
    """Save the model, adapters merged, for the end loss, and the record."""
    model = model.float()
    if hasattr(model, "merge_and_unload"):
        model = model.merge_and_unload()
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    seconds = sum(step["seconds"] for step in clock.steps)
    write_json(folder / "result.json", {"steps": clock.steps, "loop_seconds": seconds, "notes": {}})
