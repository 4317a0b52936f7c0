"""Dropout whose mask is a hash of a seed and an element's place, so that none is stored.

PyTorch's own draws one Bernoulli number after the other in one thread: a sixth of a step of T5.
The rate is a multiple of 2 ** -16, nearest to the one asked for; what is kept is scaled by exactly
that rate's inverse. Method: Srivastava et al. 2014; counter-based random numbers: Salmon et al.
2011.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.train.speedups.native import address, can_take, kernel

STEPS = 2**16


def cut_of(rate: float) -> tuple[int, float]:
    """Sixteen random bits below the first number drop an element; what is kept is scaled by the
    second."""
    cut = round(rate * STEPS)
    return cut, 0.0 if cut >= STEPS else STEPS / (STEPS - cut)


def draw_seed() -> int:
    """From PyTorch's generator, so that a resumed run and a recomputed layer draw the same."""
    return int(torch.randint(2**62, ()).item())


class Dropout(nn.Dropout):
    """As ``torch.nn.Dropout``, for float32 and bfloat16 on the CPU; else that one."""

    def forward(self, input: Tensor) -> Tensor:
        """The input with some elements set to 0 while training."""
        if not self.training or self.p == 0:
            return input
        if self.inplace or not can_take(input):
            return functional.dropout(input, self.p, True, self.inplace)
        dropped: Tensor = _Dropout.apply(input, *cut_of(self.p), draw_seed())  # type: ignore[no-untyped-call]
        return dropped


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, cut: int, scale: float, seed: int) -> Tensor:
        ctx.drawn = cut, scale, seed
        return masked(x, cut, scale, seed)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return masked(grad, *ctx.drawn), None, None, None


def masked(x: Tensor, cut: int, scale: float, seed: int) -> Tensor:
    """``x`` under the mask that belongs to the seed."""
    x = x.contiguous()
    out = torch.empty_like(x)
    kernel("dropout", x.dtype)(
        address(x), address(out), ctypes.c_int64(x.numel()), ctypes.c_uint64(seed),
        ctypes.c_uint32(cut), ctypes.c_float(scale),
    )  # fmt: skip
    return out
