"""Chunks: a stretch of the sources after reading and cleaning, one file each.

A chunk file is written once, all at once, and holds everything that later stages need of its
documents: each text by itself (a zstd frame, so that any one can be read alone), what is known of
each, what was dropped, and the signatures by which duplicates are found.
"""

from __future__ import annotations

import os
import struct
import weakref
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.artifacts.files import write_parts
from tinyforge.errors import FolderError
from tinyforge.records.documents import Document, Dropped

_MAGIC = b"TFchunk1"
_LEVEL = 3
_OPEN_CHUNKS = 64
_OPTIONS = orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY


@dataclass(frozen=True, slots=True)
class Head:
    """What is known of a document that cleaning kept, without its text.

    Attributes:
        meta: its plain JSON, as text.
        changes: what cleaning did to it, by name.
        size: characters as it was read.
        characters: characters after cleaning.
    """

    id: str
    source: str
    language: str
    meta: str
    changes: dict[str, int]
    size: int
    characters: int


@dataclass(frozen=True, slots=True)
class Turned:
    """A dropped document as a chunk keeps it, with its whole text where that is asked for."""

    dropped: Dropped
    text: str | None = None


@dataclass(frozen=True)
class Content:
    """What goes into a chunk.

    Attributes:
        documents: those that cleaning kept, as it left them.
        changes: for each, what cleaning did.
        sizes: for each, characters as it was read.
        keys: uint64, shape (documents,): hashes of the ids, by which they are split.
        turned: what was dropped, in order.
        signatures: as ``duplicates.signatures`` made them of the texts: a dataclass of arrays.
    """

    documents: Sequence[Document]
    changes: Sequence[dict[str, int]]
    sizes: Sequence[int]
    keys: NDArray[np.uint64]
    turned: Sequence[Turned]
    signatures: Any


def write_chunk(path: Path, content: Content) -> None:
    """Write a chunk file, durable and all at once.

    Raises:
        FolderError: the disk is full, or the file cannot be written.
    """
    import zstandard

    pack = zstandard.ZstdCompressor(level=_LEVEL).compress
    texts = [pack(document.text.encode("utf-8")) for document in content.documents]
    offsets = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    characters = np.array([len(document.text) for document in content.documents], dtype=np.int64)
    heads = orjson.dumps(
        [
            (d.id, d.source, d.language, meta_text(d.meta), changes, size, len(d.text))
            for d, changes, size in zip(
                content.documents, content.changes, content.sizes, strict=True
            )
        ],
        option=_OPTIONS,
    )
    turned = orjson.dumps([_of_turned(one) for one in content.turned])
    sections = {
        "texts": b"".join(texts),
        "offsets": offsets.tobytes(),
        "characters": characters.tobytes(),
        "keys": np.ascontiguousarray(content.keys, dtype=np.uint64).tobytes(),
        "heads": pack(heads),
        "turned": pack(turned),
    }
    arrays = {}
    for part in fields(content.signatures):
        array = np.ascontiguousarray(getattr(content.signatures, part.name))
        arrays[part.name] = (array.dtype.str, array.shape)
        sections[f"signatures.{part.name}"] = pack(array.tobytes())
    places, at = {}, 0
    for name, data in sections.items():
        places[name] = (at, len(data))
        at += len(data)
    table = orjson.dumps(
        {
            "documents": len(texts),
            "turned": len(content.turned),
            "sections": places,
            "arrays": arrays,
        }
    )
    parts = [_MAGIC, struct.pack("<Q", len(table)), table, *sections.values()]
    # Its own name in each process: one that outlives its master by a moment is in nobody's way.
    write_parts(path, parts, path.with_name(f".{path.name}.{os.getpid()}.tmp"))


def meta_text(meta: dict[str, Any]) -> str:
    """A document's meta as JSON; what JSON has no form for becomes its text."""
    if not meta:
        return "{}"
    try:
        return orjson.dumps(meta, default=str, option=_OPTIONS).decode("utf-8")
    except (TypeError, ValueError):  # numbers beyond 64 bits, lone surrogates
        plain = {clean_text(str(name)): clean_text(str(value)) for name, value in meta.items()}
        return orjson.dumps(plain, option=_OPTIONS).decode("utf-8")


def clean_text(text: str) -> str:
    """The text in a form that UTF-8 can hold: lone surrogates become their escape."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text


def _of_turned(one: Turned) -> tuple[Any, ...]:
    dropped = one.dropped
    return (
        dropped.id, dropped.source, dropped.step, dropped.reason, dropped.detail,
        dropped.excerpt, dropped.size, one.text,
    )  # fmt: skip


class ChunkFile:
    """One chunk, open for reading.

    Attributes:
        documents: how many documents are kept in it.
        turned: how many are dropped.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("rb")
        weakref.finalize(self, self._file.close)
        try:
            if self._file.read(8) != _MAGIC:
                raise FolderError("is damaged: not a chunk", where=str(path))
            size = struct.unpack("<Q", self._file.read(8))[0]
            table = orjson.loads(self._file.read(min(size, path.stat().st_size)))
            self._start = 16 + size
            self._places: dict[str, tuple[int, int]] = table["sections"]
            self.documents: int = table["documents"]
            self.turned: int = table["turned"]
            self._arrays: dict[str, tuple[str, list[int]]] = table["arrays"]
        except (struct.error, orjson.JSONDecodeError, KeyError):
            raise FolderError("is damaged: not a chunk", where=str(path)) from None
        self._offsets: NDArray[np.int64] | None = None

    def close(self) -> None:
        """Give the file back."""
        self._file.close()

    def text(self, index: int) -> str:
        """The text of its ``index``-th document."""
        if self._offsets is None:
            self._offsets = np.frombuffer(self._section("offsets"), dtype=np.int64)
        start, end = int(self._offsets[index]), int(self._offsets[index + 1])
        return _unpack(self._read(self._places["texts"][0] + start, end - start)).decode("utf-8")

    def texts(self) -> Iterator[str]:
        """All texts, in order."""
        return (self.text(index) for index in range(self.documents))

    def heads(self) -> list[Head]:
        """What is known of all documents."""
        return [Head(*row) for row in orjson.loads(_unpack(self._section("heads")))]

    def dropped(self) -> Iterator[Turned]:
        """What was dropped, in order."""
        for *values, text in orjson.loads(_unpack(self._section("turned"))):
            yield Turned(Dropped(*values), text)

    def characters(self) -> NDArray[np.int64]:
        """Characters of each document."""
        return np.frombuffer(self._section("characters"), dtype=np.int64)

    def keys(self) -> NDArray[np.uint64]:
        """The hash of each id."""
        return np.frombuffer(self._section("keys"), dtype=np.uint64)

    def signatures(self) -> dict[str, NDArray[Any]]:
        """The arrays of what ``duplicates.signatures`` made of the texts, by name."""
        return {
            name: np.frombuffer(
                _unpack(self._section(f"signatures.{name}")), dtype=np.dtype(kind)
            ).reshape(shape)
            for name, (kind, shape) in self._arrays.items()
        }

    def _section(self, name: str) -> bytes:
        return self._read(*self._places[name])

    def _read(self, start: int, size: int) -> bytes:
        self._file.seek(self._start + start)
        data = self._file.read(size)
        if len(data) != size:
            raise FolderError("is damaged: cut off", where=str(self.path))
        return data


def _unpack(data: bytes) -> bytes:
    import zstandard

    return zstandard.ZstdDecompressor().decompress(data)


class Chunks:
    """All documents that cleaning kept, numbered through all chunks, read one at a time.

    Args:
        folder: holds the chunk files; their names give their order.
    """

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        self._open: OrderedDict[int, ChunkFile] = OrderedDict()
        self._first = [0]
        for number in range(len(self.paths)):
            self._first.append(self._first[-1] + self.chunk(number).documents)

    def __len__(self) -> int:
        return self._first[-1]

    def __iter__(self) -> Iterator[tuple[int, ChunkFile]]:
        """Each chunk with the number of its first document."""
        return ((self._first[number], self.chunk(number)) for number in range(len(self.paths)))

    def chunk(self, number: int) -> ChunkFile:
        """The ``number``-th chunk; the last ones asked for stay open."""
        found = self._open.get(number)
        if found is None:
            found = self._open[number] = ChunkFile(self.paths[number])
            if len(self._open) > _OPEN_CHUNKS:
                self._open.popitem(last=False)[1].close()
        else:
            self._open.move_to_end(number)
        return found

    def place(self, document: int) -> tuple[ChunkFile, int]:
        """A document's chunk, and which one of it the document is."""
        number = bisect_right(self._first, document) - 1
        return self.chunk(number), document - self._first[number]

    def text(self, document: int) -> str:
        """The text of a document, by its number."""
        chunk, index = self.place(document)
        return chunk.text(index)

    def close(self) -> None:
        """Close all files."""
        for chunk in self._open.values():
            chunk.close()
        self._open.clear()
