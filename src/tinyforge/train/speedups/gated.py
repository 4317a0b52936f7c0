"""Gated feed-forward layers (Shazeer 2020, arXiv:2002.05202): activation and product in one pass.

Llama, Mistral, Qwen, Gemma and their kin write ``down(act(gate(x)) * up(x))``. A module is taken
for one if it has just those parts and computes just that, which is tried out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.train.speedups.native import address, can_take, kernel

PLAIN: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
    "silu": functional.silu,
}
"""In the order of the kernels' numbers."""


def gate_of(module: nn.Module) -> str | None:
    """The activation of a gated layer; None where the module is none."""
    parts = ("gate_proj", "up_proj", "down_proj", "act_fn")
    if not all(hasattr(module, name) for name in parts) or set(module._modules) != set(parts):
        return None
    gate = module.gate_proj
    if not isinstance(gate, nn.Linear) or module._parameters:
        return None
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, gate.in_features, generator=generator).to(gate.weight)
    close = 1e-5 if x.dtype == torch.float32 else 3e-2
    with torch.no_grad():
        theirs, inner = module(x), gate(x)
        for name, act in PLAIN.items():
            product = act(inner) * module.up_proj(x)  # type: ignore[operator]
            ours = module.down_proj(product)  # type: ignore[operator]
            if torch.allclose(ours, theirs, rtol=close, atol=close * float(theirs.abs().max())):
                return name
    return None


def gated_class(kind: type[nn.Module], act: str) -> type[nn.Module]:
    """A subclass of a gated layer's class that needs one pass between its products."""

    def forward(self: Any, x: Tensor) -> Tensor:
        inner, up = self.gate_proj(x), self.up_proj(x)
        product = gated(inner, up, act) if can_take(inner, up) else PLAIN[act](inner) * up
        down: Tensor = self.down_proj(product)
        return down

    return type(f"Fast{kind.__name__}", (kind,), {"forward": forward})


def gated(x: Tensor, other: Tensor, act: str) -> Tensor:
    """``act(x) * other``."""
    out: Tensor = _Gated.apply(x, other, list(PLAIN).index(act))  # type: ignore[no-untyped-call]
    return out


class _Gated(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, other: Tensor, kind: int) -> Tensor:
        x, other = x.contiguous(), other.contiguous()
        out = torch.empty_like(x)
        kernel("gated", x.dtype)(
            address(x), address(other), address(out), ctypes.c_int64(x.numel()),
            ctypes.c_int32(kind),
        )  # fmt: skip
        ctx.save_for_backward(x, other)
        ctx.kind = kind
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, other = ctx.saved_tensors
        grad = grad.contiguous()
        dx, dother = torch.empty_like(x), torch.empty_like(x)
        kernel("gated_backward", x.dtype)(
            address(grad), address(x), address(other), address(dx), address(dother),
            ctypes.c_int64(x.numel()), ctypes.c_int32(ctx.kind),
        )  # fmt: skip
        return dx, dother, None
