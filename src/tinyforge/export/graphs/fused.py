"""What the modules of a model are written as in a graph.

PyTorch's exporter spells attention, norms and activations out in many small operators, each of
which costs time in every step. ONNX Runtime has one operator for each of them (the domain
``com.microsoft``; its builds for the browser have them too).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

MASKED = -30_000.0
"""Added to the score of a place that must not be seen. Its weight is 0 in every precision, and
twice the number is still finite in float16."""

NAME = "tinyforge_graph"

FUSED_TYPES = {
    "bert", "camembert", "distilbert", "electra", "ernie", "roberta", "xlm-roberta",
    "t5", "mt5", "gpt2",
}  # fmt: skip
"""Model types whose attention sees all, or all that stands before, and goes through transformers'
attention interface with nothing of its own besides T5's bias."""


@dataclass(frozen=True)
class Masks:
    """What attention must not see in the graph that is being traced.

    Attributes:
        own: int32 (rows, places): 1 where self-attention's keys hold a token.
        causal: float32 (1, 1, n, places), added to self-attention's scores; None: all is seen.
        cross: int32 (rows, source) for attention to the encoder's states.
        crossing: ids of the modules that attend to those.
        no_past: self-attention's keys are the new tokens alone.
    """

    own: Tensor
    causal: Tensor | None = None
    cross: Tensor | None = None
    crossing: frozenset[int] = field(default_factory=frozenset)
    no_past: bool = True


_MASKS: ContextVar[Masks] = ContextVar("masks")


@contextmanager
def masked(masks: Masks) -> Iterator[None]:
    """Inside, the fused attention keeps to these masks."""
    token = _MASKS.set(masks)
    try:
        yield
    finally:
        _MASKS.reset(token)


def fusable(model: Any) -> bool:
    """Whether the model's attention is one that ``graph_operators`` knows."""
    config = model.config
    plain = not getattr(config, "reorder_and_upcast_attn", False)
    causal = getattr(config, "is_decoder", False) and not getattr(config, "is_encoder_decoder", 0)
    classifies = type(model).__name__.endswith("ForSequenceClassification")
    if config.model_type == "gpt2":
        return plain and not classifies
    return config.model_type in FUSED_TYPES and not causal


@contextmanager
def graph_operators(model: Any, *, fused: bool) -> Iterator[None]:
    """Inside, the model's modules are written as few operators; afterwards it is as it was.

    Args:
        fused: with ONNX Runtime's own operators; otherwise with standard ones only.
    """
    from transformers import AttentionInterface

    forwards = _forwards(fused)
    changed = []
    if fused:
        AttentionInterface.register(NAME, _attend)
    before = model.config._attn_implementation
    try:
        model.set_attn_implementation(NAME if fused else "eager")
        for module in model.modules():
            forward = next((f for fits, f in forwards if fits(module)), None)
            if forward is not None:
                module.forward = forward.__get__(module)
                changed.append(module)
        yield
    finally:
        for module in changed:
            del module.forward
        model.set_attn_implementation(before)


def _forwards(
    fused: bool,
) -> list[tuple[Callable[[Any], bool], Callable[..., Tensor]]]:
    from transformers.activations import (
        GELUActivation,
        GELUTanh,
        NewGELUActivation,
        SiLUActivation,
    )
    from transformers.pytorch_utils import Conv1D

    always = [(lambda m: isinstance(m, Conv1D), _conv1d)]
    if not fused:
        return always
    tanh = (NewGELUActivation, GELUTanh)
    return [
        *always,
        (lambda m: isinstance(m, tanh), _operator("FastGelu")),
        (lambda m: isinstance(m, GELUActivation | nn.GELU), _operator("Gelu")),
        (lambda m: isinstance(m, SiLUActivation | nn.SiLU), _operator("QuickGelu", alpha=1.0)),
        (_is_rms_norm, _rms_norm),
    ]


def _operator(name: str, **attributes: Any) -> Callable[..., Tensor]:
    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"com.microsoft::{name}", (x,), attributes, dtype=x.dtype, shape=x.shape, version=1
        )

    return forward


def _conv1d(self: Any, x: Tensor) -> Tensor:
    """GPT-2's linear layer as the product that it is; the class flattens its input first."""
    product: Tensor = torch.matmul(x, self.weight) + self.bias
    return product


def _is_rms_norm(module: Any) -> bool:
    """T5's norm, which many others copy: the weight as it is, no bias, no mean taken off."""
    return (
        type(module).__name__.endswith(("T5LayerNorm", "RMSNorm"))
        and isinstance(getattr(module, "variance_epsilon", None), float)
        and {name for name, _ in module.named_parameters()} == {"weight"}
    )


def _rms_norm(self: Any, x: Tensor) -> Tensor:
    return torch.onnx.ops.symbolic(
        "SimplifiedLayerNormalization", (x, self.weight),
        {"axis": -1, "epsilon": self.variance_epsilon, "stash_type": 1},
        dtype=x.dtype, shape=x.shape,
    )  # fmt: skip


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    **unused: Any,
) -> tuple[Tensor, None]:
    """Attention over heads (rows, heads, n, size) as one operator: (rows, n, heads, size)."""
    masks = _MASKS.get()
    rows, heads, n, size = query.shape
    crosses = id(module) in masks.crossing
    bias = None if crosses else _sum(position_bias, masks.causal)
    padding = masks.cross if crosses else masks.own
    if not crosses and masks.no_past:
        key, value = _flat(key), _flat(value)
    found = torch.onnx.ops.symbolic(
        "com.microsoft::MultiHeadAttention",
        (_flat(query), key, value, None, padding, bias),
        {
            "num_heads": heads,
            "scale": 1 / math.sqrt(size) if scaling is None else float(scaling),
            "mask_filter_value": MASKED,
        },
        dtype=query.dtype, shape=(rows, n, heads * size), version=1,
    )  # fmt: skip
    return found.view(rows, n, heads, size), None


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    return second if first is None else first if second is None else first + second


def _flat(heads: Tensor) -> Tensor:
    """(rows, heads, n, size) as (rows, n, heads * size)."""
    rows, count, n, size = heads.shape
    return heads.transpose(1, 2).reshape(rows, n, count * size)
