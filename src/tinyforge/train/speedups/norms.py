"""RMS norm (Zhang and Sennrich 2019, arXiv:1910.07467) in one pass each way.

The RMS norms of model families are classes of their own, written as half a dozen operations with
casts between. They are recognised by what they compute, not by name: a module that has one vector
of weights and agrees with ``x / rms(x) * (weight + shift)`` on random numbers, for a shift of 0
(T5, Llama) or 1 (Gemma), is one.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tinyforge.train.speedups.native import address, can_take, kernel


def normed(x: Tensor, weight: Tensor, eps: float, shift: float) -> Tensor:
    """``x / rms(x) * (weight + shift)`` over the last axis."""
    out: Tensor = _Norm.apply(x, weight, eps, shift)  # type: ignore[no-untyped-call]
    return out


class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, shift: float) -> Tensor:
        x = x.contiguous()
        width = x.shape[-1]
        rows = x.numel() // width
        out = torch.empty_like(x)
        inverse_rms = torch.empty(rows)
        kernel("norm", x.dtype)(
            address(x), address(weight), address(out), address(inverse_rms),
            ctypes.c_int64(rows), ctypes.c_int64(width), ctypes.c_float(eps),
            ctypes.c_float(shift),
        )  # fmt: skip
        ctx.save_for_backward(x, weight, inverse_rms)
        ctx.shift = shift
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse_rms = ctx.saved_tensors
        grad = grad.contiguous()
        dx = torch.empty_like(x)
        dweight = torch.empty_like(weight) if ctx.needs_input_grad[1] else None
        kernel("norm_backward", x.dtype)(
            address(grad), address(x), address(weight), address(inverse_rms), address(dx),
            address(dweight), ctypes.c_int64(len(inverse_rms)), ctypes.c_int64(x.shape[-1]),
            ctypes.c_float(ctx.shift),
        )  # fmt: skip
        return dx, dweight, None, None


def rms_shift(module: nn.Module) -> tuple[float, float] | None:
    """``eps`` and the shift of the weights of an RMS norm; None where the module is none."""
    weight = getattr(module, "weight", None)
    eps = next((getattr(module, name) for name in EPS if hasattr(module, name)), None)
    if isinstance(module, nn.LayerNorm) or not isinstance(eps, float) or weight is None:
        return None
    if weight.ndim != 1 or len(list(module.parameters())) != 1 or list(module.children()):
        return None
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, len(weight), generator=generator).to(weight)
    # Fresh weights are all 1 or all 0, at which 2 w, w * w and w + 1 may look alike.
    tried = (0.5 + torch.rand(len(weight), generator=generator)).to(weight)
    own = weight.data
    with torch.no_grad():
        try:
            weight.data = tried
            theirs = module(x)
        except (RuntimeError, TypeError, ValueError):
            return None
        finally:
            weight.data = own
        if not isinstance(theirs, Tensor) or theirs.shape != x.shape:
            return None
        for shift in (0.0, 1.0):
            ours = functional.rms_norm(x.float(), (len(weight),), tried.float() + shift, eps)
            close = 1e-5 if weight.dtype == torch.float32 else 2e-2
            if torch.allclose(ours, theirs.float(), rtol=close, atol=close):
                return eps, shift
    return None


EPS = ("variance_epsilon", "eps", "epsilon")


def rms_class(kind: type[nn.Module], eps: float, shift: float) -> type[nn.Module]:
    """A subclass of an RMS norm's class that computes in one pass."""

    def forward(self: Any, hidden_states: Tensor) -> Tensor:
        if not can_take(hidden_states, self.weight):
            plain: Tensor = kind.forward(self, hidden_states)
            return plain
        return normed(hidden_states, self.weight, eps, shift)

    return type(f"Fast{kind.__name__}", (kind,), {"forward": forward})
