"""The state a model is in while it answers, and the state it is left in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def answering(model: Any) -> Iterator[None]:
    """Dropout and gradients off inside; afterwards every module is in the mode that it was in.

    A model in training is run under ``no_grad``, since what ``inference_mode`` leaves in a
    module's buffers could not be used in a backward pass later on.
    """
    in_training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        with torch.no_grad() if in_training else torch.inference_mode():
            yield
    finally:
        for module in in_training:
            module.training = True


def plain_model(model: Any) -> Any:
    """The Hugging Face model itself; inside peft's wrapper it has the adapters in its layers."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def on_device(batch: dict[str, torch.Tensor], device: torch.device) -> dict[str, torch.Tensor]:
    """The batch where the model is."""
    return {name: tensor.to(device) for name, tensor in batch.items()}
