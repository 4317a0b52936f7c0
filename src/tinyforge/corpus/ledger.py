"""The ledger: what happened to every document that was read, and why.

Parquet files, each with the documents whose id has one hash, sorted by id; so one is found by
looking into one small file, and all can be counted with any tool that reads Parquet.
"""

from __future__ import annotations

import difflib
import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from tinyforge.artifacts.files import disk_errors, sync_file
from tinyforge.errors import DataError, FolderError

LEDGER = "ledger"
_BUCKET_ENTRIES = 50_000
_MOST_BUCKETS = 1_024
_HELD = 20_000
"""Entries that are held in memory before they go to their buckets."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened to one document.

    Attributes:
        outcome: ``train``, ``validation``, ``test`` or ``dropped``.
        size: characters as it was read; 0 where nothing could be read.
        characters: characters that are kept.
        changes: what was done to it, by name: ``mended``, ``masked.email``, ``passages.cut``.
        file, row: where it stands in the output.
        step, reason, detail: where and why it was dropped.
        duplicate_of: id of the document that is kept instead.
        similarity: to that document.
        excerpt: first characters of what was dropped.
    """

    id: str
    source: str
    outcome: str
    language: str = ""
    size: int = 0
    characters: int = 0
    changes: str = "{}"
    file: str = ""
    row: int = -1
    step: str = ""
    reason: str = ""
    detail: str = ""
    duplicate_of: str = ""
    similarity: float = 0.0
    excerpt: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data; what is empty is left out."""
        found = {part.name: getattr(self, part.name) for part in fields(self)}
        found["changes"] = orjson.loads(self.changes)
        return {k: v for k, v in found.items() if v not in ("", {}, -1) and (v or k == "size")}


def write_ledger(entries: Iterable[Entry], count: int, folder: Path, work: Path) -> None:
    """Write all entries, in bounded memory.

    Args:
        count: about how many there are.
        folder: the corpus' folder; the ledger goes to ``ledger`` in it.
        work: a folder for entries on their way; it is removed.
    """
    buckets = max(1, min(_MOST_BUCKETS, -(-count // _BUCKET_ENTRIES)))
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(folder / LEDGER, ignore_errors=True)
    with disk_errors(folder):
        work.mkdir(parents=True)
        (folder / LEDGER).mkdir(parents=True)
        held: dict[int, list[Entry]] = {}
        for number, entry in enumerate(entries, 1):
            held.setdefault(bucket_of(entry.id, buckets), []).append(entry)
            if number % _HELD == 0:
                _spill(held, work)
        if buckets > 1:
            _spill(held, work)
        for bucket in range(buckets):
            path = folder / LEDGER / f"{bucket:04d}-of-{buckets:04d}.parquet"
            _write(path, sorted(_bucket(work, bucket, held), key=lambda entry: entry.id))
    shutil.rmtree(work, ignore_errors=True)


def bucket_of(name: str, buckets: int) -> int:
    """Which file a document's entry is in."""
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8).digest()
    return int.from_bytes(digest, "little") % buckets


def _spill(held: dict[int, list[Entry]], work: Path) -> None:
    for bucket, entries in held.items():
        lines = (orjson.dumps([getattr(e, part.name) for part in fields(e)]) for e in entries)
        with (work / str(bucket)).open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
    held.clear()


def _bucket(work: Path, bucket: int, held: dict[int, list[Entry]]) -> Iterator[Entry]:
    path = work / str(bucket)
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                yield Entry(*orjson.loads(line))
        path.unlink()
    yield from held.pop(bucket, [])


def _schema() -> Any:
    import pyarrow as pa

    kinds = {"size": pa.int64(), "characters": pa.int64(), "row": pa.int64(),
             "similarity": pa.float32()}  # fmt: skip
    return pa.schema([(part.name, kinds.get(part.name, pa.string())) for part in fields(Entry)])


def _write(path: Path, entries: list[Entry]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {part.name: [getattr(e, part.name) for e in entries] for part in fields(Entry)}
    temporary = path.with_name(f".{path.name}.tmp")
    table = pa.table(columns, schema=_schema())
    pq.write_table(table, temporary, compression="zstd", row_group_size=10_000)
    sync_file(temporary)
    temporary.replace(path)


def look_up(folder: Path, name: str) -> list[Entry]:
    """The entries of a document by its id; more than one where a source used an id twice.

    Raises:
        FolderError: there is no ledger.
        DataError: no document of that id was read; the error names near ones.
    """
    files = _files(folder)
    found = _rows(files[bucket_of(name, len(files))], name)
    if found:
        return found
    near = _near(files, name)
    hint = f"Did you mean {', '.join(map(repr, near))}?" if near else "Ids are in the ledger files"
    raise DataError("no such document was read", where=str(folder), value=name, fix=hint)


def entries(folder: Path) -> Iterator[Entry]:
    """All entries, file by file."""
    import pyarrow.parquet as pq

    for path in _files(folder):
        file = pq.ParquetFile(path)
        for batch in file.iter_batches(batch_size=5_000):
            for row in batch.to_pylist():
                yield Entry(**row)


def _files(folder: Path) -> list[Path]:
    found = sorted((folder / LEDGER).glob("*-of-*.parquet"))
    if not found:
        raise FolderError(
            "has no ledger", where=str(folder), fix="Give a folder that tinyforge prepare finished"
        )
    return found


def _rows(path: Path, name: str) -> list[Entry]:
    import pyarrow.parquet as pq

    table = pq.read_table(path, filters=[("id", "==", name)])
    return [Entry(**row) for row in table.to_pylist()]


def _near(files: list[Path], name: str) -> list[str]:
    """Ids that hold what was asked for, or else are spelt like it."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    holding: list[str] = []
    like: list[str] = []
    for path in files:
        ids = pq.read_table(path, columns=["id"])["id"]
        holding += ids.filter(pc.match_substring(ids, name))[:3].to_pylist()
        if len(holding) >= 3:
            break
        if len(files) == 1:
            like = difflib.get_close_matches(name, ids[:20_000].to_pylist(), n=1, cutoff=0.6)
    return sorted(holding)[:3] or like
