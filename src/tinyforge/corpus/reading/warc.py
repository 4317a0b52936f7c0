"""WARC, the format of web archives (ISO 28500): pages and plain texts of its records.

Records are found here and not by ``warcio``'s iterator, so that damage costs the records that it
hits and no other; each one is then parsed by ``warcio``.
"""

from __future__ import annotations

import contextlib
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from tinyforge.corpus.reading.decode import decode, decode_html
from tinyforge.corpus.reading.html import read_page
from tinyforge.corpus.reading.item import Item, Unreadable, Work, documents, dropped
from tinyforge.corpus.reading.kinds import packing_of
from tinyforge.corpus.reading.packed import LEAST_OF_FILE, RATIO
from tinyforge.data.files import CHUNK, Damaged
from tinyforge.records.documents import Document, Dropped

_GZIP = b"\x1f\x8b\x08"
_START = b"WARC/"
_FIRST_LINE = re.compile(rb"WARC/[01]\.\d{1,2}[ \t]*\r?\n")
_LONGEST_FIRST_LINE = 16
_MOST_HEADER = 64 * 1024
_HTML = ("text/html", "application/xhtml+xml")
_ENCODINGS = ("", "identity", "gzip", "deflate")
_LENGTH = re.compile(rb"\r?\ncontent-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r?\n", re.I)
_END = re.compile(rb"\r?\n\r?\n")
_NOTES = "metadata:"
"""Addresses under which wget keeps notes of its own run."""

_KINDS = ("response", "resource", "conversion")


class Gap(NamedTuple):
    """Bytes that cannot be read: what stands before them does not go on after them."""

    why: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its header and block as they stand, or why it has none."""

    data: bytes
    fault: str = ""
    detail: str = ""


def read_warc(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """The pages and plain texts in a WARC file, packed by gzip or not.

    Answers (``response``), stored files (``resource``) and texts made of them (``conversion``, as
    in Common Crawl's WET files) of type HTML or plain text are documents; requests and notes of
    the crawler are none. ``meta`` has ``url`` and ``date`` of the record.
    """
    limit = work.settings.max_unpacked_bytes or max(LEAST_OF_FILE, RATIO * item.content.size)
    found = 0
    for number, record in enumerate(records(_bytes(item, work, limit), work), 1):
        name = str(number)
        if record.fault:
            found += 1
            shown = record.data[:200].decode("utf-8", "replace")
            yield dropped(item, record.fault, record.detail, number=name, shown=shown)
            continue
        try:
            for result in _documents(record.data, item, work, name):
                found += 1
                yield result
        except Unreadable as fault:
            found += 1
            yield dropped(item, fault.reason, fault.detail, number=name, shown=fault.excerpt)
    if not found:
        raise Unreadable("no text", "it holds no page and no plain text")


def _bytes(item: Item, work: Work, limit: int) -> Iterator[bytes | Gap]:
    if packing_of(item.content.head()) != "gzip":
        yield from _to_gap(item.content.chunks())
        return
    total = 0
    for piece in gunzipped(item.content.chunks()):
        if isinstance(piece, bytes):
            total += len(piece)
            if total > limit:
                raise Unreadable("unpacks to too much", f"more than {limit:,} bytes")
            work.count(len(piece))
        yield piece


def _to_gap(chunks: Iterator[bytes]) -> Iterator[bytes | Gap]:
    try:
        yield from chunks
    except Damaged as damage:
        yield Gap(str(damage))


def gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes | Gap]:
    """Unpack gzip members one after the other; after damage go on at the next sound one."""
    data = next(chunks, b"")
    while data:
        stream = zlib.decompressobj(wbits=31)
        why = ""
        while not stream.eof:
            try:
                out = stream.decompress(data, CHUNK)
            except zlib.error as error:
                why = f"the compressed file is damaged: {error}"
                break
            if out:
                yield out
            data = stream.unconsumed_tail
            if not data and not stream.eof:
                try:
                    data = next(chunks, b"")
                except Damaged as damage:
                    yield Gap(str(damage))
                    return
                if not data:
                    yield Gap("the compressed file is cut off")
                    return
        if why:
            yield Gap(why)
            data = _next_member(data[1:], chunks)
        else:
            data = (stream.unused_data or next(chunks, b"")).lstrip(b"\0")
            if data and not data.startswith(_GZIP[:1]):
                yield Gap("other bytes between the compressed records")
                data = _next_member(data, chunks)


def _next_member(data: bytes, chunks: Iterator[bytes]) -> bytes:
    """The bytes from the next place on where a gzip member with a WARC record begins."""
    while True:
        place = data.find(_GZIP)
        while place >= 0:
            if len(data) - place < 4096:
                data = data[place:] + next(chunks, b"")
                place = 0
            if _begins_record(data[place : place + 4096]):
                return data[place:]
            place = data.find(_GZIP, place + 1)
        more = next(chunks, b"")
        if not more:
            return b""
        data = data[-2:] + more


def _begins_record(data: bytes) -> bool:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 64).startswith(_START)
    except zlib.error:
        return False


def records(pieces: Iterator[bytes | Gap], work: Work) -> Iterator[Record]:
    """Cut a stream into records. One that is damaged, cut off or too large comes as a fault."""
    scan = _Scan(pieces)
    limit = work.settings.max_file_bytes
    while scan.to_start() or scan.gap:
        if scan.gap:
            yield Record(b"", "record breaks off", scan.end_gap())
            continue
        header, why = scan.header()
        if why:
            yield Record(header, "record breaks off", why)
            continue
        length = _LENGTH.search(header)
        if length is None:
            yield Record(header, "damaged record", "its header names no length")
            continue
        size = int(length[1])
        if size > limit:
            whole = scan.skip(size)
            detail = f"{size:,} bytes, at most {limit:,}"
            yield Record(header, "record too large" if whole else "record breaks off", detail)
            scan.end_gap()
            continue
        block = scan.take(size)
        if len(block) < size:
            detail = f"{len(block):,} of {size:,} bytes; {scan.end_gap() or 'the file ends'}"
            yield Record(header, "record breaks off", detail)
        else:
            yield Record(header + block + b"\r\n\r\n")


class _Scan:
    """A stream of pieces, read forwards; a gap ends what is being read."""

    def __init__(self, pieces: Iterator[bytes | Gap]) -> None:
        self._pieces = pieces
        self._buffer = b""
        self._at = 0
        self._ended = False
        self.gap = ""

    def end_gap(self) -> str:
        """Go on behind the gap that was met; why it is there."""
        why, self.gap = self.gap, ""
        return why

    def to_start(self) -> bool:
        """Go to where the next record begins; False at a gap or the end. Other bytes are passed
        over."""
        while True:
            place = self._buffer.find(_START, self._at)
            if place >= 0:
                self._at = place
                enough = len(self._buffer) - place >= _LONGEST_FIRST_LINE
                if _FIRST_LINE.match(self._buffer, place):
                    return True
                if enough or not self._more():
                    self._at += 1
                continue
            self._at = max(self._at, len(self._buffer) - len(_START) + 1)
            if not self._more():
                self._buffer, self._at = b"", 0
                return False

    def header(self) -> tuple[bytes, str]:
        """The header with the empty line that ends it, or how it begins and why it has no end."""
        while True:
            end = _END.search(self._buffer, self._at, self._at + _MOST_HEADER)
            if end is not None:
                header = self._buffer[self._at : end.end()]
                self._at = end.end()
                return header, ""
            if len(self._buffer) - self._at >= _MOST_HEADER or not self._more():
                # Never ended: step over its first byte and look for another record.
                shown = self._buffer[self._at : self._at + 200]
                self._at = min(len(self._buffer), self._at + 1)
                return shown, self.end_gap() or "the header does not end"

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer where a gap or the end comes first."""
        parts = []
        while size:
            part = self._buffer[self._at : self._at + size]
            parts.append(part)
            self._at += len(part)
            size -= len(part)
            if size and not self._more():
                break
        return b"".join(parts)

    def skip(self, size: int) -> bool:
        """Pass over ``size`` bytes; whether there are so many."""
        while size > len(self._buffer) - self._at:
            size -= len(self._buffer) - self._at
            self._at = len(self._buffer)
            if not self._more():
                return False
        self._at += size
        return True

    def _more(self) -> bool:
        if self.gap or self._ended:
            return False
        piece = next(self._pieces, None)
        if piece is None:
            self._ended = True
        elif isinstance(piece, Gap):
            self.gap = piece.why
        else:
            self._buffer = self._buffer[self._at :] + piece
            self._at = 0
            return True
        return False


def _documents(data: bytes, item: Item, work: Work, number: str) -> Iterator[Document | Dropped]:
    """The document of one record; none for requests and notes.

    Raises:
        Unreadable: the record is damaged, not of a text, or not an answer that succeeded.
    """
    headers, http, payload = _parsed(data, work.settings.max_file_bytes)
    address = headers.get("warc-target-uri", "").strip("<>")
    if headers.get("warc-type", "").lower() not in _KINDS or address.startswith(_NOTES):
        return
    content_type = (http if http is not None else headers).get("content-type", "")
    if http is not None:
        status = http.get("", "")
        if not status.startswith("2"):
            raise Unreadable("not a successful answer", f"status {status[:40]}")
        encoding = http.get("content-encoding", "").strip().lower()
        if encoding not in _ENCODINGS:
            raise Unreadable("unknown packing", f"content-encoding {encoding[:40]}")
    kind, _, parameters = content_type.partition(";")
    kind = kind.strip().lower()
    meta = {
        "url": address,
        "date": headers.get("warc-date", ""),
    }
    if headers.get("warc-truncated"):
        meta["truncated"] = headers["warc-truncated"]
    meta = {key: value[:2000] for key, value in meta.items() if value}
    charset = re.search(r"charset\s*=\s*[\"']?([\w.:-]+)", parameters, re.I)
    declared = charset[1] if charset else ""
    if kind in _HTML or (not kind and b"<html" in payload[:2000].lower()):
        for result in read_page(payload, declared, item, work, number):
            if isinstance(result, Document):
                # What the crawler noted is surer than what the page says of itself.
                result.meta.update(meta)
            yield result
    elif kind == "text/plain":
        found = decode_html(payload, declared) if declared else decode(payload)
        text = found.text.replace("\r\n", "\n")
        yield from documents(item, text, work.settings, number=number, meta=meta | found.meta())
    else:
        raise Unreadable("not text", (kind or "no content type")[:100])


def _parsed(data: bytes, limit: int) -> tuple[dict[str, str], dict[str, str] | None, bytes]:
    """A record's header, the HTTP header (its status under ``""``) or None, and the payload."""
    from warcio.exceptions import ArchiveLoadFailed
    from warcio.recordloader import ArcWarcRecordLoader
    from warcio.statusandheaders import StatusAndHeadersParserException

    loader = ArcWarcRecordLoader(verify_http=False, arc2warc=False)
    said = io.StringIO()
    try:
        # warcio tells of a damaged payload on standard error, and nowhere else.
        with contextlib.redirect_stderr(said):
            record = loader.parse_record_stream(io.BytesIO(data), known_format="warc")
            wanted = (record.rec_type or "").lower() in _KINDS
            payload = record.content_stream().read(limit + 1) if wanted else b""
    except (
        ArchiveLoadFailed, StatusAndHeadersParserException, EOFError, ValueError, TypeError,
        AttributeError, OSError, zlib.error,
    ) as error:  # fmt: skip
        raise Unreadable("damaged record", f"{type(error).__name__}: {error}") from None
    if said.getvalue():
        raise Unreadable("damaged record", said.getvalue().strip())
    packed = record.http_headers and record.http_headers.get_header("content-encoding")
    if packed == "gzip" and payload.startswith(_GZIP):
        raise Unreadable("damaged record", "its payload does not unpack")
    if len(payload) > limit:
        raise Unreadable("unpacks to too much", f"more than {limit:,} bytes")
    http = None
    if record.http_headers is not None:
        http = _table(record.http_headers.headers)
        http[""] = record.http_headers.statusline
    return _table(record.rec_headers.headers), http, payload


def _table(headers: Any) -> dict[str, str]:
    table: dict[str, str] = {}
    for name, value in headers:
        table.setdefault(str(name).lower(), str(value))
    return table
