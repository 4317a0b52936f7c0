"""Text as it is compared: letters and digits without case, accents and punctuation."""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

PIECE = 1 << 18
"""Characters that are worked on at once: what a processor's cache holds."""

SPACE = 32
NEWLINE = 10
GONE = 0
"""Stands for what vanishes: accents written apart, soft hyphens, byte-order marks."""

_PLANE = 1 << 16
_LOWER = bytes(range(256)).lower()
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalnum())


def fold(text: str) -> bytes:
    """The letters and digits of a text, one byte each, without case and accents.

    White space and punctuation go, so that other line breaks, quotation marks or hyphens change
    nothing. Letters beyond ASCII have 128 values in all; a few of them together are as good as
    unique.
    """
    if text.isascii():
        return text.encode("ascii").translate(_LOWER, _NO_LETTERS)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    codes = _bytes()[np.minimum(points, _PLANE - 1)]
    if int(points.max()) >= _PLANE:
        beyond = points >= _PLANE
        codes[beyond] = _one_byte(points[beyond])
    data: bytes = codes[codes != 0].tobytes()
    return data


def folded_pieces(text: str, overlap: int) -> Iterator[bytes]:
    """A text of any length, folded piece by piece, so that memory stays bounded.

    Args:
        overlap: bytes that each piece repeats of the one before; with a window's length less one,
            every window of the text lies in exactly one piece.
    """
    carried = b""
    for start in range(0, len(text), PIECE):
        piece = carried + fold(text[start : start + PIECE])
        yield piece
        carried = piece[max(0, len(piece) - overlap) :]


def codes_of(text: str) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """A code for every character of a text: letters and digits above 32, ``SPACE`` for all else.

    Lines end with ``NEWLINE``; what vanishes is ``GONE``. Plain ASCII gives uint8, which is faster,
    and all else uint16; the codes are the same.
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii").translate(_ascii_table()), dtype=np.uint8)
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    if int(points.max()) < _PLANE:
        return _table()[points]
    # Beyond the first plane lie rare scripts and emoji: each stands for itself.
    codes = _table()[np.minimum(points, _PLANE - 1)]
    beyond = points >= _PLANE
    codes[beyond] = (points[beyond] & np.uint32(0xFFFF)) | np.uint32(0x8000)
    return codes


@functools.cache
def _ascii_table() -> bytes:
    return _table()[:128].astype(np.uint8).tobytes() + bytes([SPACE]) * 128


@functools.cache
def _table() -> NDArray[np.uint16]:
    """The code of each character of Unicode's first plane."""
    table = np.arange(_PLANE, dtype=np.uint16)  # Chinese, Korean, marks of Indian scripts: as is
    for point in itertools.chain(range(0x3400), range(0xA000, 0xAC00), range(0xF900, _PLANE)):
        table[point] = _code(point)
    table[ord("\n")] = NEWLINE
    return table


@functools.cache
def _bytes() -> NDArray[np.uint8]:
    """One byte for each character of the first plane, 0 for what is no letter or digit."""
    codes = _table().astype(np.uint32)
    return np.where(codes <= SPACE, 0, np.where(codes < 128, codes, _one_byte(codes))).astype(
        np.uint8
    )


def _one_byte(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """128 to 255, as evenly as may be (Fibonacci hashing)."""
    return (codes * np.uint32(0x9E3779B1)) >> np.uint32(25) | np.uint32(128)


def _code(point: int) -> int:
    character = chr(point)
    category = unicodedata.category(character)
    if category == "Cf" or 0x300 <= point < 0x370:
        return GONE
    if category[0] == "M":
        return point
    first = unicodedata.normalize("NFKD", character.casefold())[0].casefold()[0]
    return ord(first) if first.isalnum() and SPACE < ord(first) < _PLANE else SPACE
