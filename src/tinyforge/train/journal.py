"""``metrics.jsonl`` and ``timings.jsonl``: what happened, one JSON line each.

Metrics hold nothing that a clock said: a run that was interrupted and resumed leaves the same
bytes as one that was left alone. Timings hold the rest.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import orjson

from tinyforge.artifacts.files import disk_errors
from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.train.hooks import Event, Listener, StepResult, Validation

log = logging.getLogger("tinyforge")

OF_THIS_PROCESS = ("resumed", "stopped", "note")
"""Events that an uninterrupted run would not have."""

POINTS = 500
"""Training losses in a history, at most."""


class Journal(Listener):
    """Writes both files.

    Args:
        folder: the run's folder.
        length: bytes of ``metrics.jsonl`` that are of this run; what a killed run wrote after its
            last checkpoint is cut off.
    """

    def __init__(self, folder: RunFolder, length: int) -> None:
        with disk_errors(folder.metrics):
            folder.meta.mkdir(parents=True, exist_ok=True)
            self._metrics = folder.metrics.open("ab")
            self._timings = folder.timings.open("ab" if length else "wb")
            if self._metrics.tell() < length:
                log.warning(f"{folder.metrics}: lines of the steps before the resume are missing")
            else:
                self._metrics.truncate(length)
        self._where = folder.metrics

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._metrics.close()
        self._timings.close()

    def sync(self) -> int:
        """Make the metrics durable; returns their length in bytes."""
        with disk_errors(self._where):
            self._metrics.flush()
            os.fsync(self._metrics.fileno())
        return self._metrics.seek(0, os.SEEK_END)

    def on_step(self, result: StepResult) -> None:
        """One line in each file."""
        self._write(
            self._metrics,
            {
                "step": result.step, "epoch": result.epoch, "loss": result.loss, "lr": result.lr,
                "grad_norm": result.grad_norm, "examples": result.examples,
                "tokens": result.tokens,
            },
        )  # fmt: skip
        rate = 1 / max(result.seconds, 1e-9)
        self._write(
            self._timings,
            {
                "step": result.step, "seconds": round(result.seconds, 6),
                "examples_per_second": round(result.examples * rate, 3),
                "tokens_per_second": round(result.tokens * rate, 3),
            },
        )  # fmt: skip

    def on_validation(self, validation: Validation) -> None:
        """One line."""
        record = {
            "step": validation.step, "epoch": validation.epoch,
            "validation": dict(validation.values), "best": validation.best,
        }  # fmt: skip
        texts = {"texts": dict(validation.texts)} if validation.texts else {}
        self._write(self._metrics, record | texts)

    def on_event(self, event: Event) -> None:
        """One line, unless the event is about this process and not about the training."""
        if event.kind not in OF_THIS_PROCESS:
            record = {"step": event.step, "event": event.kind, "message": event.message}
            self._write(self._metrics, record)

    def _write(self, file: Any, record: Mapping[str, Any]) -> None:
        with disk_errors(self._where):
            file.write(orjson.dumps(record, option=orjson.OPT_SERIALIZE_NUMPY) + b"\n")
            file.flush()


def history(metrics: Path) -> dict[str, list[dict[str, Any]]]:
    """The curves in a ``metrics.jsonl``: ``{"train": [...], "validation": [...]}``.

    Steps that a recovery undid are left out. Above ``POINTS`` steps, each training point is the
    mean over a window, at the window's last step.
    """
    losses: dict[int, float] = {}
    validations: dict[int, dict[str, Any]] = {}
    with metrics.open("rb") as file:
        for line in file:
            try:
                record = orjson.loads(line)
                step = record["step"]
            except (orjson.JSONDecodeError, KeyError, TypeError):
                continue  # someone has edited the file
            if "validation" in record:
                validations[step] = {"step": step, **record["validation"]}
            elif record.get("loss") is not None:
                losses[step] = record["loss"]
    ordered = sorted(losses.items())
    size = -(-len(ordered) // POINTS) or 1
    windows = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    train = [
        {"step": window[-1][0], "loss": sum(loss for _, loss in window) / len(window)}
        for window in windows
    ]
    return {"train": train, "validation": [validations[step] for step in sorted(validations)]}
