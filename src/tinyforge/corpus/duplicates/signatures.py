"""What is kept of a text to find its repeats by: an exact hash, MinHash bands, sampled passages.

MinHash with one permutation (Li, Owen and Zhang 2012, "One permutation hashing"): each shingle is
hashed once; the upper bits of its hash choose one of 256 bins, the lower bits' smallest value in a
bin is one value of the signature. Empty bins borrow from others chosen at random (Shrivastava 2017,
"Optimal densification for fast and accurate minwise hashing"). So the work is one hash a shingle
and not one for each value of the signature.

Long documents also leave the hashes of a fixed sample of their passages, chosen by the hash value
itself (Broder 1997; FracMinHash), from which containment is told whatever the two lengths.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.folding import fold, folded_pieces
from tinyforge.corpus.duplicates.hashing import windows32
from tinyforge.data.similar import band_rows, mix

VALUES = 256
"""Of a MinHash signature."""

PASSAGE = 32
"""Folded characters of a sampled passage: so long that two texts share one only by copying."""

SAMPLE = 128
"""One in so many passages of a long document is sampled."""

_BIN_BITS = 8
_EMPTY = np.uint32(0xFFFFFFFF)
_VALUE_MASK = np.uint32((1 << (32 - _BIN_BITS)) - 1)
_ENOUGH = 24
_BATCH = 1 << 16
_ATTEMPTS = 64
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, slots=True)
class Signatures:
    """Signatures of some texts.

    Attributes:
        exact: uint64, shape (texts, 2): equal where the texts are equal but for case, accents,
            punctuation and white space; texts shorter than a shingle: but for white space alone.
        bands: uint64, shape (texts, bands): two texts that share a value at one place may be
            near-duplicates.
        bits: uint8, shape (texts, values / 2): four bits of each MinHash value, for estimates.
        sizes: int64, shape (texts,): shingles of each text; 0: too short for near-duplicates.
        passages: uint64: hashes of the sampled passages of long texts.
        owners: int64, as many: the text that each belongs to.
    """

    exact: NDArray[np.uint64]
    bands: NDArray[np.uint64]
    bits: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    passages: NDArray[np.uint64]
    owners: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.sizes)


def bands_of(settings: DuplicateSettings) -> tuple[int, int]:
    """How many bands there are, and of how many values each; no bands where none are wanted."""
    if settings.similarity >= 1:
        return 0, 1
    rows = band_rows(settings.similarity, VALUES)
    return VALUES // rows, rows


def signatures(texts: Sequence[str], settings: DuplicateSettings) -> Signatures:
    """The signatures of some texts, the same however texts are grouped into calls."""
    exact: list[bytes] = []
    minima = np.full((len(texts), VALUES), _EMPTY, dtype=np.uint32)
    sizes = np.zeros(len(texts), dtype=np.int64)
    passages, owners = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
    together: list[bytes] = []
    numbers: list[int] = []
    size = 0
    for number, text in enumerate(texts):
        if len(text) >= settings.long_document:
            whole, sampled, sizes[number] = _of_long(text, settings, minima[number])
            exact.append(whole)
            passages.append(sampled)
            owners.append(np.full(len(sampled), number, dtype=np.int64))
            continue
        folded = fold(text)
        exact.append(_exact_hash(folded if len(folded) >= settings.shingle else _plain(text)))
        together.append(folded)
        numbers.append(number)
        size += len(folded)
        if size > _BATCH:
            minima[numbers], sizes[numbers] = _of_short(together, settings.shingle)
            together, numbers, size = [], [], 0
    if together:
        minima[numbers], sizes[numbers] = _of_short(together, settings.shingle)
    bands, rows = bands_of(settings)
    _densify(minima)
    low = (minima & np.uint32(15)).astype(np.uint8)
    return Signatures(
        exact=np.frombuffer(b"".join(exact), dtype=np.uint64).reshape(-1, 2),
        bands=_band_keys(minima, bands, rows),
        bits=(low[:, 0::2] << np.uint8(4) | low[:, 1::2]) if bands else low[:, :0],
        sizes=sizes,
        passages=np.concatenate(passages),
        owners=np.concatenate(owners),
    )


def distinct_shingles(text: str, width: int) -> NDArray[np.uint32]:
    """Hashes of the shingles of a text of any length, each once, sorted."""
    parts = [windows32(_codes(piece), width) for piece in folded_pieces(text, width - 1)]
    hashes = np.sort(np.concatenate([np.zeros(0, dtype=np.uint32), *parts]))
    new = np.ones(len(hashes), dtype=bool)  # np.unique looks them up in a table, which is slower
    np.not_equal(hashes[1:], hashes[:-1], out=new[1:])
    return hashes[new]


def _codes(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


def _plain(text: str) -> bytes:
    return " ".join(text.split()).encode("utf-8", "surrogatepass")


def _exact_hash(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _of_short(texts: list[bytes], width: int) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Smallest value of each bin, shape (texts, 256), and shingles of each folded text."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    minima = np.full((len(texts) + 1) * VALUES, _EMPTY, dtype=np.uint32)
    hashes = windows32(_codes(b"".join(texts)), width)
    # Shingles that reach from one text into the next go to a row that nobody reads.
    rows = np.repeat(np.arange(len(texts)) * VALUES, lengths)[: len(hashes)]
    crossing = (np.cumsum(lengths)[:, None] - np.arange(1, width)).ravel()
    rows[crossing[(crossing >= 0) & (crossing < len(rows))]] = len(texts) * VALUES
    rows += hashes >> np.uint32(32 - _BIN_BITS)
    np.minimum.at(minima, rows, hashes & _VALUE_MASK)
    return minima.reshape(-1, VALUES)[:-1], np.maximum(lengths - (width - 1), 0)


def _of_long(
    text: str, settings: DuplicateSettings, minima: NDArray[np.uint32]
) -> tuple[bytes, NDArray[np.uint64], int]:
    """Fills a long text's bins piece by piece; its hash, sampled passages, and shingles."""
    digest = hashlib.blake2b(digest_size=16)
    sampled = [np.zeros(0, dtype=np.uint64)]
    overlap = max(PASSAGE, settings.shingle) - 1
    length = 0
    for piece in folded_pieces(text, overlap):
        fresh = piece[min(overlap, length) :]
        digest.update(fresh)
        length += len(fresh)
        codes = _codes(piece)
        np.minimum(minima, _bin_minima(windows32(codes, settings.shingle)), out=minima)
        if settings.containment < 1:
            sampled.append(_sample(codes))
    shingles = max(length - settings.shingle + 1, 0)
    exact = digest.digest() if shingles else _exact_hash(_plain(text))
    return exact, np.unique(np.concatenate(sampled)), shingles


def _bin_minima(hashes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Smallest value of each bin, shape (256,).

    Of many hashes only those small enough are looked at: a bin's smallest is nearly surely among
    them. Where a bin stays empty, all are.
    """
    values = hashes & _VALUE_MASK
    bins = hashes >> np.uint32(32 - _BIN_BITS)
    minima = np.full(VALUES, _EMPTY, dtype=np.uint32)
    if len(hashes) > 4 * _ENOUGH * VALUES:
        small = values < np.uint32(int(_VALUE_MASK) * _ENOUGH * VALUES // len(hashes))
        np.minimum.at(minima, bins[small].astype(np.intp), values[small])
        if (minima != _EMPTY).all():
            return minima
    np.minimum.at(minima, bins.astype(np.intp), values)
    return minima


def _sample(codes: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Hashes of one in ``SAMPLE`` passages: those whose own hash is small."""
    first = windows32(codes, PASSAGE)
    chosen = np.flatnonzero(first < np.uint32((1 << 32) // SAMPLE))
    if not len(chosen):
        return np.zeros(0, dtype=np.uint64)
    # Sampled hashes are all small; another polynomial gives them the bits they lack.
    windows = np.lib.stride_tricks.sliding_window_view(codes, PASSAGE)[chosen].astype(np.uint64)
    powers = np.multiply.accumulate(np.full(PASSAGE, _FACTOR, dtype=np.uint64))
    second = mix((windows * powers).sum(axis=1, dtype=np.uint64))
    found: NDArray[np.uint64] = mix(second ^ first[chosen].astype(np.uint64))
    return found


def _densify(minima: NDArray[np.uint32]) -> None:
    """Fill empty bins from filled ones, chosen by a hash of the bin and the attempt.

    Texts without any shingle keep empty bins.
    """
    rows, bins = np.nonzero(minima == _EMPTY)
    some = (minima != _EMPTY).any(axis=1)[rows]
    rows, bins = rows[some], bins[some]
    if not len(rows):
        return
    given = minima.copy()
    lenders = _lenders()
    for attempt in range(_ATTEMPTS):
        borrowed = given[rows, lenders[attempt][bins]]
        minima[rows, bins] = borrowed
        still = borrowed == _EMPTY
        rows, bins = rows[still], bins[still]
        if not len(rows):
            return
    for distance in range(1, VALUES):  # very short texts: the next filled bin
        borrowed = given[rows, (bins + distance) % VALUES]
        minima[rows, bins] = borrowed
        still = borrowed == _EMPTY
        rows, bins = rows[still], bins[still]


@functools.cache
def _lenders() -> NDArray[np.intp]:
    """The bin that each empty bin borrows from at each attempt, shape (attempts, 256)."""
    numbers = np.arange(_ATTEMPTS * VALUES, dtype=np.uint64).reshape(_ATTEMPTS, VALUES)
    return (mix(numbers) % np.uint64(VALUES)).astype(np.intp)


def _band_keys(minima: NDArray[np.uint32], bands: int, rows: int) -> NDArray[np.uint64]:
    """A key for each band of each text; the band's number is part of it."""
    parts = minima[:, : bands * rows].reshape(len(minima), bands, rows).astype(np.uint64)
    keys = np.broadcast_to(np.arange(bands, dtype=np.uint64), parts.shape[:2])
    for column in range(rows):
        keys = mix(keys * _FACTOR + parts[:, :, column])
    return np.ascontiguousarray(keys)
