"""Passages that stand in more than one document: fingerprints, and how far a match reaches.

Fingerprints are chosen by winnowing (Schleimer, Wilkerson and Aiken 2003): of all stretches of
words as long as half a passage, the one with the smallest hash in every window. The choice depends
on the words alone, so that two documents which share a whole passage share a fingerprint in it,
wherever it stands.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.duplicates.hashing import windows64

_BLOCK = 512
SHIFT = np.uint64(32)
"""A place is a number of 64 bits: the document above, the word in it below."""

_LOW = (1 << 32) - 1


def gram_words(passage: int) -> int:
    """Words of a fingerprint, for passages of so many words."""
    return max(1, passage // 2)


def fingerprints(
    hashes: NDArray[np.uint64], ends: NDArray[np.int64], passage: int
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Fingerprints of documents, and the word at which each begins.

    Args:
        hashes: the words of all documents, one behind the other.
        ends: the end of each document among them.
        passage: words of the shortest passage that is looked for.
    """
    if len(hashes) < passage:
        return np.zeros(0, dtype=np.uint64), np.zeros(0, dtype=np.int64)
    width = passage - gram_words(passage) + 1
    grams = windows64(hashes, gram_words(passage)) | np.uint64(1)  # 0 stands for none below
    least = _sliding(np.minimum, grams, width)
    # Windows that reach into the next document choose nothing.
    crossing = (ends[:-1, None] - np.arange(1, passage)).ravel()
    least[crossing[(crossing >= 0) & (crossing < len(least))]] = 0
    # A stretch is chosen if it is the least of any window that it is in.
    border = np.zeros(width - 1, dtype=np.uint64)
    highest = _sliding(np.maximum, np.concatenate((border, least, border)), width)
    places = np.flatnonzero(grams == highest)
    return grams[places], places


def _sliding(function: np.ufunc, values: NDArray[np.uint64], width: int) -> NDArray[np.uint64]:
    """The least or highest of each window: windows twice as long are made of two."""
    length = 1
    while 2 * length <= width:
        values = function(values[:-length], values[length:])
        length *= 2
    rest = width - length
    return function(values[:-rest], values[rest:]) if rest else values


def matches(
    keys: NDArray[np.uint64], places: NDArray[np.uint64], documents: int
) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """Places of fingerprints that stand in earlier documents too, each with an earlier place.

    Each comes with the first place, and with the last one before, where a match may reach further.

    Args:
        keys: fingerprints, sorted.
        places: where each stands, in order where the fingerprints are equal.
        documents: so many must hold a fingerprint.
    """
    new = np.ones(len(keys), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    begins = np.flatnonzero(new)
    group = np.cumsum(new) - 1
    numbers = places >> SHIFT
    other = new.copy()
    other[1:] |= numbers[1:] != numbers[:-1]
    enough = np.add.reduceat(other, begins, dtype=np.int64) >= documents
    first = places[begins][group]
    before = np.concatenate((places[:1], places[:-1]))
    chosen = enough[group] & (numbers != first >> SHIFT)
    further = chosen & other & (before != first)
    return (
        np.concatenate((places[chosen], places[further])),
        np.concatenate((first[chosen], before[further])),
    )


class WordFile:
    """The words of all documents as 32-bit hashes in a file, for comparing them at any place."""

    def __init__(self, path: Path, ends: NDArray[np.int64]) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._starts = np.concatenate(([0], ends))

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def common(self, place: int, other: int) -> tuple[int, int]:
        """Words that are equal before two places, and from them on."""
        (start, at, end), (other_start, other_at, other_end) = map(self._bounds, (place, other))
        before = self._equal(at, other_at, min(at - start, other_at - other_start), -1)
        after = self._equal(at, other_at, min(end - at, other_end - other_at), 1)
        return before, after

    def _bounds(self, place: int) -> tuple[int, int, int]:
        document, word = place >> 32, place & _LOW
        start, end = self._starts[document : document + 2].tolist()
        return start, start + word, end

    def _equal(self, one: int, other: int, most: int, step: int) -> int:
        found = 0
        while found < most:
            size = min(_BLOCK, most - found)
            shift = found if step > 0 else -found - size
            differ = self._read(one + shift, size) != self._read(other + shift, size)
            places = np.flatnonzero(differ)
            if len(places):
                return found + int(places[0] if step > 0 else size - 1 - places[-1])
            found += size
        return found

    def _read(self, word: int, count: int) -> NDArray[np.uint32]:
        return np.frombuffer(os.pread(self._file, 4 * count, 4 * word), dtype=np.uint32)


def spans(
    found: Iterator[tuple[NDArray[np.uint64], NDArray[np.uint64]]], words: WordFile, passage: int
) -> Iterator[tuple[int, int, int]]:
    """Stretches of words to drop: document, first word, and the one after the last; in order.

    Args:
        found: places with those that they may repeat, by place.
        passage: words of the shortest stretch.
    """
    gram = gram_words(passage)
    last: tuple[int, int, int] | None = None
    followed: dict[int, int] = {}
    for places, firsts in found:
        for place, first in zip(places.tolist(), firsts.tolist(), strict=True):
            document, word = place >> 32, place & _LOW
            if last and last[0] != document:
                yield last
                last = None
                followed.clear()
            # Two texts that run along each other were followed to the end of that.
            if followed.get(place - first, 0) >= word + gram:
                continue
            before, after = words.common(place, first)
            start, end = word - before, word + after
            followed[place - first] = end
            if end - start < passage:
                continue
            if last and start <= last[2]:
                last = (document, min(start, last[1]), max(end, last[2]))
                continue
            if last:
                yield last
            last = (document, start, end)
    if last:
        yield last
