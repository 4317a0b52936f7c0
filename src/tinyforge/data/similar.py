"""How alike texts are: normal form, shingles, MinHash signatures, Jaccard similarity.

MinHash: Broder 1997, "On the resemblance and containment of documents".
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example

SHINGLE = 5
"""Characters of a shingle."""

_BATCH_CHARACTERS = 200_000
_LARGE = 200_000_000
_MANY = 1_000_000
_CHANCE = 1 / 16  # of four bits to agree though the hash values differ
_CACHED_SHINGLES = 4_000_000
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def normal_form(text: str) -> str:
    """Text as it is compared: Unicode NFKC, without case, single spaces."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def compared_text(example: Example) -> str:
    """What two examples are compared by: the input, all user turns, or the raw text."""
    if example.messages:
        return normal_form("\n".join(m.content for m in example.messages if m.role == "user"))
    return normal_form(example.input or example.output or "")


def short_hash(text: str) -> int:
    """64 bits of BLAKE2b."""
    digest = hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def shingles(texts: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Hashes of all shingles of some texts, and where each text's begin.

    A text shorter than a shingle is padded with spaces to one.
    """
    padded = [text if len(text) >= SHINGLE else text.ljust(SHINGLE) for text in texts]
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    total = len(codes) - SHINGLE + 1
    hashes = np.zeros(total, dtype=np.uint64)
    for position in range(SHINGLE):
        hashes *= _FACTOR
        hashes += codes[position : position + total]
    lengths = np.fromiter(map(len, padded), dtype=np.int64, count=len(padded))
    inside = np.ones(total, dtype=bool)
    ends = np.cumsum(lengths)[:-1]
    for back in range(1, SHINGLE):
        inside[ends - back] = False
    mixed = mix(hashes[inside])
    counts = lengths - (SHINGLE - 1)
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return (mixed >> np.uint64(32)).astype(np.uint32), starts


def mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all bits (the finaliser of SplitMix64)."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values


class Signatures:
    """MinHash signatures of many texts.

    The keys of the bands lie on disk, a file a band. Of the hash values only the lowest four bits
    are kept in memory, for estimates (b-bit MinHash: Li and König 2010).

    Args:
        texts: the texts, one after the other.
        count: how many.
        characters: their characters together, about; a very large amount gets shorter signatures.
        threshold: the Jaccard similarity from which pairs have to be found.
        folder: where the files go.

    Attributes:
        bits: uint8, shape (count, values / 2): two values a byte.
    """

    def __init__(
        self, texts: Iterable[str], count: int, characters: int, threshold: float, folder: Path
    ) -> None:
        values = 64 if characters > _LARGE or count > _MANY else 128
        rows = band_rows(threshold, values)
        self.bits = np.empty((count, values // 2), dtype=np.uint8)
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = [folder / f"band-{band}.bin" for band in range(values // rows)]
        random = np.random.Generator(np.random.PCG64(20_240_101))
        multiply = random.integers(0, 2**31, values, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        add = random.integers(0, 2**32, values, dtype=np.uint32)
        position = 0
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("wb")) for path in self._paths]
            for batch in _batches(texts):
                signature = minhash(*shingles(batch), multiply, add)
                end = position + len(batch)
                low = (signature & np.uint32(15)).astype(np.uint8)
                self.bits[position:end] = low[:, 0::2] << np.uint8(4) | low[:, 1::2]
                position = end
                for band, file in enumerate(files):
                    part = signature[:, band * rows : (band + 1) * rows].astype(np.uint64)
                    key = np.full(len(batch), band, dtype=np.uint64)
                    for column in range(rows):
                        key = mix(key * _FACTOR + part[:, column])
                    file.write(key.tobytes())

    def bands(self) -> Iterator[NDArray[np.uint64]]:
        """The keys of each band: shape (count,). Equal keys make a pair a candidate."""
        return (np.fromfile(path, dtype=np.uint64) for path in self._paths)

    def estimate(self, first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
        """Estimated Jaccard similarity of pairs."""
        differ = self.bits[first] ^ self.bits[second]
        same = np.count_nonzero(differ & 0xF0 == 0, axis=1)
        same += np.count_nonzero(differ & 0x0F == 0, axis=1)
        found: NDArray[np.float64] = (same / (2 * self.bits.shape[1]) - _CHANCE) / (1 - _CHANCE)
        return found

    def margin(self, similarity: float) -> float:
        """Three standard errors of the estimate of a similarity."""
        agree = similarity + (1 - similarity) * _CHANCE
        error = np.sqrt(agree * (1 - agree) / (2 * self.bits.shape[1])) / (1 - _CHANCE)
        return float(3 * error)


def _batches(texts: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size > _BATCH_CHARACTERS:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def minhash(
    hashes: NDArray[np.uint32],
    starts: NDArray[np.int64],
    multiply: NDArray[np.uint32],
    add: NDArray[np.uint32],
) -> NDArray[np.uint32]:
    """Least value of every text's shingles under each of the hash functions h*a+b (mod 2^32)."""
    signature = np.empty((len(starts), len(multiply)), dtype=np.uint32)
    buffer = np.empty_like(hashes)
    for column, (a, b) in enumerate(zip(multiply, add, strict=True)):
        np.multiply(hashes, a, out=buffer)
        buffer += b
        signature[:, column] = np.minimum.reduceat(buffer, starts)
    return signature


def band_rows(threshold: float, values: int) -> int:
    """Hash values in a band: as many as still find nearly every pair at the threshold.

    A pair of similarity s shares at least one of b bands of r values with probability
    1 - (1 - s^r)^b (Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3).
    """
    wanted = 0.999 if values >= 128 else 0.985
    rows = 1
    for tried in range(1, 17):
        if 1 - (1 - threshold**tried) ** (values // tried) >= wanted:
            rows = tried
    return rows


def distinct_shingles(text: str) -> NDArray[np.uint32]:
    """Hashes of a text's shingles, each once, sorted."""
    return np.unique(shingles([text])[0])


class Comparer:
    """True likeness of texts by number, keeping the last shingle sets.

    Args:
        text: a text by its number.
        distinct: a text's shingles, each once, sorted.
    """

    def __init__(
        self,
        text: Callable[[int], str],
        distinct: Callable[[str], NDArray[np.uint32]] = distinct_shingles,
    ) -> None:
        self._text = text
        self._distinct = distinct
        self._cache: dict[int, NDArray[np.uint32]] = {}
        self._size = 0

    def jaccard(self, first: int, second: int) -> float:
        """Shared shingles over all shingles, in [0, 1]."""
        common, a, b = self.overlap(first, second)
        return common / (a + b - common)

    def overlap(self, first: int, second: int) -> tuple[int, int, int]:
        """How many shingles two texts share, and how many each has."""
        a, b = self._set(first), self._set(second)
        return len(np.intersect1d(a, b, assume_unique=True)), len(a), len(b)

    def _set(self, index: int) -> NDArray[np.uint32]:
        found = self._cache.get(index)
        if found is None:
            found = self._distinct(self._text(index))
            if self._size > _CACHED_SHINGLES:
                self._cache.clear()
                self._size = 0
            self._cache[index] = found
            self._size += len(found)
        return found
