"""Random numbers: seeded anew for every forward pass, so that they depend on nothing before it."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def seed_torch(*numbers: int) -> None:
    """Seed PyTorch from several numbers, mixed so that neighbours have nothing in common.

    numpy's ``SeedSequence`` does the mixing (M. E. O'Neill's ``seed_seq`` construction).
    """
    mixed = np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]
    torch.manual_seed(int(mixed))


def random_state() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The states of all generators: bytes as uint8 tensors, and what is no bytes as JSON."""
    version, words, gauss = random.getstate()
    legacy: dict[str, Any] = np.random.get_state(legacy=False)
    tensors = {
        "torch": torch.get_rng_state(),
        "numpy": _bytes(legacy["state"]["key"]),
        "python": _bytes(np.array(words, dtype=np.uint32)),
    }
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    plain = {
        "python": [version, gauss],
        "numpy": [legacy["state"]["pos"], legacy["has_gauss"], legacy["gauss"]],
    }
    return tensors, plain


def restore_random_state(tensors: dict[str, torch.Tensor], plain: dict[str, Any]) -> None:
    """Take back what ``random_state`` gave."""
    torch.set_rng_state(tensors["torch"].clone())
    position, has_gauss, cached = plain["numpy"]
    np.random.set_state(("MT19937", _words(tensors["numpy"]), position, has_gauss, cached))
    version, gauss = plain["python"]
    random.setstate((version, tuple(_words(tensors["python"]).tolist()), gauss))
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"].clone())


def _bytes(words: Any) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(words).view(np.uint8).copy())


def _words(tensor: torch.Tensor) -> Any:
    return tensor.numpy().view(np.uint32).copy()
