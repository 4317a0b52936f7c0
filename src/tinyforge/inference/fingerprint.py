"""Which weights answered: a short name that any change of them changes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DIGITS = 12
_CHUNK = 2**22


def of_files(paths: Sequence[Path]) -> str:
    """The first 12 hex digits of the SHA-256 of the files, one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()[:DIGITS]


def of_model(model: Any) -> str:
    """The first 12 hex digits of the SHA-256 of a state dict: names, types, shapes and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b"")
    return digest.hexdigest()[:DIGITS]
