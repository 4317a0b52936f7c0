"""The loss by which a smaller model learns from a larger one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from prune_models import make, rows
from torch.nn import functional

from tinyforge.compress.prune.distil import Distilled

CASES = [("bert", False), ("bert", True), ("t5-tied", False), ("t5-untied", False),
         ("gpt2", False), ("gemma2", False)]  # fmt: skip


def pair(name: str, multi_label: bool = False) -> tuple[Any, Any, Any, dict[str, torch.Tensor]]:
    """A model, a larger one that says something else, their task, and a batch."""
    model, task = make(name, multi_label=multi_label)
    teacher = copy.deepcopy(model)
    with torch.no_grad():
        for weight in teacher.parameters():
            weight.mul_(1.1)
    return model, teacher, task, task.collate(task.encode(rows(task, 5)))


def logits(model: Any, task: Any, batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """One row for each unit of the loss, from the model's own forward pass."""
    if task.name == "classify":
        return task.logits(model, batch)
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    targets = batch["labels"]
    if task.family == "decoder":
        targets = functional.pad(targets[:, 1:], (0, 1), value=-100)
    return model(**inputs).logits[targets != -100]


@pytest.mark.parametrize(("name", "multi_label"), CASES)
def test_without_a_teachers_word_it_is_the_tasks_loss(name: str, multi_label: bool) -> None:
    model, teacher, task, batch = pair(name, multi_label)
    ours = Distilled(task, teacher, share=0.0, temperature=2.0).loss(model, batch)
    assert torch.allclose(ours, task.loss(model, batch), rtol=1e-5)
    smooth = Distilled(task, teacher, share=0.0, temperature=2.0)
    assert torch.allclose(
        smooth.loss(model, batch, label_smoothing=0.1),
        task.loss(model, batch, label_smoothing=0.1), rtol=1e-5,
    )  # fmt: skip


@pytest.mark.parametrize(("name", "multi_label"), CASES)
def test_the_teachers_part_is_the_divergence_of_softened_answers(
    name: str, multi_label: bool
) -> None:
    model, teacher, task, batch = pair(name, multi_label)
    ours, theirs = logits(model, task, batch).double(), logits(teacher, task, batch).double()
    temperature = 3.0
    if multi_label:
        p, q = (theirs / temperature).sigmoid(), (ours / temperature).sigmoid()
        each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
        wanted = each.mean(dim=1).sum()
    else:
        p, q = (theirs / temperature).softmax(-1), (ours / temperature).softmax(-1)
        wanted = (p * (p / q).log()).sum()
    found = Distilled(task, teacher, share=1.0, temperature=temperature).loss(model, batch)
    assert torch.allclose(found.double(), wanted * temperature**2, rtol=1e-3, atol=1e-4)
    mixed = Distilled(task, teacher, share=0.25, temperature=temperature).loss(model, batch)
    assert torch.allclose(mixed, 0.25 * found + 0.75 * task.loss(model, batch), rtol=1e-4)


@pytest.mark.parametrize(("name", "multi_label"), CASES)
def test_who_says_the_same_has_nothing_to_learn(name: str, multi_label: bool) -> None:
    model, _, task, batch = pair(name, multi_label)
    loss = Distilled(task, copy.deepcopy(model), share=1.0, temperature=2.0).loss(model, batch)
    assert abs(float(loss.detach())) < 1e-3


def test_only_the_smaller_model_learns() -> None:
    model, teacher, task, batch = pair("gpt2")
    Distilled(task, teacher, share=0.5, temperature=2.0).loss(model, batch).backward()
    assert all(weight.grad is None for weight in teacher.parameters())
    assert any(weight.grad is not None for weight in model.parameters())


def test_in_everything_else_it_is_the_task() -> None:
    _, teacher, task, _ = pair("bert")
    taught = Distilled(task, teacher, share=0.5, temperature=2.0)
    assert (taught.name, taught.family, taught.labels) == (task.name, task.family, task.labels)
    assert taught.state() == task.state()
    assert not hasattr(taught, "pieces")
    assert copy.copy(taught).name == task.name
