"""DOCX: paragraphs and tables by python-docx, in a process with limits."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from typing import Any

from tinyforge.corpus.reading.isolated import parse_apart
from tinyforge.corpus.reading.item import Item, Unreadable, Work
from tinyforge.records.documents import Document, Dropped

_OLE = b"\xd0\xcf\x11\xe0"
_UNPACKED = 5
"""The parts of a file, unpacked, may take so many times what a file may."""

_DEEPEST = 20


def read_docx(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A Word file; title, author and date go to ``meta``."""
    data = item.content.whole(work.settings.max_file_bytes)
    if data.startswith(_OLE):
        raise Unreadable("encrypted", "encrypted, or a Word file of before 2007")
    most = _UNPACKED * work.settings.max_file_bytes
    yield from parse_apart("docx", data, {"most_bytes": most}, item, work)


def parse_docx(data: bytes, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A line for each paragraph, a tab between the cells of a table's row; headers and footers,
    which repeat on each page, are left out. Runs in the parser's own process.

    Raises:
        Unreadable: damaged, or unpacking to too much.
    """
    import docx

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(info.file_size for info in archive.infolist())
            if any(info.flag_bits & 1 for info in archive.infolist()):
                raise Unreadable("encrypted")
    except zipfile.BadZipFile as error:
        raise Unreadable("damaged", str(error)[:200]) from None
    if unpacked > options["most_bytes"]:
        raise Unreadable("unpacks to too much", f"{unpacked:,} bytes")
    document = docx.Document(io.BytesIO(data))
    text = "\n".join(_blocks(document, 0)).strip()
    if not text:
        raise Unreadable("no text")
    known = document.core_properties
    meta = {"title": known.title, "author": known.author, "date": _date(known)}
    return text, {key: str(value)[:500] for key, value in meta.items() if value}


def _blocks(holder: Any, depth: int) -> Iterator[str]:
    from docx.table import Table

    for block in holder.iter_inner_content():
        if not isinstance(block, Table):
            yield block.text
        elif depth < _DEEPEST:
            for row in block.rows:
                cells = row.cells
                # A cell over several columns comes once.
                single = [cell for i, cell in enumerate(cells) if not i or cell is not cells[i - 1]]
                yield "\t".join(" ".join(_blocks(cell, depth + 1)).strip() for cell in single)


def _date(known: Any) -> str:
    try:
        return known.modified.date().isoformat() if known.modified else ""
    except (ValueError, AttributeError):
        return ""
