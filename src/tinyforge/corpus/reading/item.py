"""What all readers take and give: an item to read, and documents or reasons why there are none."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, cast

from tinyforge.artifacts.files import disk_errors
from tinyforge.config.corpus_read import ReadSettings
from tinyforge.data.files import CHUNK, peek
from tinyforge.data.lines import excerpt
from tinyforge.records.documents import Document, Dropped

STEP = "read"
HEAD = 64 * 1024
"""Bytes by which kind and encoding of a file are told."""

_LONE = re.compile("[\ud800-\udfff]")
_CUT_SHARE = 10
"""A long text is cut at the last good place within this part of its end: a tenth."""


class Unreadable(Exception):  # noqa: N818 - a signal between functions of this package
    """An item gives no document.

    Args:
        reason: a short fixed phrase, so that it can be counted.
        detail: what was seen.
    """

    def __init__(self, reason: str, detail: str = "", excerpt: str = "", size: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.detail, self.excerpt, self.size = reason, detail, excerpt, size


class Content:
    """Bytes that are read once, in order, or as a file in which one can seek.

    Args:
        chunks: the bytes.
        size: how many bytes they take where they lie, packed or not.
        path: the file that holds exactly these bytes, if there is one.
    """

    def __init__(self, chunks: Iterator[bytes], size: int, path: Path | None = None) -> None:
        self._chunks = chunks
        self.size = size
        self.path = path

    def head(self) -> bytes:
        """The first bytes, which are not used up by this."""
        first, self._chunks = peek(self._chunks, HEAD)
        return first

    def chunks(self) -> Iterator[bytes]:
        """All bytes."""
        return self._chunks

    def whole(self, limit: int) -> bytes:
        """All bytes at once.

        Raises:
            Unreadable: there are more than ``limit``.
        """
        parts, size = [], 0
        for chunk in self._chunks:
            parts.append(chunk)
            size += len(chunk)
            if size > limit:
                raise Unreadable("file too large", f"more than {limit:,} bytes")
        return b"".join(parts)

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """The bytes as a file in which one can seek: the file itself, or a copy on disk.

        Raises:
            FolderError: the disk is full.
        """
        if self.path is not None:
            with self.path.open("rb") as file:
                yield file
            return
        with tempfile.TemporaryFile() as copy:
            for chunk in self._chunks:
                with disk_errors(Path(tempfile.gettempdir())):
                    copy.write(chunk)
            copy.seek(0)
            yield cast(BinaryIO, copy)


def file_chunks(path: Path) -> Iterator[bytes]:
    """A file's bytes; it is opened when the first are asked for."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


@dataclass(frozen=True, slots=True)
class Item:
    """One file or member of an archive.

    Attributes:
        id: names it for good; documents of it carry this, with a number where it holds several.
        source: the source that the user named.
        name: its path, by which its kind is told; suffixes of packings already undone are gone.
        content: its bytes.
        meta: what is known of all its documents.
        depth: how many archives and packings are around it.
    """

    id: str
    source: str
    name: str
    content: Content
    meta: dict[str, Any] = field(default_factory=dict)
    depth: int = 0

    def with_content(self, content: Content, name: str) -> Item:
        """What is inside a packing: the same item with other bytes, one level deeper."""
        return replace(self, content=content, name=name, depth=self.depth + 1)


@dataclass(frozen=True, slots=True)
class Work:
    """What readers need besides an item.

    Attributes:
        settings: the user's.
        read: reads one item of any kind; for members of archives.
        count: told of bytes that were unpacked; raises Unreadable once they are too many.
    """

    settings: ReadSettings
    read: Callable[[Item], Iterator[Document | Dropped]]
    count: Callable[[int], None]


Reader = Callable[[Item, Work], Iterator[Document | Dropped]]


def dropped(
    item: Item, reason: str, detail: str = "", *, number: str = "", shown: str = "", size: int = 0
) -> Dropped:
    """A refusal of an item, or of the document ``number`` in it."""
    name = f"{item.id}:{number}" if number else item.id
    return Dropped(name, item.source, STEP, reason, detail[:300], excerpt(shown), size)


def documents(
    item: Item,
    text: str,
    settings: ReadSettings,
    *,
    number: str = "",
    meta: dict[str, Any] | None = None,
) -> Iterator[Document | Dropped]:
    """One text as a document; as several or none where it is too long; none where it is empty."""
    if not text.strip():
        yield dropped(item, "empty", number=number)
        return
    if not text.isascii():
        text = _LONE.sub("\ufffd", text)
    name = f"{item.id}:{number}" if number else item.id
    known = {**item.meta, **(meta or {})}
    limit = settings.max_characters
    if len(text) <= limit:
        yield Document(name, text, item.source, meta=known)
    elif settings.long_text == "reject":
        detail = f"{len(text):,} characters, at most {limit:,}"
        yield dropped(item, "too long", detail, number=number, shown=text[:200], size=len(text))
    else:
        for part, piece in enumerate(pieces(text, limit), 1):
            yield Document(f"{name}:{part}", piece, item.source, meta={**known, "part": part})


def pieces(text: str, limit: int) -> Iterator[str]:
    """A long text in pieces of at most ``limit`` characters that together are the text again."""
    start = 0
    while len(text) - start > limit:
        end = cut_place(text, start, limit)
        yield text[start:end]
        start = end
    yield text[start:]


def cut_place(text: str, start: int, limit: int) -> int:
    """Where to end a piece that begins at ``start``: after a paragraph, line, sentence or word."""
    least, most = start + limit - limit // _CUT_SHARE, start + limit
    for mark in ("\n\n", "\n", ". ", " "):
        place = text.rfind(mark, least, most)
        if place >= 0:
            return place + len(mark)
    return most


def numbers() -> Callable[[int], str]:
    """Names for rows by their line; a second row on the same line gets ``.2`` and so on."""
    last, repeats = 0, 0

    def name(line: int) -> str:
        nonlocal last, repeats
        repeats = repeats + 1 if line == last else 1
        last = line
        return str(line) if repeats == 1 else f"{line}.{repeats}"

    return name
