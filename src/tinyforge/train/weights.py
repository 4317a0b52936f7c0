"""What training changes in a model, and what it does not."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tinyforge.errors import FolderError


def learnt_tensors(model: Any) -> dict[str, torch.Tensor]:
    """What training changes: weights that learn, and buffers that are saved with a model.

    Frozen weights are left out (with adapters they are nearly all, and come back from where the
    model came from). A tied weight appears once.
    """
    found = {
        name: parameter.detach()
        for name, parameter in model.named_parameters()
        if parameter.requires_grad
    }
    return found | persistent_buffers(model)


def persistent_buffers(model: Any) -> dict[str, torch.Tensor]:
    """The buffers that are saved with a model; a forward pass may change them."""
    saved = model.state_dict().keys()
    return {name: buffer for name, buffer in model.named_buffers() if name in saved}


def restore_learnt(model: Any, tensors: Mapping[str, torch.Tensor], where: Path) -> None:
    """Put ``learnt_tensors`` back.

    Raises:
        FolderError: names or shapes are not this model's.
    """
    own = learnt_tensors(model)
    shapes = {name: tuple(tensor.shape) for name, tensor in own.items()}
    given = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != given:
        odd = sorted(set(shapes.items()) ^ set(given.items()))
        raise FolderError(
            "the checkpoint is of another model", where=str(where),
            value=f"{odd[0][0]} of shape {odd[0][1]}",
            fix="Give the same model and settings, or start anew with --force",
        )  # fmt: skip
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def fingerprint_of_frozen(model: Any) -> str:
    """SHA-256 over the weights that do not learn, which checkpoints leave out."""
    digest = hashlib.sha256()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            digest.update(name.encode())
            flat = parameter.detach().cpu().contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
