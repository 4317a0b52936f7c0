"""Softmax, cross-entropy and their derivative in place, in two passes over the logits."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from tinyforge.train.speedups.native import address, can_take, kernel


def slope_in_place(logits: Tensor, wanted: Tensor, scale: float, smoothing: float) -> Tensor | None:
    """Turn logits (positions, vocabulary), to be multiplied by ``scale``, into the derivative of
    the summed loss; returns that loss, or None, with nothing done, where the kernel cannot."""
    if not can_take(logits):
        return None
    losses = torch.empty(len(logits))
    kernel("cross_entropy", logits.dtype)(
        address(logits), address(wanted.contiguous()), address(losses),
        ctypes.c_int64(len(logits)), ctypes.c_int64(logits.shape[1]), ctypes.c_float(scale),
        ctypes.c_float(smoothing),
    )  # fmt: skip
    return losses.sum()
