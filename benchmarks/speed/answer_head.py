"""A classifier's last layer from the least squares of its features: quick, and no random answers.

What is compared is how fast and how equally the sides answer, and answers that hang on the last
digits would differ for no reason; so that the head knows its labels, as a trained one does.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.speed.rows import Row

RIDGE = 1.0
"""Added to the features' squares."""

SHARPNESS = 12.0
"""Least squares answers 0 or 1; as logits these would leave all labels about as likely."""


def fitted(encoder: Path, rows: Sequence[Row], target: Path) -> Any:
    """The encoder with a head for the rows' labels, saved with its tokenizer."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    labels = sorted({row["label"] for row in rows})
    names = dict(enumerate(labels))
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder, dtype=torch.float32, num_labels=len(labels), id2label=names,
        label2id={name: number for number, name in names.items()},
    ).eval()  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    features = _features(model, tokenizer, [row["text"] for row in rows])
    wanted = torch.tensor([labels.index(row["label"]) for row in rows])
    weight, bias = _least_squares(features, torch.nn.functional.one_hot(wanted, len(labels)))
    with torch.no_grad():
        model.classifier.weight.copy_(SHARPNESS * weight)
        model.classifier.bias.copy_(SHARPNESS * bias)
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    return model


def _features(model: Any, tokenizer: Any, texts: Sequence[str]) -> torch.Tensor:
    """What the last layer reads, float64 of shape (texts, width)."""
    found = []
    handle = model.classifier.register_forward_pre_hook(
        lambda _, inputs: found.append(inputs[0].double())
    )
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            some = [texts[i] for i in order[start : start + 64]]
            model(**tokenizer(some, padding=True, truncation=True, return_tensors="pt"))
    handle.remove()
    together = torch.cat(found)
    back = torch.empty_like(together)
    back[torch.tensor(order)] = together
    return back


def _least_squares(
    features: torch.Tensor, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight (labels, width) and bias (labels,) of a ridge regression."""
    centre, base = features.mean(0), targets.double().mean(0)
    x, y = features - centre, targets.double() - base
    square = x.T @ x + RIDGE * torch.eye(x.shape[1], dtype=x.dtype)
    weight = torch.linalg.solve(square, x.T @ y).T
    return weight, base - weight @ centre
