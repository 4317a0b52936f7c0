"""How near a side's logits are to the model's own in float32: whether it is the same model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def fidelity(logits: Floats, reference: Floats) -> dict[str, float]:
    """Two measures of a side's logits, both of shape (places, vocabulary).

    Returns:
        ``error``: the length of the difference over that of the reference, each place's mean taken
        off, which no probability depends on; ``same_top``: the share of places where the likeliest
        token is the same.
    """
    ours, theirs = (each - each.mean(axis=1, keepdims=True) for each in (logits, reference))
    error = float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))
    same = float((logits.argmax(axis=1) == reference.argmax(axis=1)).mean())
    return {"error": error, "same_top": same}


def against(folder: Path, logits: Floats) -> dict[str, float]:
    """Against the reference of a prepared folder.

    Raises:
        ValueError: the logits have another shape.
    """
    reference = np.load(folder / "reference.npy")
    if logits.shape != reference.shape:
        raise ValueError(f"logits of shape {logits.shape} instead of {reference.shape}")
    return fidelity(logits, reference)
