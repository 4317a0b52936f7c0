"""How much each part of a model matters for some rows.

A head's or a unit's importance is what a row's loss would change by, to first order, if its output
were zero: the absolute value of output times gradient, summed over the row's tokens, averaged over
rows (Michel et al. 2019, arXiv:1905.10650; Molchanov et al. 2017, arXiv:1611.06440). It costs one
forward and one backward pass over the rows, whatever the number of parts. Of layers there are so
few that each is left out in turn and the loss looked at (as in Kim et al. 2024, arXiv:2402.02834).
"""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.compress.prune.cut import keep_layers
from tinyforge.compress.prune.shapes import Attention, architecture_of, groups_of, heads_of
from tinyforge.inference.modes import on_device

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Importance:
    """How much the loss of a row depends on each part, in nats.

    Attributes:
        units: (stack, layer) -> of each feed-forward unit.
        heads: attention -> of each key-value head with its query heads; empty where the config
            cannot say that some are missing.
    """

    units: dict[tuple[int, int], Floats]
    heads: dict[Attention, Floats]


def measure(model: Any, task: Any, batches: Sequence[Any]) -> Importance:
    """The importance of all units and heads on these rows; the model's mode is left as it was.

    Args:
        model: of which gradients can be taken.
        batches: micro-batches with ``tensors`` and ``examples``.
    """
    architecture = architecture_of(model.config)
    shape = heads_of(architecture, model.config)
    groups = 0 if shape is None else groups_of(shape, model.config)[0]
    modules: dict[Hashable, Any] = {
        (spot.stack, spot.layer): module for spot, module in architecture.unit_outputs(model)
    }
    units = list(modules)
    if shape is not None:
        modules |= dict(architecture.head_outputs(model))
    sums: dict[Hashable, Tensor] = {}
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with _inputs_of(modules) as caught:
        for batch in batches:
            caught.clear()
            loss = task.loss(model, on_device(batch.tensors, device))
            keys = list(caught)
            slopes = torch.autograd.grad(loss, [caught[key] for key in keys])
            for key, slope in zip(keys, slopes, strict=True):
                each = _by_row(caught[key].detach(), slope)
                if isinstance(key, Attention):
                    each = each.view(len(each), groups, -1).sum(-1)
                found = each.abs().sum(0).double().cpu()
                sums[key] = sums[key] + found if key in sums else found
    model.train(was_training)
    rows = max(1, sum(batch.examples for batch in batches))
    means = {key: (value / rows).numpy() for key, value in sums.items()}
    return Importance(
        units={key: means[key] for key in units},  # type: ignore[misc]
        heads={key: value for key, value in means.items() if isinstance(key, Attention)},
    )


def _by_row(found: Tensor, slope: Tensor) -> Tensor:
    """Output times gradient, summed over a row's tokens: shape (rows, parts)."""
    product = (found * slope).float()
    return product.sum(dim=tuple(range(1, product.dim() - 1))) if product.dim() > 2 else product


@contextlib.contextmanager
def _inputs_of(modules: dict[Hashable, Any]) -> Iterator[dict[Hashable, Tensor]]:
    """Inside, the last input of each module, by the same keys."""
    caught: dict[Hashable, Tensor] = {}

    def catcher(key: Hashable) -> Any:
        def catch(_: Any, args: tuple[Any, ...]) -> None:
            caught[key] = args[0]

        return catch

    handles = [module.register_forward_pre_hook(catcher(key)) for key, module in modules.items()]
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def mean_loss(model: Any, task: Any, batches: Sequence[Any]) -> float:
    """The mean loss over all units of the batches, in nats; no dropout."""
    was_training = model.training
    model.eval()
    device = next(model.parameters()).device
    total = sum(float(task.loss(model, on_device(b.tensors, device))) for b in batches)
    model.train(was_training)
    return total / max(1, sum(int(batch.units) for batch in batches))


def least_needed_layers(
    model: Any, task: Any, batches: Sequence[Any], keep: int
) -> list[list[int]]:
    """Which layers to keep: again and again the one goes without which the loss is lowest.

    Args:
        keep: layers of each stack that stay; a shorter stack stays whole.

    Returns:
        For each stack the numbers of the layers that stay, ascending.
    """
    architecture = architecture_of(model.config)
    left = [list(range(count)) for count in architecture.layers(model.config)]
    while any(len(stack) > keep for stack in left):
        choices = [
            [[n for n in kept if (s, n) != (stack, number)] for s, kept in enumerate(left)]
            for stack, numbers in enumerate(left)
            if len(numbers) > keep
            for number in numbers
        ]
        losses = [mean_loss(keep_layers(model, choice), task, batches) for choice in choices]
        left = choices[int(np.argmin(losses))]
    return left
