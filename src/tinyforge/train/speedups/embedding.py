"""Gradients of embeddings, kept as the few rows that a batch uses.

PyTorch's own is a matrix of the whole vocabulary, nearly all zeros, which is filled, measured and
read by the optimizer in every step; and in bfloat16 it adds up a frequent token's rows one by
one, rounding each time. Here the looked-up rows' gradients wait in a ``RowGradient`` until the
backward pass is over, then those of one token are added up in float32: into the matrix that a
tied output head has made, or into a compact matrix of the used rows alone. The optimizer leaves
rows alone that never had a gradient, which changes nothing: their moments are 0.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.train.speedups.native import address, can_take, kernel


@dataclass
class RowGradient:
    """The gradient of one embedding matrix while it is collected.

    Attributes:
        rows: int64, the used rows, sorted; None where there are none, or all went elsewhere.
        values: float32, shape (used rows, width).
    """

    waiting: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    rows: Tensor | None = None
    values: Tensor | None = None

    def clear(self) -> None:
        """Forget everything."""
        self.waiting.clear()
        self.rows = self.values = None

    def collect(self, dense: Tensor | None) -> None:
        """Add up what waits, into ``dense`` (vocabulary, width) where there is one."""
        if not self.waiting:
            return
        ids = torch.cat([ids for ids, _ in self.waiting])
        grads = torch.cat([grads for _, grads in self.waiting])
        self.waiting.clear()
        sorted_ids, order = torch.sort(ids, stable=True)
        rows, counts = torch.unique_consecutive(sorted_ids, return_counts=True)
        starts = functional.pad(counts.cumsum(0), (1, 0))
        if dense is None:
            self.rows, self.values = rows, torch.empty(len(rows), grads.shape[1])
            _add(grads, order, starts, None, self.values)
        else:
            _add(grads, order, starts, rows, dense)


class Embedding(nn.Embedding):
    """As ``torch.nn.Embedding``; its gradient goes to ``row_gradient``."""

    row_gradient: RowGradient

    def forward(self, input: Tensor) -> Tensor:
        """Rows of the matrix: (..., width)."""
        learns = self.training and self.weight.requires_grad and torch.is_grad_enabled()
        if not learns or not can_take(self.weight):
            return super().forward(input)
        looked_up: Tensor = _Lookup.apply(  # type: ignore[no-untyped-call]
            input, self.weight, self.padding_idx, self.row_gradient
        )
        return looked_up


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, ids: Tensor, weight: Tensor, padding: int | None, to: RowGradient
    ) -> Tensor:
        ctx.save_for_backward(ids)
        ctx.padding, ctx.to = padding, to
        return functional.embedding(ids, weight)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, ...]:
        (ids,) = ctx.saved_tensors
        ids, grad = ids.reshape(-1), grad.reshape(-1, grad.shape[-1])
        if ctx.padding is not None:
            keep = (ids != ctx.padding).nonzero()[:, 0]
            if len(keep) < len(ids):
                ids, grad = ids[keep], grad[keep]
        ctx.to.waiting.append((ids, grad))
        return None, None, None, None


def can_replace(module: nn.Module) -> bool:
    """A plain embedding without a norm limit or scaling of gradients."""
    return (
        type(module) is nn.Embedding
        and module.max_norm is None
        and not module.scale_grad_by_freq
        and not module.sparse
    )


def _add(grads: Tensor, order: Tensor, starts: Tensor, rows: Tensor | None, out: Tensor) -> None:
    narrow = out.dtype == torch.bfloat16
    grads = grads.contiguous()
    if narrow and grads.dtype != torch.bfloat16:
        grads = grads.to(torch.bfloat16)
    kernel("add_rows" if narrow else "group_rows", grads.dtype)(
        address(grads), address(order), address(starts), address(rows), address(out),
        ctypes.c_int64(len(starts) - 1), ctypes.c_int64(out.shape[1]),
        ctypes.c_int32(rows is not None),
    )  # fmt: skip
