"""What the tests of the speed-ups share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from tinyforge.train.speedups.native import library, why_not

needs_kernels = pytest.mark.skipif(library() is None, reason=f"no kernels here: {why_not()}")

DTYPES = pytest.mark.parametrize(
    "dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"]
)


def random(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Normal numbers, the same each time; rounded to ``dtype``."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def distance(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference relative to the largest number of ``theirs``."""
    largest = float(theirs.detach().abs().max())
    return float((ours.detach().double() - theirs.detach().double()).abs().max()) / (largest or 1.0)


def slopes(out: Tensor, along: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Gradients of ``(out * along).sum()``."""
    return torch.autograd.grad(out, inputs, along.to(out.dtype))


def leaves(*tensors: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
    """Copies that gradients are wanted of."""
    return [
        tensor.detach().clone().to(dtype or tensor.dtype).requires_grad_() for tensor in tensors
    ]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Inside, PyTorch and our kernels, which share its pool, use this many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def same_bits(one: Any, other: Any) -> bool:
    """Whether two (sequences of) tensors are equal to the last bit."""
    if isinstance(one, Tensor):
        return torch.equal(one, other)
    return all(same_bits(a, b) for a, b in zip(one, other, strict=True))
