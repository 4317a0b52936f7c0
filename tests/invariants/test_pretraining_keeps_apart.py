"""Documents in one row do not see each other, in each architecture and through real attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from pretraining_fakes import ARCHITECTURES, FakeWindows, tiny

from tinyforge.tasks.losses import evaluating

WINDOW = 48


def examples(architecture: str, task: Any, number: int) -> list[Any]:
    window = FakeWindows(architecture, WINDOW).window(number)
    random = np.random.Generator(np.random.Philox(number))
    found: list[Any] = task.examples(window.tokens, window.starts, random)
    assert len(found) > 1, "the window has to hold several documents"
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_packed_documents_have_the_loss_that_they_have_alone(architecture: str) -> None:
    model, task = tiny(architecture, context=64)
    bins = [examples(architecture, task, number) for number in (1, 2)]
    apart = [[item] for items in bins for item in items]
    with evaluating(model), torch.no_grad():
        packed = float(task.loss(model, task.collate_packed(bins)))
        alone = sum(float(task.loss(model, task.collate_packed([row]))) for row in apart)
    assert packed == pytest.approx(alone, rel=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_gradients_do_not_cross_documents(architecture: str) -> None:
    """What is learnt from a row's first document does not depend on its second."""
    model, task = tiny(architecture, context=64)
    first, second, *_ = examples(architecture, task, 1)
    other = examples(architecture, task, 5)[0]
    found = []
    for neighbour in (second, other):
        with evaluating(model):
            model.zero_grad()
            both = task.loss(model, task.collate_packed([[first, neighbour]]))
            its = task.loss(model, task.collate_packed([[neighbour]]))
            (both - its).backward()
        found.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert torch.allclose(gradient, found[1][name], atol=2e-4), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_row_has_numbers_that_are_not_finite(architecture: str) -> None:
    """Padding sees itself at least, so that no softmax is over nothing."""
    model, task = tiny(architecture, context=64)
    bins = [examples(architecture, task, 1), examples(architecture, task, 2)[:1]]
    with evaluating(model):
        task.loss(model, task.collate_packed(bins)).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


def test_crossing_is_another_loss() -> None:
    model, task = tiny("gpt", context=64)
    window = FakeWindows("gpt", WINDOW).window(1)
    random = np.random.Generator(np.random.Philox(0))
    apart = task.examples(window.tokens, window.starts, random)
    crossed = task.examples(window.tokens, window.starts[:0], random)
    with evaluating(model), torch.no_grad():
        losses = [float(task.loss(model, task.collate_packed([row]))) for row in (apart, crossed)]
    assert losses[0] != pytest.approx(losses[1], rel=1e-3)
