"""The words and lines of texts as hashes, with their places."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.duplicates.folding import GONE, NEWLINE, SPACE, codes_of
from tinyforge.corpus.duplicates.hashing import FACTOR
from tinyforge.data.similar import mix

PIECE = 1 << 16
"""Characters that are worked on at once, at most."""

_LONGEST = 2 * PIECE + 2


@dataclass(frozen=True, slots=True)
class Words:
    """Words of some parts of text, one behind the other.

    A word is a stretch of letters and digits, compared without case and accents.

    Attributes:
        hashes: uint64, one a word.
        starts, ends: int64: the characters of its part from which and to which it reaches.
        first: int64, shape (parts + 1,): the words before each part, and before the end.
    """

    hashes: NDArray[np.uint64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    first: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines with at least one word, of some parts of text.

    Attributes:
        hashes: uint64: of the line's words.
        first, last: int64: its first word, and the one after its last.
        parts: int64: the part that it is in.
    """

    hashes: NDArray[np.uint64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]
    parts: NDArray[np.int64]


def pieces(text: str) -> Iterator[tuple[int, str]]:
    """A text in pieces of at most ``PIECE`` characters, each with its place.

    It is cut after a line where one ends, else after a space, else anywhere.
    """
    start = 0
    while len(text) - start > PIECE:
        end = text.rfind("\n", start, start + PIECE) + 1
        if end <= start:
            end = text.rfind(" ", start, start + PIECE) + 1
        if end <= start:
            end = start + PIECE
        yield start, text[start:end]
        start = end
    yield start, text[start:]


def words_of(parts: Sequence[str]) -> tuple[Words, Lines]:
    """The words and lines of some parts, which are together no longer than two pieces."""
    begins = np.zeros(len(parts) + 1, dtype=np.int64)
    np.cumsum([len(part) + 1 for part in parts], out=begins[1:])
    codes = codes_of("\n".join(parts) + "\n")
    inside = codes > SPACE
    if codes.dtype != np.uint8:
        inside |= codes == GONE
    edges = np.flatnonzero(inside[1:] != inside[:-1]) + 1
    if inside[0]:
        edges = np.concatenate(([0], edges))
    starts, ends = edges[0::2], edges[1::2]  # the last character is no part of a word
    powers, inverse = _powers()
    terms = codes.astype(np.uint64)
    terms *= inside
    terms *= powers[: len(terms)]
    hashes = _sums(terms, starts, inverse[starts])
    first = np.searchsorted(starts, begins)
    lines = _lines(codes, starts, hashes, begins)
    shift = np.repeat(begins[:-1], np.diff(first))
    return Words(hashes, starts - shift, ends - shift, first), lines


def _lines(
    codes: NDArray[np.uint8] | NDArray[np.uint16],
    starts: NDArray[np.int64],
    hashes: NDArray[np.uint64],
    begins: NDArray[np.int64],
) -> Lines:
    line_ends = np.flatnonzero(codes == NEWLINE)
    last = np.searchsorted(starts, line_ends)
    first = np.concatenate(([0], last[:-1]))
    filled = first < last
    first, last, line_ends = first[filled], last[filled], line_ends[filled]
    powers, inverse = _powers()
    found = _sums(hashes * powers[: len(hashes)], first, inverse[first])
    parts = np.searchsorted(begins, line_ends, side="right") - 1
    return Lines(found, first, last, parts)


def _sums(
    terms: NDArray[np.uint64], starts: NDArray[np.int64], factors: NDArray[np.uint64]
) -> NDArray[np.uint64]:
    """A polynomial hash of each stretch, wherever it stands.

    Each term was multiplied by a power of its place; ``factors`` take the power of the stretch's
    first place away again.
    """
    if not len(starts):
        return np.zeros(0, dtype=np.uint64)
    return mix(np.add.reduceat(terms, starts) * factors)


@functools.cache
def _powers() -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the factor, and of its inverse modulo 2^64."""
    return _powers_of(FACTOR), _powers_of(pow(FACTOR, -1, 1 << 64))


def _powers_of(factor: int) -> NDArray[np.uint64]:
    found = np.full(_LONGEST, factor, dtype=np.uint64)
    found[0] = 1
    return np.multiply.accumulate(found)
