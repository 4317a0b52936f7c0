"""Whether a model keeps examples apart that stand in one row."""

from __future__ import annotations

from typing import Any

import torch

from tinyforge.records.encoded import Encoded
from tinyforge.tasks import tokens
from tinyforge.tasks.decoder import DecoderTask
from tinyforge.tasks.losses import evaluating


@torch.no_grad()
def keeps_apart(model: Any, task: DecoderTask) -> bool:
    """Tries it out: the losses of two short examples, in one row and in two.

    False for models that carry a state along the row (Mamba), take no position ids (Bloom's
    ALiBi), or build their attention mask in their own way. Costs two small forward passes and
    leaves random state and modes as they were.
    """
    vocabulary = model.get_input_embeddings().num_embeddings
    examples = []
    for length in (5, 7):
        ids = tokens.int32([(17 + 31 * i * i + length) % vocabulary for i in range(length)])
        labels = ids.copy()
        labels[0] = -100
        examples.append(Encoded(ids, labels))
    device = next(model.parameters()).device
    with evaluating(model), torch.autocast(device.type, enabled=False):
        losses = []
        for batch in (task.collate(examples), task.collate_packed([examples])):
            on_device = {name: value.to(device) for name, value in batch.items()}
            try:
                losses.append(task.loss(model, on_device))
            except (TypeError, ValueError, RuntimeError):
                return False
    tolerance = 1e-4 if next(model.parameters()).dtype == torch.float32 else 3e-2
    return bool(torch.isclose(losses[0], losses[1], rtol=tolerance))
