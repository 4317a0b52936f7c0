"""Muon on stacks of matrices is PyTorch's Muon, within the rounding of its bfloat16 iteration."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from training_fakes import settings

from tinyforge.train.optimizers import Optimizer
from tinyforge.train.speedups.muon import orthogonal


def layers() -> nn.Sequential:
    """Two shapes of hidden matrices, wide and tall; the last layer is the head."""
    torch.manual_seed(1)
    sizes = [(24, 24), (24, 56), (56, 24), (24, 24), (24, 5)]
    return nn.Sequential(*(nn.Linear(*size, bias=False) for size in sizes))


def train(model: nn.Module, optimizer: Optimizer, steps: int, first: int = 0) -> None:
    for number in range(first, first + steps):
        torch.manual_seed(number)
        for parameter in model.parameters():
            parameter.grad = torch.randn_like(parameter)
        optimizer.step(0.01, 0.5)
        optimizer.zero_grad()


def test_singular_values_end_near_one() -> None:
    torch.manual_seed(0)
    for shape in [(3, 16, 16), (2, 8, 40), (2, 40, 8)]:
        matrices = torch.randn(shape)
        found = orthogonal(matrices)
        u, _, v = torch.linalg.svd(matrices, full_matrices=False)
        values = torch.linalg.svdvals(found)
        assert float(values[:, :-1].min()) > 0.3  # the smallest may need more iterations
        assert float(values.max()) < 1.3
        exact = (u @ v).flatten(1)
        likeness = nn.functional.cosine_similarity(found.flatten(1), exact)
        assert float(likeness.min()) > 0.95


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_it_is_pytorchs_muon(decay: float) -> None:
    given = settings(optimizer="muon", weight_decay=decay)
    ours, theirs = layers(), layers()
    start = [weight.detach().clone() for weight in ours.parameters()]
    train(ours, Optimizer(ours, given, stacked_muon=True), 10)
    train(theirs, Optimizer(theirs, given), 10)
    for old, new, other in zip(start, ours.parameters(), theirs.parameters(), strict=True):
        apart, moved = (new - other).detach().norm(), (other - old).detach().norm()
        assert float(apart) < 0.02 * float(moved)
        assert not torch.equal(new, old)


def test_either_goes_on_from_the_others_state() -> None:
    given: Any = settings(optimizer="muon", weight_decay=0.0)
    whole, first = layers(), layers()
    train(whole, Optimizer(whole, given), 8)
    before = Optimizer(first, given, stacked_muon=True)
    train(first, before, 4)
    after = Optimizer(first, given)
    after.restore(before.tensors())
    train(first, after, 4, first=4)
    for new, other in zip(first.parameters(), whole.parameters(), strict=True):
        assert float((new - other).detach().abs().max()) < 0.1 * 0.01 * 8


def test_a_matrix_without_gradient_stays() -> None:
    model = layers()
    optimizer = Optimizer(model, settings(optimizer="muon"), stacked_muon=True)
    weights = list(model.parameters())
    before = [weight.detach().clone() for weight in weights]
    weights[0].grad = torch.ones_like(weights[0])
    optimizer.step(0.01)
    assert not torch.equal(weights[0], before[0])
    assert all(torch.equal(new, old) for new, old in zip(weights[1:], before[1:], strict=True))
    assert set(optimizer.tensors()) == {"0.weight:momentum_buffer"}
