"""A prepared corpus on disk, open for reading."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tinyforge.artifacts.files import read_json
from tinyforge.artifacts.manifest import MANIFEST
from tinyforge.corpus.split import PARTS
from tinyforge.errors import DataError, FolderError
from tinyforge.records.documents import Document

RECORD = "tinyforge/prepare.json"
_BATCH = 256


@dataclass(frozen=True)
class SourceCounts:
    """What the corpus holds of one source.

    Attributes:
        weight: how often it is to be seen, for the mix; 1 as often as it is long.
        documents, characters: part to count.
    """

    name: str
    weight: float
    documents: dict[str, int] = field(default_factory=dict)
    characters: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Prepared:
    """A corpus that ``tinyforge prepare`` finished.

    Attributes:
        folder: where it lies.
        sources: each source's counts by its name, in the order in which they were given; those
            of which nothing is left stand there too.
        fingerprint: SHA-256 over all documents in all parts, in hex; the same bytes, the same
            fingerprint.
    """

    folder: Path
    sources: dict[str, SourceCounts]
    fingerprint: str
    _shards: list[dict[str, Any]] = field(repr=False)

    @property
    def weights(self) -> dict[str, float]:
        """Each source's weight in a mix."""
        return {name: counts.weight for name, counts in self.sources.items()}

    def count(self, part: str, source: str | None = None) -> int:
        """Documents of a part, of all sources or of one."""
        chosen = self.sources.values() if source is None else [self._source(source)]
        return sum(counts.documents.get(part, 0) for counts in chosen)

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        """The documents of ``train``, ``validation`` or ``test`` in their order, one by one.

        Raises:
            DataError: there is no such part, or no such source.
            FolderError: a file is missing or damaged.
        """
        if part not in PARTS:
            raise DataError("no such part", value=part, fix=f"One of: {', '.join(PARTS)}")
        if source is not None:
            self._source(source)
        return self._documents(part, source)

    def _documents(self, part: str, source: str | None) -> Iterator[Document]:
        for shard in self._shards:
            if shard["part"] == part and (source is None or source in shard["sources"]):
                yield from _read(self.folder / shard["file"], source)

    def _source(self, name: str) -> SourceCounts:
        if name not in self.sources:
            raise DataError(
                "no such source", where=str(self.folder), value=name,
                fix=f"One of: {', '.join(self.sources)}",
            )  # fmt: skip
        return self.sources[name]


def is_prepared(path: str | Path) -> bool:
    """Whether a folder is a corpus that ``tinyforge prepare`` finished."""
    folder = Path(path)
    return (folder / RECORD).is_file() and (folder / MANIFEST).is_file()


def open_prepared(folder: str | Path) -> Prepared:
    """A prepared corpus, by what its record says; no document is read yet.

    Raises:
        FolderError: it is no prepared corpus, is not finished, or is damaged.
    """
    folder = Path(folder)
    if not is_prepared(folder):
        unfinished = (folder / "tinyforge" / "work").is_dir()
        raise FolderError(
            "is not finished" if unfinished else "is no prepared corpus", where=str(folder),
            fix="Finish it with tinyforge prepare … --resume" if unfinished
            else "Make one with tinyforge prepare SOURCE… --output DIR",
        )  # fmt: skip
    record = read_json(folder / RECORD)
    try:
        sources = {
            source["name"]: SourceCounts(
                source["name"],
                float(source["weight"]),
                {part: source["parts"][part]["documents"] for part in PARTS},
                {part: source["parts"][part]["characters"] for part in PARTS},
            )
            for source in record["sources"]
        }
        return Prepared(folder, sources, record["fingerprint"], record["shards"])
    except (KeyError, TypeError, ValueError) as problem:
        raise FolderError("is damaged", where=str(folder / RECORD), value=str(problem)) from None


def _read(path: Path, source: str | None) -> Iterator[Document]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_BATCH):
                for row in batch.to_pylist():
                    if source is None or row["source"] == source:
                        meta = orjson.loads(row["meta"])
                        yield Document(row["id"], row["text"], row["source"], row["language"], meta)
    except OSError as problem:
        raise FolderError("cannot be read", where=str(path), value=problem.strerror) from None
    except pa.ArrowException as problem:
        raise FolderError("is damaged", where=str(path), value=str(problem)) from None
