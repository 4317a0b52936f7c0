"""What the model before training says of preference pairs, measured once before the first step."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np
import torch

from tinyforge.config.train import TrainSettings
from tinyforge.data.batch import evaluation_batches
from tinyforge.data.encode import EncodedStore
from tinyforge.data.pairs import PairStore
from tinyforge.tasks.losses import evaluating
from tinyforge.train.precision import choose_device, forward_precision

log = logging.getLogger("tinyforge")


@torch.no_grad()
def with_reference(
    model: Any, task: Any, store: EncodedStore, settings: TrainSettings
) -> EncodedStore:
    """The same pairs with their reference; a store of anything else as it is.

    It is measured without dropout and in the number format that training uses, so that before the
    first step nothing but rounding stands between model and reference.

    Args:
        model: as it is before the first step; moved to where it will be trained.
        task: a ``Preference``.
        settings: resolved.
    """
    if not isinstance(store, PairStore):
        return store
    started = time.monotonic()
    model.to(choose_device())
    device = next(model.parameters()).device
    found = np.zeros(len(store), dtype=np.float32)
    with evaluating(model), forward_precision(settings, model):
        for batch in evaluation_batches(store, task):
            tensors = {name: tensor.to(device) for name, tensor in batch.tensors.items()}
            found[batch.rows] = task.margins(model, tensors).float().cpu().numpy()
    seconds = time.monotonic() - started
    log.info(f"measured the model before training on {len(store):,} pairs in {seconds:.0f} s")
    return store.with_reference(found)
