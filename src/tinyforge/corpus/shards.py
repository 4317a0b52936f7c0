"""The corpus as Parquet files: one worker writes one file, the same whoever writes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, sha256, sync_file, write_bytes
from tinyforge.corpus.split import PARTS
from tinyforge.corpus.stages.chunks import ChunkFile, Chunks, Head
from tinyforge.corpus.stages.index import Index
from tinyforge.corpus.stages.worker import Channel

_ROW_GROUP_CHARACTERS, _ROW_GROUP_ROWS = 4_000_000, 10_000
_MOST_DOCUMENTS = 200_000
"""Documents in a file, about: half a kilobyte each is held while it is written."""
_COLUMNS = ("id", "text", "source", "language", "meta")
_SIGN_OF_LIFE = 500


@dataclass(frozen=True)
class Shard:
    """A file to write: documents ``start`` to ``end`` in the order of its part."""

    part: str
    number: int
    start: int
    end: int

    @property
    def file(self) -> str:
        """Its path in the output folder."""
        return f"{self.part}/{self.number:05d}.parquet"


@dataclass
class Written:
    """A file that is written.

    Attributes:
        documents, characters: what it holds, after repeats were cut.
        sources: the same by source: name to (documents, characters).
    """

    file: str
    part: str
    documents: int = 0
    characters: int = 0
    bytes: int = 0
    sha256: str = ""
    sources: dict[str, list[int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What became of one document when its file was written.

    Attributes:
        row: its row in the file; -1 where nothing of it was left.
        characters: what it was written with.
        changes: what was cut, by name.
    """

    document: int
    row: int
    characters: int
    changes: dict[str, int]


@dataclass(frozen=True)
class ShardTools:
    """What a worker needs to write shards; it can be pickled.

    Attributes:
        work: the folder that holds chunks and index.
        output: the folder of the corpus.
        repeats: folder of repeated lines and passages; None where nothing is cut.
    """

    work: Path
    output: Path
    repeats: Path | None

    @cached_property
    def chunks(self) -> Chunks:
        """Opened once in each process."""
        return Chunks(self.work / "chunks")

    @cached_property
    def index(self) -> Index:
        """Opened once in each process."""
        return Index(self.work / "index")

    @cached_property
    def strip(self) -> Any:
        """Takes a text and its rank among the kept documents; the rest, and what was cut."""
        from tinyforge.corpus.duplicates import Repeats

        return None if self.repeats is None else Repeats.open(self.repeats).strip

    def outcome_path(self, shard: Shard) -> Path:
        """Where the outcomes of a shard's documents lie; it is written last."""
        return self.work / "shards" / f"{shard.part}-{shard.number:05d}"


def plan_shards(index: Index, part_of: NDArray[np.int8], most: int) -> list[Shard]:
    """Which documents go into which file; saves their order as ``index.array(part)``."""
    shards = []
    for code, part in enumerate(PARTS):
        documents = np.flatnonzero(part_of == code)
        index.save(part, documents)
        # What became of a file's documents is held in memory, so that many short ones count more.
        sizes = np.maximum(index.characters[documents], most // _MOST_DOCUMENTS)
        ends = np.cumsum(sizes)
        start = number = 0
        while start < len(documents):
            before = ends[start - 1] if start else 0
            end = int(np.searchsorted(ends, before + most, side="left")) + 1
            shards.append(Shard(part, number, start, min(end, len(documents))))
            start, number = end, number + 1
    return shards


def remove_halves(output: Path) -> None:
    """Remove what workers that were killed left of the files they were writing."""
    for part in PARTS:
        for left in (output / part).glob(".*.tmp"):
            left.unlink(missing_ok=True)


def write_shard(channel: Channel, tools: ShardTools, shard: Shard) -> None:
    """Write one file, then what became of each document."""
    import pyarrow.parquet as pq

    path = tools.output / shard.file
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    written = Written(shard.file, shard.part)
    outcomes: list[Outcome] = []
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = pq.ParquetWriter(temporary, _schema(), compression="zstd", write_statistics=True)
        with writer:
            for group in _groups(channel, tools, shard, written, outcomes):
                writer.write_table(_table(group), row_group_size=len(group))
        sync_file(temporary)
        written.bytes, written.sha256 = temporary.stat().st_size, sha256(temporary)
        temporary.replace(path)
    _write_outcomes(tools.outcome_path(shard), written, outcomes)


def _groups(
    channel: Channel, tools: ShardTools, shard: Shard, written: Written, outcomes: list[Outcome]
) -> Iterator[list[tuple[Head, str]]]:
    """The rows of the file, in groups that fit into memory."""
    group: list[tuple[Head, str]] = []
    characters = 0
    at: ChunkFile | None = None
    heads: list[Head] = []
    ranks = tools.index.array("ranks")
    for count, number in enumerate(tools.index.array(shard.part)[shard.start : shard.end].tolist()):
        if count % _SIGN_OF_LIFE == 0:
            channel.tell(count)
        chunk, place = tools.chunks.place(number)
        if chunk is not at:
            at, heads = chunk, chunk.heads()
        head, text, changes = heads[place], chunk.text(place), {}
        if tools.strip is not None:
            text, changes = tools.strip(text, int(ranks[number]))
        if not text.strip():
            outcomes.append(Outcome(number, -1, 0, changes))
            continue
        outcomes.append(Outcome(number, written.documents, len(text), changes))
        written.documents += 1
        written.characters += len(text)
        share = written.sources.setdefault(head.source, [0, 0])
        share[0] += 1
        share[1] += len(text)
        group.append((head, text))
        characters += len(text)
        if characters >= _ROW_GROUP_CHARACTERS or len(group) >= _ROW_GROUP_ROWS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([(name, pa.string()) for name in _COLUMNS])


def _table(group: Sequence[tuple[Head, str]]) -> Any:
    import pyarrow as pa

    columns = {
        "id": [head.id for head, _ in group],
        "text": [text for _, text in group],
        "source": [head.source for head, _ in group],
        "language": [head.language for head, _ in group],
        "meta": [head.meta for head, _ in group],
    }
    return pa.table(columns, schema=_schema())


def _write_outcomes(path: Path, written: Written, outcomes: Sequence[Outcome]) -> None:
    import zstandard

    rows = [(o.document, o.row, o.characters, o.changes) for o in outcomes]
    data = zstandard.ZstdCompressor(level=3).compress(orjson.dumps([asdict(written), rows]))
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def read_outcomes(path: Path) -> tuple[Written, list[Outcome]]:
    """What ``write_shard`` left: the file, and its documents in rising order."""
    import zstandard

    written, rows = orjson.loads(zstandard.ZstdDecompressor().decompress(path.read_bytes()))
    return Written(**written), [Outcome(*row) for row in rows]
