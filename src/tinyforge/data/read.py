"""The user's rows, whatever they are stored in, one by one."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

from tinyforge.config.data import DataSettings
from tinyforge.data.csv_rows import rows_of_table
from tinyforge.data.files import (
    PACKED_SUFFIXES,
    Damaged,
    as_utf8,
    find_encoding,
    find_file,
    peek,
    refuse_binary,
    unpacked,
)
from tinyforge.data.json_rows import json_shape, rows_of_array, rows_of_lines
from tinyforge.data.object_rows import (
    looks_like_hub_id,
    rows_of_hub,
    rows_of_object,
    rows_of_parquet,
)
from tinyforge.data.text_rows import rows_of_text
from tinyforge.errors import DataError
from tinyforge.records.rows import Rejected, Row

_SUFFIXES = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".tab": "tsv", ".parquet": "parquet", ".pq": "parquet", ".txt": "text", ".text": "text",
    ".md": "text", ".rst": "text",
}  # fmt: skip
_ENCODING_SAMPLE = 100


def read_rows(source: Any, settings: DataSettings) -> Iterator[Row | Rejected]:
    """Read rows as a stream; a bad row comes as ``Rejected`` and the next one follows.

    Args:
        source: a file (JSONL, JSON array, CSV, TSV, Parquet, plain text; each also as .gz, .xz
            or .zst), a list of files, a list of dicts, a pandas or polars frame, a
            ``datasets.Dataset``, or a hub id ``owner/name``.
        settings: format, encoding and limits.

    Raises:
        DataError: the source as a whole cannot be read.
    """
    return islice(_all_rows(source, settings), settings.max_rows)


def _all_rows(source: Any, settings: DataSettings) -> Iterator[Row | Rejected]:
    if isinstance(source, (str, Path)):
        name = str(source)
        if not _exists(name) and looks_like_hub_id(name):
            return rows_of_hub(name)
        return _file_rows(source, settings)
    if _is_list_of_files(source):
        return (row for path in source for row in _file_rows(path, settings))
    return rows_of_object(source)


def is_plain_text(source: Any, settings: DataSettings) -> bool:
    """Whether the source is made of plain text files, whose passages stand side by side."""
    if isinstance(source, (str, Path)):
        suffix = _format_of(str(source), b"", settings)
        return suffix == "text"
    return _is_list_of_files(source) and all(is_plain_text(path, settings) for path in source)


def _is_list_of_files(source: Any) -> bool:
    return (
        isinstance(source, Sequence)
        and not isinstance(source, (str, bytes))
        and len(source) > 0
        and all(isinstance(path, (str, Path)) for path in source)
    )


def _exists(name: str) -> bool:
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError):
        return False


def _file_rows(source: str | Path, settings: DataSettings) -> Iterator[Row | Rejected]:
    name = str(source)
    path = find_file(source)
    head, chunks = peek(unpacked(path, settings))
    if not head.strip():
        yield from _breakage(chunks, name)
        raise DataError("the file is empty", where=name, fix="Give a file with rows")
    kind = _format_of(name, head, settings)
    if kind == "parquet":
        with _seekable(path, chunks, packed=not _starts_like(path, head)) as file:
            yield from rows_of_parquet(file, name)
        return
    refuse_binary(head, name)
    head, chunks = peek(as_utf8(chunks, find_encoding(head, settings)))
    rows = _text_format_rows(kind, head, chunks, name, settings)
    yield from _guard_encoding(rows, name)


def _breakage(chunks: Iterator[bytes], name: str) -> Iterator[Row | Rejected]:
    """Raises DataError where a file without content is so because it is damaged."""
    try:
        for chunk in chunks:
            if chunk.strip():
                return
    except Damaged as damage:
        raise DataError(str(damage), where=name, fix="Fetch or pack the file again") from None
    yield from ()


def _format_of(name: str, head: bytes, settings: DataSettings) -> str:
    if settings.format is not None:
        return settings.format
    suffixes = [s.lower() for s in Path(name).suffixes]
    while suffixes and suffixes[-1] in PACKED_SUFFIXES:
        suffixes.pop()
    if suffixes and suffixes[-1] in _SUFFIXES:
        return _SUFFIXES[suffixes[-1]]
    if head.startswith(b"PAR1"):
        return "parquet"
    return "unknown"


def _text_format_rows(
    kind: str, head: bytes, chunks: Iterator[bytes], name: str, settings: DataSettings
) -> Iterator[Row | Rejected]:
    if kind == "text":
        return rows_of_text(chunks, name)
    if kind in ("csv", "tsv"):
        columns = (settings.input, settings.output, settings.group, settings.time)
        wanted = tuple(column for column in columns if column)
        size = settings.max_row_bytes
        return rows_of_table(chunks, name, size, tabs=kind == "tsv", wanted=wanted)
    if kind == "unknown" and not head.lstrip().startswith((b"{", b"[")):
        raise DataError(
            "the format cannot be told from the file's name",
            where=name,
            fix="Name it with --set data.format=jsonl, json, csv, tsv, parquet or text",
        )
    if settings.format == "jsonl" or json_shape(head) == "lines":
        return rows_of_lines(chunks, name, settings.max_row_bytes)
    return rows_of_array(chunks, name, settings.max_row_bytes)


def _starts_like(path: Path, head: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(16) == head[:16]


def _seekable(path: Path, chunks: Iterator[bytes], *, packed: bool) -> BinaryIO:
    """The file itself, or an unpacked copy of it on disk."""
    if not packed:
        return path.open("rb")
    file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - the caller closes it
    try:
        for chunk in chunks:
            file.write(chunk)
    except Damaged as damage:
        file.close()
        raise DataError(str(damage), where=str(path)) from None
    file.seek(0)
    return file


def _guard_encoding(rows: Iterator[Row | Rejected], name: str) -> Iterator[Row | Rejected]:
    """Raises DataError where nearly all of the first rows are not UTF-8."""
    seen = wrong = 0
    for row in rows:
        seen += 1
        wrong += isinstance(row, Rejected) and row.reason == "not valid UTF-8"
        yield row
        if seen == _ENCODING_SAMPLE:
            break
    if wrong and wrong >= 0.9 * seen:
        raise DataError(
            f"this is not UTF-8 text: {wrong} of the first {seen} rows are not valid",
            where=name,
            fix="If it is text, name its encoding, for example --set data.encoding=cp1252",
        )
    yield from rows
