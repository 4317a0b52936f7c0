"""Rounding weights so that a layer's outputs change least, and not the weights themselves.

GPTQ (Frantar et al. 2022, arXiv:2210.17323): inputs are rounded one after the other, and what a
rounding changes in the outputs is made up for by the inputs still to come. The grid of each block
is found beforehand, so the inputs can be taken in any order, the strongest first, without a table
of places ("static groups" with "act order" in the authors' code).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyforge.compress.quantize.blocks import Grid

DAMPING = 0.01
"""Part of the mean square of the inputs that is added to each: against directions never seen."""

_TOGETHER = 128
"""Inputs whose corrections are carried to the rest at once."""

_OUTPUTS = 4096
"""Outputs worked on at once; they do not depend on each other."""


def gptq(grid: Grid, weight: NDArray[np.float32], gram: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Codes on a grid for a weight.

    Args:
        weight: (outputs, inputs).
        gram: (inputs, inputs), the products of the inputs with each other, summed over tokens.

    Returns:
        Codes (outputs, inputs).
    """
    order, factor = _factor(gram)
    codes = np.empty(weight.shape, np.uint8)
    for start in range(0, len(weight), _OUTPUTS):
        part = slice(start, start + _OUTPUTS)
        zeros = None if grid.zeros is None else grid.zeros[part]
        piece = Grid(grid.bits, grid.block, grid.scales[part], zeros)
        codes[part] = _rounded(piece, weight[part], order, factor)
    return codes


def _factor(gram: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The order of the inputs, and the upper Cholesky factor of the inverse of their products."""
    matrix = gram.astype(np.float64)
    diagonal = np.diagonal(matrix).copy()
    silent = diagonal <= 0
    matrix[silent, silent] = 1.0
    mean = float(diagonal.mean()) or 1.0
    order = np.argsort(-diagonal, kind="stable")
    matrix = matrix[np.ix_(order, order)]
    share = DAMPING
    while True:
        try:
            lower = np.linalg.cholesky(matrix + share * mean * np.eye(len(matrix)))
            break
        except np.linalg.LinAlgError:  # too few rows for so many inputs
            share *= 10
    inverse = np.linalg.inv(lower)
    factor = np.linalg.cholesky(inverse.T @ inverse).T
    return order, np.ascontiguousarray(factor, dtype=np.float32)


def _rounded(
    grid: Grid,
    weight: NDArray[np.float32],
    order: NDArray[np.int64],
    factor: NDArray[np.float32],
) -> NDArray[np.uint8]:
    # Inputs come first in memory here: each step works on one input of all outputs.
    left = np.ascontiguousarray(weight.T[order])
    scales = np.ascontiguousarray(grid.scales.T)
    zeros = (
        np.full_like(scales, grid.middle)
        if grid.zeros is None
        else np.ascontiguousarray(grid.zeros.T).astype(np.float32)
    )
    codes = np.empty(left.shape, np.uint8)
    inputs = len(left)
    for start in range(0, inputs, _TOGETHER):
        end = min(start + _TOGETHER, inputs)
        errors = np.empty((end - start, left.shape[1]), np.float32)
        for place in range(start, end):
            block = order[place] // grid.block
            scale, zero = scales[block], zeros[block]
            code = np.clip(np.rint(left[place] / scale) + zero, 0, grid.top)
            codes[order[place]] = code
            error = (left[place] - (code - zero) * scale) / factor[place, place]
            left[place + 1 : end] -= factor[place, place + 1 : end, None] * error
            errors[place - start] = error
        left[end:] -= factor[start:end, end:].T @ errors
    return np.ascontiguousarray(codes.T)
