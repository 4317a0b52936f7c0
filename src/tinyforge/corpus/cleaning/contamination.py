"""The n-grams of evaluation files, in a sorted table on disk, and texts that hold one of them.

As for GPT-3 (Brown et al. 2020, appendix C): a training text is contaminated where 13 words in a
row, without case and punctuation, stand in an evaluation file too. An evaluation text of 8 to 12
words is looked for as a whole; a shorter one could stand anywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.artifacts.files import write_bytes
from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.config.data import DataSettings
from tinyforge.corpus.cleaning.words import FACTOR, mix, ngrams, plain_words
from tinyforge.data.read import read_rows
from tinyforge.errors import DataError, FolderError
from tinyforge.records.rows import Row

_MAGIC = b"TFNGRAM1"
_GATE_BITS_EACH = 16  # bits of the gate for each n-gram: one lookup in sixteen passes by chance
_LEAST_GATE = 1 << 16
_ROW_BITS = 40


@dataclass(frozen=True, slots=True)
class Hit:
    """Words in a row of a text that stand in an evaluation file.

    Attributes:
        start, end: characters of the text.
        file, row: the evaluation file's name, and the line or row in it.
    """

    start: int
    end: int
    file: str
    row: int


def build_contamination_index(files: Sequence[str], settings: CleanSettings, path: Path) -> int:
    """Store the n-grams of evaluation files at ``path``, whole or not at all.

    Every text of every row counts, in any column. Files are all that ``tinyforge train`` reads:
    JSONL, JSON, CSV, TSV, Parquet, plain text, each also packed.

    Returns:
        How many different n-grams were stored.

    Raises:
        DataError: a file cannot be read, or no text in the files is long enough.
    """
    hashes: list[NDArray[np.uint64]] = []
    origins: list[NDArray[np.uint64]] = []
    beginnings: list[NDArray[np.uint64]] = []
    lengths: set[int] = set()
    shortest = min(settings.contamination_least_words, settings.contamination_words)
    for number, file in enumerate(files):
        for row, text in _texts(file):
            words = plain_words(text)[2]
            length = min(len(words), settings.contamination_words)
            if length < shortest:
                continue
            grams = _keyed(ngrams(words, length), length)
            lengths.add(length)
            hashes.append(grams)
            beginnings.append(mix(ngrams(words, shortest)[: len(grams)]))
            origin = np.uint64(number << _ROW_BITS | row)
            origins.append(np.full(len(grams), origin, dtype=np.uint64))
    if not hashes:
        raise DataError(
            f"no text has {settings.contamination_least_words} words or more",
            where=", ".join(files),
            fix="Name other files in clean.contamination, or lower clean.contamination_least_words",
        )
    table, first = np.unique(np.concatenate(hashes), return_index=True)
    gate = _gate_of(np.concatenate(beginnings))
    header: dict[str, Any] = {
        "files": [Path(file).name for file in files],
        "lengths": sorted(lengths),
        "shortest": shortest,
        "ngrams": len(table),
        "gate": len(gate),
    }
    encoded = orjson.dumps(header)
    encoded += b" " * (-len(encoded) % 8)
    parts = (_MAGIC, len(encoded).to_bytes(8, "little"), encoded, gate.tobytes(),
             table.tobytes(), np.concatenate(origins)[first].tobytes())  # fmt: skip
    write_bytes(path, b"".join(parts))
    return len(table)


def _texts(file: str) -> Iterator[tuple[int, str]]:
    """Row numbers and all texts of a file's rows, those inside lists and tables too."""
    for row in read_rows(file, DataSettings()):
        if isinstance(row, Row):
            for text in _strings(row.fields):
                yield row.source.line, text


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _strings(item)


def _keyed(grams: NDArray[np.uint64], length: int) -> NDArray[np.uint64]:
    """Keys of n-grams of one length, different from those of other lengths."""
    return mix(grams + np.uint64(length))


def _gate_of(beginnings: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """A bit for each possible low part of the hash of an n-gram's first words.

    One look at it turns nearly all places of a text away, for all lengths of n-grams at once.
    """
    size = max(_LEAST_GATE, 1 << (len(beginnings) * _GATE_BITS_EACH - 1).bit_length())
    bits = np.zeros(size, dtype=bool)
    bits[(beginnings & np.uint64(size - 1)).astype(np.int64)] = True
    return np.packbits(bits, bitorder="little")


class ContaminationIndex:
    """Finds evaluation text; the table stays on disk and is shared by all processes.

    Raises:
        FolderError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        try:
            raw = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
            size = int.from_bytes(raw[8:16].tobytes(), "little")
            header = orjson.loads(raw[16 : 16 + size].tobytes())
            begin = 16 + size
            middle = begin + header["gate"]
            end = middle + 8 * header["ngrams"]
            if raw[:8].tobytes() != _MAGIC or len(raw) != end + 8 * header["ngrams"]:
                raise ValueError("not a table of n-grams")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FolderError(
                "the table of evaluation n-grams is missing or damaged", where=str(path),
                fix="Prepare again with --force",
            ) from error  # fmt: skip
        self.files: list[str] = header["files"]
        self.lengths: list[int] = header["lengths"]
        self._shortest: int = header["shortest"]
        self._gate = raw[begin:middle]
        self._table = raw[middle:end].view(np.uint64)
        self._origins = raw[end:].view(np.uint64)

    def find(self, text: str) -> list[Hit]:
        """All places of evaluation text, in order; those that overlap are one."""
        starts, ends, hashes = plain_words(text)
        hits: list[Hit] = []
        maybe = self._maybe(hashes)
        for length in self.lengths:
            for first, entry in self._places(hashes, maybe, length):
                origin = int(self._origins[entry])
                row = origin & (1 << _ROW_BITS) - 1
                file = self.files[origin >> _ROW_BITS]
                last = first + length - 1
                hits.append(Hit(int(starts[first]), int(ends[last]), file, row))
        return _joined(hits)

    def _maybe(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Words where a stored n-gram may start, by the gate."""
        low = mix(ngrams(hashes, self._shortest)) & np.uint64(8 * len(self._gate) - 1)
        byte = self._gate[(low >> np.uint64(3)).astype(np.int64)]
        return np.flatnonzero(byte >> (low & np.uint64(7)).astype(np.uint8) & 1)

    def _places(
        self, hashes: NDArray[np.uint64], maybe: NDArray[np.int64], length: int
    ) -> list[tuple[int, int]]:
        """Words where a stored n-gram of this length starts, and its number in the table."""
        maybe = maybe[maybe + length <= len(hashes)]
        grams = hashes[maybe]
        for place in range(1, length):
            grams = grams * FACTOR + hashes[maybe + place]
        keys = _keyed(grams, length)
        entry = np.minimum(np.searchsorted(self._table, keys), len(self._table) - 1)
        found = self._table[entry] == keys
        return list(zip(maybe[found].tolist(), entry[found].tolist(), strict=True))


def _joined(hits: list[Hit]) -> list[Hit]:
    joined: list[Hit] = []
    for hit in sorted(hits, key=lambda h: (h.start, -h.end)):
        if joined and hit.start < joined[-1].end:
            last = joined[-1]
            joined[-1] = Hit(last.start, max(last.end, hit.end), last.file, last.row)
        else:
            joined.append(hit)
    return joined


def without_hits(text: str, hits: Sequence[Hit], window: int, least: int) -> str:
    """A text without the hits and ``window`` characters on both sides of each.

    Cuts are moved outwards to white space. Pieces of less than ``least`` characters go too, and
    the others are put together with an empty line between them.
    """
    pieces = []
    begin = 0
    for hit in hits:
        stop = max(0, hit.start - window)
        while stop > 0 and not text[stop - 1].isspace():
            stop -= 1
        if stop > begin:
            pieces.append(text[begin:stop].strip())
        begin = max(begin, min(len(text), hit.end + window))
        while begin < len(text) and not text[begin].isspace():
            begin += 1
    pieces.append(text[begin:].strip())
    return "\n\n".join(piece for piece in pieces if len(piece) >= max(1, least))
