"""What training looks at between its steps: the loss on unseen rows, and for labels the F1."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch

from tinyforge.inference.modes import answering, on_device

Precision = AbstractContextManager[Any]
"""What the forward passes run in, for example ``torch.autocast("cpu", torch.bfloat16)``."""


class Batch(Protocol):
    """A micro-batch.

    Attributes:
        tensors: what the task's ``loss`` takes.
        units: label tokens, or examples, that the loss is summed over.
    """

    tensors: dict[str, torch.Tensor]
    units: int


def loss_validation(
    model: Any, task: Any, batches: Iterable[Batch], *, precision: Precision | None = None
) -> dict[str, float]:
    """``loss``: the mean over all units of all batches, in nats."""
    total, units = 0.0, 0
    device = next(model.parameters()).device
    with answering(model), precision or nullcontext():
        for batch in batches:
            total += float(task.loss(model, on_device(batch.tensors, device)))
            units += batch.units
    return {"loss": total / max(1, units)}


def classification_validation(
    model: Any, task: Any, batches: Iterable[Batch], *, precision: Precision | None = None
) -> dict[str, float]:
    """``loss``, ``accuracy`` and an F1, from one forward pass for each batch.

    ``accuracy`` is the share of rows that are wholly right. One label a row: ``macro_f1``, over
    the labels that occur or are answered. Multi-label: ``micro_f1``. Both are scikit-learn's with
    ``zero_division=0``.
    """
    heard = _Heard(model)
    total, units, right, rows = 0.0, 0, 0, 0
    counts = np.zeros((3, len(task.labels)), dtype=np.int64)
    device = next(model.parameters()).device
    with answering(model), precision or nullcontext():
        for batch in batches:
            tensors = on_device(batch.tensors, device)
            total += float(task.loss(heard, tensors))
            units += batch.units
            answered = _answered(heard.logits.float(), task)
            wanted = _wanted(tensors["labels"], task)
            right += int((answered == wanted).all(dim=1).sum())
            rows += len(wanted)
            each = torch.stack([(answered & wanted).sum(0), answered.sum(0), wanted.sum(0)])
            counts += each.cpu().numpy()
    scores = {"loss": total / max(1, units), "accuracy": right / max(1, rows)}
    hits, answers, support = counts.astype(np.float64)
    if task.multi_label:
        scores["micro_f1"] = float(2 * hits.sum() / max(1.0, answers.sum() + support.sum()))
    else:
        used = answers + support > 0
        f1 = 2 * hits[used] / (answers[used] + support[used])
        scores["macro_f1"] = float(f1.mean()) if used.any() else 0.0
    return scores


class _Heard:
    """A model that remembers the last logits, so that the task's own loss needs no second pass."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.logits = torch.empty(0)

    def __call__(self, **inputs: Any) -> Any:
        output = self._model(**inputs)
        self.logits = output.logits
        return output


def _answered(logits: torch.Tensor, task: Any) -> torch.Tensor:
    """Which labels the model says: bool, shape (rows, labels)."""
    if task.multi_label:
        reached: torch.Tensor = logits.sigmoid() >= task.threshold
        return reached
    return torch.nn.functional.one_hot(logits.argmax(-1), logits.shape[1]).bool()


def _wanted(labels: torch.Tensor, task: Any) -> torch.Tensor:
    if task.multi_label:
        return labels > 0.5
    return torch.nn.functional.one_hot(labels, len(task.labels)).bool()
