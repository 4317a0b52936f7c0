"""What the graphs of all models that write have in common: the cache, masks, the places to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from tinyforge.export.graphs.fused import MASKED


def names(prefix: str, layers: int) -> list[str]:
    """The names of keys and values, layer by layer."""
    return [f"{prefix}.{i}.{part}" for i in range(layers) for part in ("key", "value")]


def cache_of(tensors: Sequence[Tensor]) -> Any:
    """A transformers cache that holds keys and values: layer by layer, key then value."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    layers = []
    for key, value in zip(tensors[::2], tensors[1::2], strict=True):
        layer = DynamicLayer()
        layer.dtype, layer.device = key.dtype, key.device
        layer.keys, layer.values, layer.is_initialized = key, value, True
        layers.append(layer)
    cache = DynamicCache()
    cache.layers = layers
    return cache


def pairs(cache: Any) -> list[Tensor]:
    """The inverse of ``cache_of``."""
    return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def causal_bias(input_ids: Tensor, past: Tensor) -> Tensor:
    """float32 (1, 1, n, past + n): what keeps the new tokens from seeing those behind them.

    Args:
        past: keys of one layer, (rows, heads, past, head size).
    """
    n, before = input_ids.shape[1], past.shape[2]
    key = torch.arange(before + n)
    query = torch.arange(n) + before
    behind = key[None, :] > query[:, None]
    return (behind.to(torch.float32) * MASKED)[None, None]


def padding_bias(attention_mask: Tensor) -> Tensor:
    """float32 (rows, 1, 1, places): what keeps attention off the places without a token."""
    return ((1 - attention_mask).to(torch.float32) * MASKED)[:, None, None, :]


@contextmanager
def keep_places(model: Any, keep: Tensor) -> Iterator[None]:
    """Inside, the model's head is computed for these places only, and so are its logits.

    Args:
        keep: int64 (kept,), indices into rows x n hidden states, row by row.
    """

    def gather(head: Any, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (states,) = arguments
        return (states.reshape(-1, states.shape[-1]).index_select(0, keep),)

    hook = model.get_output_embeddings().register_forward_pre_hook(gather)
    try:
        yield
    finally:
        hook.remove()
