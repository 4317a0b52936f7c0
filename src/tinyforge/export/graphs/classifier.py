"""The graph of a classifier: ``input_ids``, ``attention_mask`` -> ``logits``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tinyforge.export.graphs.fused import Masks, fusable, graph_operators, masked
from tinyforge.export.graphs.tidy import save
from tinyforge.export.graphs.traced import example, trace
from tinyforge.export.graphs.trial import try_classifier
from tinyforge.export.graphs.ways import first_that_works

AXES = ("rows", "n")


class ClassifierGraph(nn.Module):
    """Ids and mask, int64 (rows, n), to logits, float32 (rows, labels)."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """The model's own logits."""
        with masked(Masks(own=attention_mask.to(torch.int32))):
            output = self.model(input_ids=input_ids, attention_mask=attention_mask)
        logits: Tensor = output.logits
        return logits


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
        with graph_operators(model, fused=fused):
            graph = trace(ClassifierGraph(model), inputs, {}, {"logits": ("rows", "labels")})
        save(graph, path)
        try_classifier(model, path)

    first_that_works(attempt, fused=fusable(model))
