"""What a classifier says of each label before probabilities are made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.limits import UNBOUNDED_LENGTH
from tinyforge.inference.modes import answering, on_device
from tinyforge.models.sizes import max_positions
from tinyforge.records.examples import Example
from tinyforge.tasks.decoder import unanswered

_CHUNK = 1_024


def label_logits(model: Any, task: Any, examples: Sequence[Example]) -> NDArray[np.float32]:
    """The logits of examples, in the order of the task's labels: shape (examples, labels).

    Args:
        model: a PyTorch classifier.
        task: its ``Classify``.
    """
    limit = max_positions(model) or UNBOUNDED_LENGTH
    device = next(model.parameters()).device
    found = np.empty((len(examples), len(task.labels)), dtype=np.float32)
    with answering(model):
        for start in range(0, len(examples), _CHUNK):
            chunk = examples[start : start + _CHUNK]
            encoded = task.encode([unanswered(example) for example in chunk])
            items = [task.cut(item, limit, limit) for item in encoded]
            lengths = [len(item.input_ids) for item in items]
            budget = reading_budget(device.type)
            for batch in by_length(lengths, rows=len(items), tokens=budget):
                tensors = on_device(task.collate([items[i] for i in batch]), device)
                logits = task.logits(model, tensors).float().cpu().numpy()
                found[[start + i for i in batch]] = logits
    return found
