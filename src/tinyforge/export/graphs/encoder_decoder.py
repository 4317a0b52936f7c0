"""The two graphs of a T5-like model: the encoder with the keys and values that the decoder's
cross-attention needs, and one step of the decoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.artifacts.export_folder import HIDDEN, CacheLayout
from tinyforge.errors import ModelError
from tinyforge.export.graphs.fused import Masks, fusable, graph_operators, masked
from tinyforge.export.graphs.parts import (
    cache_of,
    causal_bias,
    keep_places,
    names,
    padding_bias,
    pairs,
)
from tinyforge.export.graphs.tidy import save
from tinyforge.export.graphs.traced import Inputs, example, trace
from tinyforge.export.graphs.trial import try_encoder_decoder
from tinyforge.export.graphs.ways import first_that_works

KINDS = ("t5", "mt5", "umt5")
"""Model types whose decoder has relative positions only, which masked places do not move."""


class EncoderGraph(nn.Module):
    """Ids and mask, int64 (rows, source), to keys and values of the decoder's cross-attention, and
    to the last hidden states."""

    def __init__(self, model: Any, fused: bool) -> None:
        super().__init__()
        self.model, self._fused = model, fused

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """Key and value of each layer of the decoder: (rows, heads, source, head size); then the
        states that they are made from: (rows, source, width)."""
        bias = None if self._fused else padding_bias(attention_mask)
        with masked(Masks(own=attention_mask.to(torch.int32))):
            states = self.model.encoder(input_ids=input_ids, attention_mask=bias)[0]
        found = []
        for block in self.model.decoder.block:
            attention = block.layer[1].EncDecAttention
            for project in (attention.k, attention.v):
                flat = project(states)
                size = (*flat.shape[:2], attention.n_heads, attention.key_value_proj_dim)
                found.append(flat.view(size).transpose(1, 2))
        return (*found, states)


class DecoderGraph(nn.Module):
    """One step of the decoder, onto any past."""

    def __init__(self, model: Any, fused: bool) -> None:
        super().__init__()
        self.model, self._fused = model, fused
        self._crossing = frozenset(
            id(module) for name, module in model.named_modules() if name.endswith("EncDecAttention")
        )

    def forward(
        self,
        past: tuple[Tensor, ...],
        input_ids: Tensor,
        attention_mask: Tensor,
        keep: Tensor,
        encoder_attention_mask: Tensor,
    ) -> tuple[Tensor, ...]:
        """Logits of the kept places, then each layer's key and value with the new ones behind.

        Args:
            past: each layer's key and value, then each layer's cross key and value.
        """
        from transformers import EncoderDecoderCache

        half = len(past) // 2
        cache = EncoderDecoderCache(cache_of(past[:half]), cache_of(past[half:]))
        cache.is_updated = dict.fromkeys(range(half // 2), True)
        causal = causal_bias(input_ids, past[0])
        masks = Masks(
            own=attention_mask.to(torch.int32), causal=causal,
            cross=encoder_attention_mask.to(torch.int32), crossing=self._crossing, no_past=False,
        )  # fmt: skip
        own = None if self._fused else causal + padding_bias(attention_mask)
        other = None if self._fused else padding_bias(encoder_attention_mask)
        # Cross-attention takes keys and values from the cache; the states only have to be there.
        states = input_ids.new_zeros((1, 1, self.model.config.d_model), dtype=torch.float32)
        with masked(masks), keep_places(self.model, keep):
            output = self.model(
                encoder_outputs=(states,), attention_mask=other, decoder_input_ids=input_ids,
                decoder_attention_mask=own, past_key_values=cache, use_cache=True,
            )  # fmt: skip
        return (output.logits, *pairs(cache.self_attention_cache))


def write(model: Any, paths: Mapping[str, Path]) -> CacheLayout:
    """Both graphs.

    Raises:
        ModelError: the model is of another kind, or cannot be written.
        Mismatch: they give other numbers.
    """
    config = model.config
    if config.model_type not in KINDS:
        raise ModelError(
            "this kind of encoder-decoder cannot be written as a graph", value=config.model_type,
            fix="Export it with --format safetensors, or choose a T5",
        )  # fmt: skip
    layers = len(model.decoder.block)
    attention = model.decoder.block[0].layer[0].SelfAttention
    heads, size = attention.n_heads, attention.key_value_proj_dim
    vocabulary = model.get_input_embeddings().weight.shape[0]

    def attempt(fused: bool) -> None:
        with graph_operators(model, fused=fused):
            encoder = trace(
                EncoderGraph(model, fused),
                _tokens("source", vocabulary),
                {},
                {
                    **dict.fromkeys(names("cross", layers), ("rows", heads, "source", size)),
                    HIDDEN: ("rows", "source", config.d_model),
                },
            )
            save(encoder, paths["encoder"])
            del encoder
            decoder = trace(
                DecoderGraph(model, fused),
                _decoder_inputs(vocabulary),
                _caches(layers, heads, size),
                {
                    "logits": ("kept", vocabulary),
                    **dict.fromkeys(names("present", layers), ("rows", heads, "places", size)),
                },
            )
            save(decoder, paths["decoder"])
            del decoder
        try_encoder_decoder(model, paths)

    first_that_works(attempt, fused=fusable(model))
    return CacheLayout("growing", layers=layers, heads=heads, head_size=size)


def _tokens(length: str, vocabulary: int) -> Inputs:
    ids = example("rows", length, high=vocabulary)
    return {
        "input_ids": (ids, ("rows", length)),
        "attention_mask": (torch.ones_like(ids), ("rows", length)),
    }


def _decoder_inputs(vocabulary: int) -> Inputs:
    tokens = example("rows", "n", high=vocabulary)
    source = torch.ones_like(example("rows", "source", high=2))
    past = torch.ones_like(example("rows", "past", high=2))
    mask = torch.cat([past, torch.ones_like(tokens)], dim=1)
    return {
        "input_ids": (tokens, ("rows", "n")),
        "attention_mask": (mask, ("rows", "places")),
        "keep": (example("kept", high=5), ("kept",)),
        "encoder_attention_mask": (source, ("rows", "source")),
    }


def _caches(layers: int, heads: int, size: int) -> Inputs:
    own: tuple[str | int, ...] = ("rows", heads, "past", size)
    cross: tuple[str | int, ...] = ("rows", heads, "source", size)
    return {
        **{name: (example(*own), own) for name in names("past_key_values", layers)},
        **{name: (example(*cross), cross) for name in names("cross", layers)},
    }
