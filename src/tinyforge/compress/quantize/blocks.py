"""Weights in blocks: a few bits for each number, a scale and a zero for each block of inputs.

The layout is that of ONNX Runtime's operators MatMulNBits and GatherBlockQuantized.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHRUNK = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.75, 0.7)
"""Parts of a block's range that are tried: a narrower one cuts its ends and is finer between."""

_AT_ONCE = 1 << 22
"""Numbers looked at together, so that what is computed on the way stays small."""


@dataclass(frozen=True, slots=True)
class Grid:
    """The values that the weights of each block may take: ``scale x (code - zero)``.

    Attributes:
        bits: of a code: codes are from 0 to ``2**bits - 1``.
        block: inputs in a block; the last one may have fewer.
        scales: float32 (outputs, blocks).
        zeros: uint8 (outputs, blocks); None: ``2**(bits - 1)`` everywhere.
    """

    bits: int
    block: int
    scales: NDArray[np.float32]
    zeros: NDArray[np.uint8] | None

    @property
    def top(self) -> int:
        """The largest code."""
        return int(2**self.bits - 1)

    @property
    def middle(self) -> int:
        """The zero where none is stored."""
        return int(2 ** (self.bits - 1))

    def spread(self, inputs: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scale and zero of every number: two arrays (outputs, inputs)."""
        scales = np.repeat(self.scales, self.block, axis=1)[:, :inputs]
        if self.zeros is None:
            return scales, np.full_like(scales, self.middle)
        zeros = np.repeat(self.zeros, self.block, axis=1)[:, :inputs]
        return scales, zeros.astype(np.float32)


def fitting_block(block: int, inputs: int, smallest: int = 32) -> int:
    """The block to use where ``block`` is wanted: smaller where that leaves no part of one."""
    while block > smallest and inputs % block:
        block //= 2
    return block


def find_grid(
    weight: NDArray[np.float32],
    bits: int,
    block: int,
    importance: NDArray[np.float32] | None = None,
) -> Grid:
    """The grid for a weight (outputs, inputs).

    In 8 bits the largest number of a block sets its scale. In 4 bits each block gets a zero too,
    and its range is narrowed where that makes the sum of squared errors smaller, each input
    weighed with its importance.

    Args:
        importance: (inputs,), for example the mean square of each input; None: all alike.
    """
    outputs, inputs = weight.shape
    blocks = -(-inputs // block)
    scales = np.empty((outputs, blocks), np.float32)
    if bits == 8:
        for start, piece in _pieces(weight, block):
            largest = np.abs(piece).max(axis=2)
            scales[start : start + len(piece)] = _positive(largest / np.float32(127.0))
        return Grid(bits, block, scales, None)
    zeros = np.empty((outputs, blocks), np.uint8)
    matter = np.ones(inputs, np.float32) if importance is None else importance
    weigh = np.pad(matter, (0, blocks * block - inputs)).reshape(blocks, block)
    for start, piece in _pieces(weight, block):
        end = start + len(piece)
        scales[start:end], zeros[start:end] = _search(piece, weigh.astype(np.float32), bits)
    return Grid(bits, block, scales, zeros)


def round_to(grid: Grid, weight: NDArray[np.float32]) -> NDArray[np.uint8]:
    """The nearest codes: (outputs, inputs)."""
    codes = np.empty(weight.shape, np.uint8)
    step = max(1, _AT_ONCE // max(1, weight.shape[1]))
    for start in range(0, len(weight), step):
        part = slice(start, start + step)
        scales, zeros = outputs_of(grid, part).spread(weight.shape[1])
        codes[part] = np.clip(np.rint(weight[part] / scales) + zeros, 0, grid.top)
    return codes


def values(grid: Grid, codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The numbers that codes stand for: (outputs, inputs)."""
    scales, zeros = grid.spread(codes.shape[1])
    return np.asarray((codes.astype(np.float32) - zeros) * scales, dtype=np.float32)


def pack_codes(grid: Grid, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Codes as the operators read them: (outputs, blocks, bytes of a block), low half first."""
    outputs, inputs = codes.shape
    blocks = -(-inputs // grid.block)
    full = np.full((outputs, blocks * grid.block), grid.middle, np.uint8)
    full[:, :inputs] = codes
    return _halves(full, grid.bits).reshape(outputs, blocks, -1)


def pack_zeros(grid: Grid) -> NDArray[np.uint8] | None:
    """Zeros as the operators read them: (outputs, bytes); None where none is stored."""
    return None if grid.zeros is None else _halves(grid.zeros, grid.bits)


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """The first ``count`` codes or zeros of each output: what ``pack_codes`` and ``pack_zeros``
    were given.

    Args:
        packed: (outputs, …), bytes as the operators read them.
    """
    flat = packed.reshape(len(packed), -1)
    if bits < 8:
        flat = np.stack([flat & 15, flat >> 4], axis=2).reshape(len(flat), -1)
    return np.ascontiguousarray(flat[:, :count], dtype=np.uint8)


def _halves(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    if bits == 8:
        return codes
    if codes.shape[1] % 2:
        codes = np.pad(codes, ((0, 0), (0, 1)))
    return np.asarray(codes[:, 0::2] | (codes[:, 1::2] << 4), dtype=np.uint8)


def outputs_of(grid: Grid, part: slice) -> Grid:
    """The grid of some of the outputs."""
    zeros = None if grid.zeros is None else grid.zeros[part]
    return Grid(grid.bits, grid.block, grid.scales[part], zeros)


def _pieces(weight: NDArray[np.float32], block: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Some rows at a time, as (rows, blocks, block), the last block filled with zeros."""
    outputs, inputs = weight.shape
    blocks = -(-inputs // block)
    step = max(1, _AT_ONCE // max(1, inputs))
    for start in range(0, outputs, step):
        piece = weight[start : start + step]
        if inputs % block:
            piece = np.pad(piece, ((0, 0), (0, blocks * block - inputs)))
        yield start, piece.reshape(len(piece), blocks, block)


def _search(
    piece: NDArray[np.float32], weigh: NDArray[np.float32], bits: int
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """The best scale and zero of each block in (rows, blocks, block)."""
    top = np.float32(2**bits - 1)
    low = np.minimum(piece.min(axis=2), 0)
    high = np.maximum(piece.max(axis=2), 0)
    best = np.full(low.shape, np.inf, np.float32)
    scales, zeros = np.ones_like(low), np.zeros(low.shape, np.uint8)
    for part in SHRUNK:
        scale = _positive((high - low) * np.float32(part) / top)
        zero = np.clip(np.rint(-low * np.float32(part) / scale), 0, top)
        codes = np.rint(piece / scale[..., None])
        codes += zero[..., None]
        np.clip(codes, 0, top, out=codes)
        codes -= zero[..., None]
        scale = _refit(piece, codes, weigh, scale)
        codes *= scale[..., None]
        codes -= piece
        codes *= codes
        error = np.einsum("rbk,bk->rb", codes, weigh)
        better = error < best
        best = np.where(better, error, best)
        scales = np.where(better, scale, scales)
        zeros = np.where(better, zero.astype(np.uint8), zeros)
    return scales, zeros


def _refit(
    piece: NDArray[np.float32],
    codes: NDArray[np.float32],
    weigh: NDArray[np.float32],
    scale: NDArray[np.float32],
) -> NDArray[np.float32]:
    """The scale with the least squared error for codes that are fixed; least squares."""
    along = np.einsum("rbk,rbk,bk->rb", piece, codes, weigh)
    square = np.einsum("rbk,rbk,bk->rb", codes, codes, weigh)
    fitted = np.divide(along, square, out=np.zeros_like(along), where=square > 0)
    return np.where(fitted > 0, fitted, scale)


def _positive(scale: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blocks of zeros get any scale but 0, by which nothing could be divided."""
    return np.where(scale > np.finfo(np.float32).tiny, scale, np.float32(1.0)).astype(np.float32)
