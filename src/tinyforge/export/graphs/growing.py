"""A decoder's graph by PyTorch's exporter: GPT-2, and whatever has no graph of its own."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.errors import ModelError
from tinyforge.export.graphs.fused import Masks, fusable, graph_operators, masked
from tinyforge.export.graphs.parts import cache_of, causal_bias, keep_places, names, pairs
from tinyforge.export.graphs.tidy import save
from tinyforge.export.graphs.traced import Inputs, example, trace
from tinyforge.export.graphs.trial import try_decoder
from tinyforge.export.graphs.ways import first_that_works


class GrowingGraph(nn.Module):
    """One step of a decoder, onto any past."""

    def __init__(self, model: Any, fused: bool) -> None:
        super().__init__()
        self.model, self._fused = model, fused

    def forward(
        self,
        past: tuple[Tensor, ...],
        input_ids: Tensor,
        attention_mask: Tensor,
        keep: Tensor,
        position_ids: Tensor | None = None,
    ) -> tuple[Tensor, ...]:
        """Logits of the kept places, then each layer's key and value with the new ones behind."""
        cache = cache_of(past)
        extra = {} if position_ids is None else {"position_ids": position_ids}
        masks = Masks(
            own=attention_mask.to(torch.int32), causal=causal_bias(input_ids, past[0]),
            no_past=False,
        )  # fmt: skip
        with masked(masks), keep_places(self.model, keep):
            output = self.model(
                input_ids=input_ids, attention_mask=None if self._fused else attention_mask,
                past_key_values=cache, use_cache=True, **extra,
            )  # fmt: skip
        return (output.logits, *pairs(cache))


def write(model: Any, path: Path) -> CacheLayout:
    """The graph of a decoder.

    Raises:
        ModelError: the model keeps no keys and values for each of its layers, or cannot be written.
        Mismatch: it gives other numbers.
    """
    takes = inspect.signature(type(model).forward).parameters
    layout = _layout(model, positions="position_ids" in takes)
    layers, heads, size = layout.layers, layout.heads, layout.head_size
    vocabulary = model.get_input_embeddings().weight.shape[0]
    head = model.get_output_embeddings().weight.shape[0]
    cache: tuple[str | int, ...] = ("rows", heads, "past", size)

    def attempt(fused: bool) -> None:
        module = GrowingGraph(model, fused)
        with graph_operators(model, fused=fused):
            graph = trace(
                module,
                _inputs(vocabulary, layout.positions),
                {name: (example(*cache), cache) for name in names("past_key_values", layers)},
                {
                    "logits": ("kept", head),
                    **dict.fromkeys(names("present", layers), ("rows", heads, "places", size)),
                },
            )
        save(graph, path)
        del graph
        try_decoder(model, path, layout)

    first_that_works(attempt, fused=fusable(model))
    return layout


def _inputs(vocabulary: int, positions: bool) -> Inputs:
    tokens = example("rows", "n", high=vocabulary)
    past = torch.ones_like(example("rows", "past", high=2))
    mask = torch.cat([past, torch.ones_like(tokens)], dim=1)
    inputs: dict[str, Any] = {
        "input_ids": (tokens, ("rows", "n")),
        "attention_mask": (mask, ("rows", "places")),
        "keep": (example("kept", high=5), ("kept",)),
    }
    if positions:
        inputs["position_ids"] = (example("rows", "n", high=5), ("rows", "n"))
    return inputs


def _layout(model: Any, *, positions: bool) -> CacheLayout:
    """As the model itself fills its cache."""
    with torch.no_grad():
        cache = model(input_ids=torch.zeros((1, 2), dtype=torch.int64), use_cache=True)
    shapes: set[tuple[int, int]] = set()
    layers = getattr(cache.past_key_values, "layers", ())
    for layer in layers:
        key, value = getattr(layer, "keys", None), getattr(layer, "values", None)
        if key is None or value is None or key.shape != value.shape or key.shape[2] != 2:
            shapes.clear()
            break
        shapes.add((key.shape[1], key.shape[3]))
    if len(shapes) != 1:
        raise ModelError(
            "the model does not keep keys and values of one size for each of its layers, which "
            "its graph would have to hand on",
            value=type(model).__name__,
            fix="Export it with --format safetensors, or choose another model",
        )  # fmt: skip
    heads, size = shapes.pop()
    return CacheLayout(
        "growing", layers=len(layers), heads=heads, head_size=size, positions=positions
    )
