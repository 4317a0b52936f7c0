"""Attention for the lengths of everyday training, as an implementation of transformers' own table.

PyTorch's fast attention on a CPU knows no dropout, no learnt bias and is slow in bfloat16; with
either it falls back to a dozen operations. Ours is one kernel each way (``attention.cpp``), and
takes the boolean masks that transformers makes. What it does not take (float masks, soft caps,
other devices, long sequences, where PyTorch's is faster) goes to PyTorch's.
"""

from __future__ import annotations

import ctypes
from typing import Any

import torch
from torch import Tensor

from tinyforge.train.speedups.dropout import cut_of, draw_seed
from tinyforge.train.speedups.native import address, can_take, kernel

NAME = "tinyforge"
LONGEST = 1024
"""Keys at most; beyond it scores in float32 cost more than PyTorch's blocks."""

_Strides = ctypes.c_int64 * 3


class _Shape(ctypes.Structure):
    """``struct Attention`` of ``attention.cpp``."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in (
            "rows", "heads", "key_heads", "queries", "keys", "width")),
        *((name, _Strides) for name in ("q", "k", "v", "o", "go", "dq", "dk", "dv")),
        ("mask", ctypes.c_void_p),
        ("mask_stride", ctypes.c_int64 * 4),
        ("bias_stride", ctypes.c_int64 * 4),
        ("causal", ctypes.c_int64), ("bias_grad", ctypes.c_int64),
        ("scale", ctypes.c_float), ("keep_scale", ctypes.c_float),
        ("cut", ctypes.c_uint32), ("unused", ctypes.c_uint32), ("seed", ctypes.c_uint64),
    )  # fmt: skip


def register() -> None:
    """Put it into transformers' tables of attention and of masks."""
    # Imported here and below: it takes seconds, and models of other libraries do without.
    from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

    ALL_ATTENTION_FUNCTIONS.register(NAME, attention_forward)
    ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, sdpa_mask)


def attention_forward(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention interface: (rows, heads, places, width) to (rows, places, heads,
    width)."""
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = bool(causal) and attention_mask is None and query.shape[2] > 1
    if not _takes(query, key, value, attention_mask, position_bias, kwargs):
        from transformers.integrations.sdpa_attention import sdpa_attention_forward

        return sdpa_attention_forward(  # type: ignore[no-any-return]
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling,
            is_causal=is_causal, position_bias=position_bias, **kwargs,
        )  # fmt: skip
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    cut, keep = cut_of(dropout)
    seed = draw_seed() if cut else 0
    out: Tensor = _Attention.apply(  # type: ignore[no-untyped-call]
        query, key, value, position_bias, attention_mask, causal, scale, cut, keep, seed
    )
    return out, None


def _takes(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, bias: Tensor | None,
    more: dict[str, Any],
) -> bool:  # fmt: skip
    if any(more.get(name) is not None for name in ("softcap", "cache", "s_aux")):
        return False
    if mask is not None and (mask.dtype != torch.bool or mask.ndim != 4):
        return False
    if bias is not None and (bias.ndim != 4 or bias.shape[0] != 1 or bias.shape[1] == 1):
        return False
    same_width = query.shape[-1] == key.shape[-1] == value.shape[-1]
    return same_width and key.shape[2] <= LONGEST and can_take(query, key, value, bias)


class _Attention(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None,
        mask: Tensor | None, causal: bool, scale: float, cut: int, keep: float, seed: int,
    ) -> Tensor:  # fmt: skip
        query, key, value = (_last_contiguous(x) for x in (query, key, value))
        rows, heads, queries, width = query.shape
        out = query.new_empty(rows, queries, heads, width)
        log_sums = torch.empty(rows, heads, queries)
        shape = _shape(query, key, mask, bias)
        shape.causal, shape.scale, shape.cut, shape.keep_scale = causal, scale, cut, keep
        shape.seed = seed
        for name, tensor in (("q", query), ("k", key), ("v", value), ("o", out.transpose(1, 2))):
            setattr(shape, name, _Strides(*tensor.stride()[:3]))
        kernel("attend", query.dtype)(
            ctypes.byref(shape), *map(address, (query, key, value, bias, out, log_sums))
        )
        ctx.save_for_backward(query, key, value, bias, mask, log_sums)
        ctx.shape = shape
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias, mask, log_sums = ctx.saved_tensors
        shape = ctx.shape
        if mask is not None:  # saved tensors may be elsewhere by now, as in a checkpointed layer
            shape.mask = mask.data_ptr()
        grad = _last_contiguous(grad).transpose(1, 2)
        # Laid out as the projections that made them want their gradients: places before heads.
        grads = [torch.empty_like(x.transpose(1, 2), memory_format=torch.contiguous_format)
                 .transpose(1, 2) for x in (query, key, value)]  # fmt: skip
        shape.bias_grad = ctx.needs_input_grad[3]
        dbias = None
        if shape.bias_grad:
            dbias = torch.zeros(shape.heads, shape.queries, shape.keys)
        for name, tensor in zip(("go", "dq", "dk", "dv"), (grad, *grads), strict=True):
            setattr(shape, name, _Strides(*tensor.stride()[:3]))
        kernel("attend_backward", query.dtype)(
            ctypes.byref(shape),
            *map(address, (query, key, value, bias, grad, log_sums, *grads, dbias)),
        )
        if dbias is not None:
            dbias = dbias[None].to(query.dtype)
        return (*grads, dbias, None, None, None, None, None, None)


def _last_contiguous(x: Tensor) -> Tensor:
    return x if x.stride(-1) == 1 else x.contiguous()


def _shape(query: Tensor, key: Tensor, mask: Tensor | None, bias: Tensor | None) -> _Shape:
    rows, heads, queries, width = query.shape
    shape = _Shape(
        rows=rows, heads=heads, key_heads=key.shape[1], queries=queries, keys=key.shape[2],
        width=width,
    )  # fmt: skip
    whole = (rows, heads, queries, key.shape[2])
    if mask is not None:
        shape.mask = mask.data_ptr()
        shape.mask_stride = (ctypes.c_int64 * 4)(*mask.expand(whole).stride())
    if bias is not None:
        shape.bias_stride = (ctypes.c_int64 * 4)(*bias.expand(whole).stride())
    return shape
