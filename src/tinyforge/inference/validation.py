"""What training looks at between its steps: the loss on unseen rows, and for labels the F1."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from tinyforge.inference.modes import answering, on_device

Precision = AbstractContextManager[Any]
"""What the forward passes run in, for example ``torch.autocast("cpu", torch.bfloat16)``."""


Floats = NDArray[np.float64]
_STEPS = 100
"""Thresholds are tried in hundredths."""


class Batch(Protocol):
    """A micro-batch.

    Attributes:
        tensors: what the task's ``loss`` takes.
        units: label tokens, or examples, that the loss is summed over.
    """

    @property
    def tensors(self) -> dict[str, torch.Tensor]: ...
    @property
    def units(self) -> int: ...


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
    the labels that occur or are answered. Multi-label: ``micro_f1``, and ``threshold``, the
    probability (in hundredths) from which labels are best taken to hold; accuracy and F1 are
    those at that threshold. Both F1 are scikit-learn's with ``zero_division=0``.
    """
    heard = _Heard(model)
    tally: _Sets | _Labels = _Sets() if task.multi_label else _Labels(len(task.labels))
    total, units = 0.0, 0
    device = next(model.parameters()).device
    with answering(model), precision or nullcontext():
        for batch in batches:
            tensors = on_device(batch.tensors, device)
            total += float(task.loss(heard, tensors))
            units += batch.units
            tally.add(heard.logits.detach().float(), tensors["labels"])
    return {"loss": total / max(1, units), **tally.scores()}


class _Labels:
    """Counts for one label a row."""

    def __init__(self, labels: int) -> None:
        self._counts = np.zeros((3, labels), dtype=np.int64)
        """Rows of each label that are right, that were answered with it, and that carry it."""

    def add(self, logits: torch.Tensor, wanted: torch.Tensor) -> None:
        answered = logits.argmax(-1).cpu().numpy()
        gold = wanted.cpu().numpy()
        for row, found in zip(self._counts, (gold[gold == answered], answered, gold), strict=True):
            row += np.bincount(found, minlength=len(row))

    def scores(self) -> dict[str, float]:
        hits, answers, support = self._counts.astype(np.float64)
        used = answers + support > 0
        f1 = 2 * hits[used] / (answers[used] + support[used])
        return {
            "accuracy": float(hits.sum() / max(1.0, support.sum())),
            "macro_f1": float(f1.mean()) if used.any() else 0.0,
        }


class _Sets:
    """Counts for any number of labels a row, at every threshold from 0.01 to 0.99."""

    def __init__(self) -> None:
        self._said = np.zeros(_STEPS + 1, dtype=np.int64)
        self._right = np.zeros(_STEPS + 1, dtype=np.int64)
        self._bounds: list[Floats] = []
        """For each row the largest probability of a wrong label, the smallest of a right one."""

    def add(self, logits: torch.Tensor, wanted: torch.Tensor) -> None:
        probabilities = logits.sigmoid().double().cpu().numpy()
        gold = wanted.cpu().numpy() > 0.5
        step = np.floor(probabilities * _STEPS).astype(np.int64)
        self._said += np.bincount(step.reshape(-1), minlength=_STEPS + 1)
        self._right += np.bincount(step[gold], minlength=_STEPS + 1)
        highest = np.where(gold, -1.0, probabilities).max(axis=1)
        lowest = np.where(gold, probabilities, 2.0).min(axis=1)
        self._bounds.append(np.stack([highest, lowest]))

    def scores(self) -> dict[str, float]:
        said, right = (np.cumsum(each[::-1])[::-1] for each in (self._said, self._right))
        f1 = 2 * right / np.maximum(1, said + right[0])
        steps = np.arange(1, _STEPS)
        best = int(max(steps, key=lambda k: (f1[k], -abs(k - _STEPS // 2))))
        threshold = best / _STEPS
        highest, lowest = np.concatenate([np.zeros((2, 0)), *self._bounds], axis=1)
        exact = (highest < threshold) & (lowest >= threshold)
        return {
            "accuracy": float(exact.mean()) if len(exact) else 0.0,
            "micro_f1": float(f1[best]),
            "threshold": threshold,
        }


class _Heard:
    """A model that remembers the last logits, so that the task's own loss needs no second pass."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.logits = torch.empty(0)

    def __call__(self, **inputs: Any) -> Any:
        output = self._model(**inputs)
        self.logits = output.logits
        return output
