"""Plain text: a file is one document, in parts where it is long, or each line is one."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from tinyforge.corpus.reading.decode import Decoded, as_text, decode, encoding_of, refuse_binary
from tinyforge.corpus.reading.item import Item, Unreadable, Work, cut_place, documents, dropped
from tinyforge.data.files import Damaged, as_utf8
from tinyforge.data.lines import excerpt, read_lines
from tinyforge.records.documents import Document, Dropped


def read_text(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """A text file. Line ends become ``\\n``; memory holds one part of a long text.

    A file that breaks off (a packed one that was cut) gives the parts before the last, which is
    dropped: nobody knows where it would have ended.
    """
    if work.settings.lines:
        yield from _lines(item, work)
        return
    limit = work.settings.max_characters
    text, part, broken = "", 0, ""
    head = item.content.head()
    encoding = encoding_of(head, work.settings.encoding)
    refuse_binary(head, encoding)
    item = _noting(item, encoding)
    pieces = decoded(item.content.chunks(), encoding)
    while True:
        try:
            piece = next(pieces, None)
        except Damaged as damage:
            broken = str(damage)
            break
        if piece is None:
            break
        text += piece
        while len(text) > limit and work.settings.long_text == "cut":
            part += 1
            end = cut_place(text, 0, limit)
            yield from _part(item, text[:end], work, part)
            text = text[end:]
        if len(text) > limit:
            size = len(text) + sum(len(rest) for rest in pieces)
            detail = f"{size:,} characters, at most {limit:,}"
            yield dropped(item, "too long", detail, shown=text[:200], size=size)
            return
    if broken:
        number = str(part + 1) if part else ""
        reason = "file breaks off"
        yield dropped(item, reason, broken, number=number, shown=text[:200], size=len(text))
    elif part:
        if text.strip():
            yield from _part(item, text, work, part + 1)
    else:
        text, meta = _mended(text)
        yield from documents(item, text, work.settings, meta=meta)


def _part(item: Item, text: str, work: Work, part: int) -> Iterator[Document | Dropped]:
    text, meta = _mended(text)
    meta["part"] = part
    yield from documents(item, text, work.settings, number=str(part), meta=meta)


def _noting(item: Item, encoding: str) -> Item:
    """The item, whose documents tell in which encoding it is where that is not UTF-8."""
    meta = Decoded("", encoding).meta()
    return replace(item, meta=item.meta | meta) if meta else item


def decoded(chunks: Iterator[bytes], encoding: str) -> Iterator[str]:
    """A text in pieces, with ``\\n`` at line ends.

    Bytes that are wrong in UTF-8 come as lone surrogates, which ``_mended`` looks at.
    """
    if encoding == "cp1252":
        yield from _newlines(as_text(chunk, encoding).text for chunk in chunks)
        return
    errors = "replace" if encoding != "utf-8" else "surrogateescape"
    decoder = codecs.getincrementaldecoder("utf-8-sig" if encoding == "utf-8" else encoding)(errors)
    yield from _newlines(_decoded(decoder, chunks))


def _decoded(decoder: codecs.IncrementalDecoder, chunks: Iterator[bytes]) -> Iterator[str]:
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", True)


def _newlines(pieces: Iterator[str]) -> Iterator[str]:
    held = ""
    for piece in pieces:
        piece = held + piece
        held = "\r" if piece.endswith("\r") else ""
        piece = piece.removesuffix("\r")
        yield piece.replace("\r\n", "\n").replace("\r", "\n") if "\r" in piece else piece
    if held:
        yield "\n"


def _mended(text: str) -> tuple[str, dict[str, Any]]:
    """A text, and where later bytes turned out not to be UTF-8, what they were read as."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        found = decode(text.encode("utf-8", "surrogateescape"))
        return found.text, found.meta()
    return text, {}


def _lines(item: Item, work: Work) -> Iterator[Document | Dropped]:
    head = item.content.head()
    encoding = encoding_of(head, work.settings.encoding)
    refuse_binary(head, encoding)
    item = _noting(item, encoding)
    given = False
    for line in read_lines(as_utf8(item.content.chunks(), encoding), work.settings.max_row_bytes):
        number = str(line.number)
        if line.fault:
            shown = excerpt(line.data)
            yield dropped(item, line.fault, line.detail, number=number, shown=shown)
            given = True
        elif line.data.strip():
            text, meta = _mended(line.data.decode("utf-8", "surrogateescape"))
            yield from documents(item, text.strip(), work.settings, number=number, meta=meta)
            given = True
    if not given:
        raise Unreadable("empty")
