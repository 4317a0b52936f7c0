"""The graph of a classifier: ``input_ids``, ``attention_mask`` -> ``logits``, ``hidden``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.artifacts.export_folder import HIDDEN
from tinyforge.export.graphs.fused import Masks, fusable, graph_operators, masked
from tinyforge.export.graphs.places import only_asked
from tinyforge.export.graphs.tidy import save
from tinyforge.export.graphs.traced import example, trace
from tinyforge.export.graphs.trial import try_classifier
from tinyforge.export.graphs.ways import first_that_works

AXES = ("rows", "n")


class ClassifierGraph(nn.Module):
    """Ids and mask, int64 (rows, n), to logits, float32 (rows, labels), and to the last hidden
    states, float32 (rows, n, width), where the model has a body to take them from."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The model's own logits, and what its head reads."""
        states: list[Tensor] = []
        hook = None
        if (body := body_of(self.model)) is not None:
            hook = body.register_forward_hook(lambda _, __, output: states.append(output[0]))
        try:
            with masked(Masks(own=attention_mask.to(torch.int32))):
                output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        finally:
            if hook is not None:
                hook.remove()
        return (output.logits, *states)


def body_of(model: Any) -> Any:
    """The part of a classifier that reads, with the last hidden states as its first output; None
    where it has a decoder, or no such part."""
    if getattr(model.config, "is_encoder_decoder", False) or model.base_model is model:
        return None
    return model.base_model


def write(model: Any, path: Path) -> None:
    """The graph of a classifier.

    Raises:
        ModelError: it cannot be written.
        Mismatch: it gives other numbers.
    """

    def attempt(fused: bool) -> None:
        tokens = example(*AXES, high=model.get_input_embeddings().weight.shape[0])
        inputs = {
            "input_ids": (tokens, AXES),
            "attention_mask": (torch.ones_like(tokens), AXES),
        }
        outputs: dict[str, tuple[str | int, ...]] = {"logits": ("rows", "labels")}
        if body_of(model) is not None:
            outputs[HIDDEN] = (*AXES, model.get_input_embeddings().weight.shape[1])
        with graph_operators(model, fused=fused):
            graph = trace(ClassifierGraph(model), inputs, {}, outputs)
        if fused:
            only_asked(graph)
        save(graph, path)
        try_classifier(model, path)

    first_that_works(attempt, fused=fusable(model))
