"""Words, lines and n-grams of a text as 64-bit hashes, computed by numpy all at once.

The hash of a piece of text is a polynomial over random values of its characters (Karp and Rabin
1987, modulo 2^64). Running sums give the hash of every piece in one pass, however they are cut.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.cleaning.characters import WORD, classes_of, codes_of, lowered

_SIZE = 1 << 17  # characters at once: what is needed for them stays in the processor's cache
_LONGEST = 1 << 16  # characters of a piece that count; two longer ones are told apart by these
_BASE = 0x9E3779B97F4A7C15
_PLANE = 1 << 16
FACTOR = np.uint64(0xD6E8FEB86659FD93)
"""What the hash so far is multiplied by before the next word of an n-gram is added."""


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all bits (the finaliser of SplitMix64)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


def runs(inside: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the runs of True start and end, each of shape (runs,)."""
    padded = np.zeros(len(inside) + 2, dtype=bool)
    padded[1:-1] = inside
    edges = np.flatnonzero(padded[1:] != padded[:-1])
    return edges[0::2], edges[1::2]


def hash_pieces(
    codes: NDArray[np.uint32], starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.uint64]:
    """A hash of each piece ``codes[start:end]``; pieces are in order and do not overlap.

    Args:
        codes: code points, shape (characters,).
        starts, ends: shape (pieces,).
    """
    powers, inverse, values = _tables()
    ends = np.minimum(ends, starts + _LONGEST)
    found = np.empty(len(starts), dtype=np.uint64)
    first = 0
    while first < len(starts):
        begin = int(starts[first])
        last = int(np.searchsorted(ends, begin + _SIZE, side="right"))
        stop = int(ends[last - 1])
        part = np.take(values, codes[begin:stop] & np.uint32(_PLANE - 1))
        part *= powers[: len(part)]
        sums = np.zeros(len(part) + 1, dtype=np.uint64)
        np.cumsum(part, out=sums[1:])
        start, end = starts[first:last] - begin, ends[first:last] - begin
        found[first:last] = (sums[end] - sums[start]) * inverse[start]
        first = last
    return found


def hash_words(words: tuple[str, ...]) -> NDArray[np.uint64]:
    """The hashes that ``hash_pieces`` gives these words."""
    ends = np.cumsum([len(word) for word in words])
    starts = ends - np.array([len(word) for word in words])
    return hash_pieces(codes_of("".join(words)), starts, ends)


def plain_words(
    text: str,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint64]]:
    """Words without punctuation and case: where they start and end, and their hashes."""
    codes = codes_of(text)
    starts, ends = runs((classes_of(codes) & WORD) != 0)
    return starts, ends, hash_pieces(lowered(codes), starts, ends)


def ngrams(hashes: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """A hash of each ``length`` words in a row: shape (words - length + 1,)."""
    count = max(0, len(hashes) - length + 1)
    found = hashes[:count].copy()
    for place in range(1, length):
        found *= FACTOR
        found += hashes[place : place + count]
    return found


@cache
def _tables() -> tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]]:
    """Powers of the base, their inverses modulo 2^64, and a random value for each character."""
    size = _SIZE + 1
    powers = np.full(size, _BASE, dtype=np.uint64)
    inverse = np.full(size, pow(_BASE, -1, 1 << 64), dtype=np.uint64)
    powers[0] = inverse[0] = 1
    values = mix(np.arange(1, _PLANE + 1, dtype=np.uint64))
    return np.cumprod(powers), np.cumprod(inverse), values
