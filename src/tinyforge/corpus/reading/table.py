"""From kind to reader, and the one way in which anything is read."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading.databases import read_database, read_sqlite
from tinyforge.corpus.reading.docx import read_docx
from tinyforge.corpus.reading.html import read_html
from tinyforge.corpus.reading.item import (
    Content,
    Item,
    Reader,
    Unreadable,
    Work,
    dropped,
    file_chunks,
)
from tinyforge.corpus.reading.kinds import kind_of, kind_of_name, packing_of
from tinyforge.corpus.reading.markup import read_markdown, read_rst
from tinyforge.corpus.reading.packed import LEAST_OF_FILE, RATIO, unpack
from tinyforge.corpus.reading.pdf import read_pdf
from tinyforge.corpus.reading.plain_text import read_text
from tinyforge.corpus.reading.rows import read_csv, read_hub, read_json, read_parquet
from tinyforge.corpus.reading.source_code import read_code
from tinyforge.corpus.reading.tar import read_tar
from tinyforge.corpus.reading.unit import Unit, licence_beside, local_path
from tinyforge.corpus.reading.warc import read_warc
from tinyforge.corpus.reading.zip import read_zip
from tinyforge.data.files import Damaged
from tinyforge.errors import DataError, MissingPackageError, TinyForgeError
from tinyforge.records.documents import Document, Dropped

log = logging.getLogger("tinyforge")

READERS: dict[str, Reader] = {
    "text": read_text,
    "markdown": read_markdown,
    "rst": read_rst,
    "html": read_html,
    "warc": read_warc,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_csv,
    "parquet": read_parquet,
    "pdf": read_pdf,
    "docx": read_docx,
    "code": read_code,
    "sqlite": read_sqlite,
    "zip": read_zip,
    "tar": read_tar,
}
"""What reads files and members of archives, by kind."""

_WORST = 8
"""All that one unit unpacks to, layer by layer, is at most so many times the limit of one."""


def read_unit(unit: Unit, settings: ReadSettings) -> Iterator[Document | Dropped]:
    """The documents of one unit, and what in it is none and why, in an order that never changes.

    Memory holds one document and what it was made of. Whatever the content is, the unit is read
    to its end: bad content comes as ``Dropped``.

    Raises:
        DataError: a database or data set cannot be reached any more; the run should stop.
        SettingError: ``read.encoding`` names no encoding.
        FolderError: the disk is full.
    """
    work = _work(unit, settings)
    if unit.kind in ("database", "hub"):
        reader = read_database if unit.kind == "database" else read_hub
        item = Item(unit.name, unit.source, unit.path, Content(iter(()), 0))
        try:
            yield from reader(item, work)
        except Unreadable as fault:
            yield dropped(item, fault.reason, fault.detail)
        return
    path = local_path(unit)
    content = Content(file_chunks(path), unit.size, path)
    item = Item(unit.name, unit.source, unit.inner_name(), content)
    if unit.kind == "left out":
        yield dropped(item, "left out", unit.stamp)
    elif unit.kind == "special":
        yield dropped(item, "not a regular file")
    else:
        if unit.kind == "code":
            item = replace(item, meta=licence_beside(unit))
        yield from work.read(item)


def _work(unit: Unit, settings: ReadSettings) -> Work:
    total = 0
    one = settings.max_unpacked_bytes or max(LEAST_OF_FILE, RATIO * unit.size)

    def count(size: int) -> None:
        nonlocal total
        total += size
        if total > _WORST * one:
            raise Unreadable("unpacks to too much", f"more than {_WORST * one:,} bytes in all")

    def read(item: Item) -> Iterator[Document | Dropped]:
        return read_item(item, work)

    work = Work(settings, read, count)
    return work


def read_item(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """The documents of a file or member; whatever is wrong with it comes as ``Dropped``."""
    try:
        yield from _read(item, work)
    except Unreadable as fault:
        yield dropped(item, fault.reason, fault.detail, shown=fault.excerpt, size=fault.size)
    except Damaged as damage:
        yield dropped(item, "file breaks off", str(damage))
    except MissingPackageError as error:
        yield dropped(item, "package not installed", str(error))
    except DataError as error:
        yield dropped(item, "no readable rows", error.what)
    except TinyForgeError:
        raise
    except FileNotFoundError:
        yield dropped(item, "gone", "it was there when the sources were listed")
    except OSError as error:
        yield dropped(item, "cannot be read", error.strerror or str(error))
    except MemoryError:
        yield dropped(item, "needs too much memory")
    except RecursionError:
        yield dropped(item, "nested too deeply")
    except Exception as error:  # a parser meets bytes that its author did not think of
        log.warning("%s: %s: %s", item.id, type(error).__name__, error)
        yield dropped(item, "damaged", f"{type(error).__name__}: {error}")


def _read(item: Item, work: Work) -> Iterator[Document | Dropped]:
    kind = kind_of_name(item.name)
    head = item.content.head()
    if not head:
        for _ in item.content.chunks():  # says so where it is empty since it is damaged
            pass
        raise Unreadable("empty")
    packing = packing_of(head)
    # A damaged WARC is mended at the borders of its packed records, so it is unpacked there.
    if packing and kind != "not text" and not (kind == "warc" and packing == "gzip"):
        yield from work.read(unpack(item, work, packing))
        return
    kind = kind_of(item.name, head)
    reader = READERS.get(kind)
    if reader is None:
        suffix = item.name.rpartition("/")[2].rpartition(".")[2]
        raise Unreadable("not a kind that is read", f".{suffix}"[:40])
    yield from reader(item, work)
