"""How much of a document repeats itself: the figures of Gopher's rules (Rae et al. 2021, A1.1).

Copies are found by sorting hashes once: an n-gram can only occur twice where the shorter n-grams
in it do, so each longer length looks at the places that are left, which are few.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.cleaning.words import FACTOR

TOP_LENGTHS = (2, 3, 4)
COPY_LENGTHS = (5, 6, 7, 8, 9, 10)


def copies(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """For each value whether it occurred before, shape (values,)."""
    copied = np.zeros(len(hashes), dtype=bool)
    places, same = _sorted(hashes)
    copied[places[1:][same]] = True
    return copied


def copied_share(hashes: NDArray[np.uint64], sizes: NDArray[np.int64]) -> tuple[float, float]:
    """Share of the pieces that are copies of earlier ones, and of their characters."""
    if len(hashes) < 2:
        return 0.0, 0.0
    copied = copies(hashes)
    return float(copied.mean()), float(sizes[copied].sum() / max(1, sizes.sum()))


def ngram_shares(hashes: NDArray[np.uint64], sizes: NDArray[np.int64]) -> dict[int, float]:
    """Shares of a document's characters, by length of the n-gram.

    For 2 to 4 words, the characters of the most frequent n-gram, all its occurrences together;
    for 5 to 10 words, the characters covered by n-grams that occurred before, each character
    counted once.

    Args:
        hashes: of the words, shape (words,).
        sizes: characters of each word, shape (words,).
    """
    shares = dict.fromkeys((*TOP_LENGTHS, *COPY_LENGTHS), 0.0)
    total = int(sizes.sum())
    ends = np.concatenate(([0], np.cumsum(sizes)))
    places = np.arange(len(hashes))
    grams = hashes
    for length in range(2, COPY_LENGTHS[-1] + 1):
        # places: where shorter n-grams start that occur twice; the next one has to, as well.
        goes_on = np.zeros(len(hashes) + 1, dtype=bool)
        goes_on[places] = True
        kept = goes_on[places + 1] & (places + length <= len(hashes))
        places = places[kept]
        grams = grams[kept] * FACTOR + hashes[places + length - 1]
        if len(places) < 2:
            break
        order, same = _sorted(grams)
        if length in TOP_LENGTHS:
            shares[length] = _top_share(places[order], same, length, ends) / total
        else:
            covered = _covered(places[order[1:][same]], length, len(hashes))
            shares[length] = float(sizes[covered].sum()) / total
        twice = np.zeros(len(places), dtype=bool)
        twice[order[1:][same]] = True
        twice[order[:-1][same]] = True
        places, grams = places[twice], grams[twice]
    return shares


def _sorted(values: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Places in the order of their values, and which have the value of the one before.

    Value and place are packed into one number, since plain sorting is several times faster than
    sorting by another array. Equal values come in the order of their places.
    """
    bits = max(1, int(len(values) - 1).bit_length()) if len(values) else 1
    low = np.uint64((1 << bits) - 1)
    packed = np.sort((values & ~low) | np.arange(len(values), dtype=np.uint64))
    same = (packed[1:] ^ packed[:-1]) <= low
    return (packed & low).astype(np.int64), same


def _top_share(
    starts: NDArray[np.int64], same: NDArray[np.bool_], length: int, ends: NDArray[np.int64]
) -> float:
    """Characters of the most frequent n-gram; of the longest, where several are."""
    firsts = np.flatnonzero(np.concatenate(([True], ~same)))
    counts = np.diff(np.append(firsts, len(starts)))
    most = int(counts.max())
    if most < 2:
        return 0.0
    begin = starts[firsts[counts == most]]
    return most * int((ends[begin + length] - ends[begin]).max())


def _covered(starts: NDArray[np.int64], length: int, words: int) -> NDArray[np.bool_]:
    """Words inside an n-gram that starts at one of the places."""
    steps = np.zeros(words + 1, dtype=np.int32)
    steps[starts] += 1
    steps[starts + length] -= 1  # starts are distinct, so no index comes twice in either line
    return np.cumsum(steps[:-1]) > 0
