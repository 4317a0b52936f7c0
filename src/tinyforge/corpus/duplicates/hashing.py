"""Hashes of windows of codes or words, many at a time."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.similar import mix

Word = TypeVar("Word", np.uint32, np.uint64)

FACTOR = 0x9E3779B97F4A7C15
"""Of the polynomials; odd, so that no bit of a window is lost."""

_WORD = 1 << 64
_HALF = 1 << 32


def windows32(codes: NDArray[np.unsignedinteger], width: int, seed: int = 0) -> NDArray[np.uint32]:
    """A hash of each window of ``width`` codes: shape (codes - width + 1,), or empty.

    A polynomial modulo 2^32, put together from windows of 1, 2, 4, … codes, with its bits spread
    over all bits after that.
    """
    if len(codes) < width:
        return np.zeros(0, dtype=np.uint32)
    factor = (FACTOR + 2 * seed) % _HALF
    hashes = _polynomial(codes.astype(np.uint32), width, factor, _HALF)
    return _spread(hashes)


def windows64(values: NDArray[np.uint64], width: int) -> NDArray[np.uint64]:
    """A hash of each window of ``width`` 64-bit values: shape (values - width + 1,), or empty."""
    if len(values) < width:
        return np.zeros(0, dtype=np.uint64)
    return mix(_polynomial(values, width, FACTOR, _WORD))


def _polynomial(block: NDArray[Word], width: int, factor: int, modulus: int) -> NDArray[Word]:
    """Each window's polynomial: the window of a sum of lengths is made of windows of these."""
    kind = block.dtype.type
    result, done, length = block, 0, 1
    while True:
        shift = kind(pow(factor, length, modulus))
        if width & length:
            result = result[: len(block) - done] * shift + block[done:] if done else block
            done += length
        if done == width:
            return result
        block = block[:-length] * shift + block[length:]
        length *= 2


def _spread(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Spread every bit over all bits (C. Wellons' ``lowbias32``, from his hash prospector)."""
    values = values ^ (values >> np.uint32(16))
    values *= np.uint32(0x7FEB352D)
    values ^= values >> np.uint32(15)
    values *= np.uint32(0x846CA68B)
    values ^= values >> np.uint32(16)
    return values
