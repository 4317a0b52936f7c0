"""Packed files (gzip, xz, zstd, bzip2) as streams, with a limit on what they unpack to."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from tinyforge.corpus.reading.item import Content, Item, Unreadable, Work
from tinyforge.corpus.reading.kinds import without_packing
from tinyforge.data.files import CHUNK, Damaged, unpacker

RATIO = 200
LEAST_OF_FILE = 1_000_000_000
LEAST_OF_MEMBER = 100_000_000
"""What a packed file may unpack to whatever its size; less for one inside an archive."""

_KEPT = 1024
_MOST_AT_ONCE = 16 * 1024 * 1024


class ForwardFile(io.RawIOBase):
    """A stream of chunks as a file that is read forwards.

    One can go back by ``_KEPT`` bytes at least, which is all that ``tarfile`` asks for. A single
    read of more than ``_MOST_AT_ONCE`` bytes is refused: no honest header is so long.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        super().__init__()
        self._chunks = chunks
        self._buffer = b""
        self._start = 0
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Forwards, and a little backwards."""
        return True

    def tell(self) -> int:
        """Bytes from the stream's beginning."""
        return self._start + self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to ``size`` bytes; fewer at the end only."""
        if size is None or size < 0 or size > _MOST_AT_ONCE:
            raise Unreadable("damaged archive", f"a header asks for {size} bytes")
        while len(self._buffer) - self._at < size and self._more():
            pass
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        return data

    def seek(self, position: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to ``position`` from the beginning, at most to the end of the stream."""
        if whence != io.SEEK_SET or position < self._start:
            raise io.UnsupportedOperation("a stream cannot be read backwards")
        while position > self._start + len(self._buffer):
            self._at = len(self._buffer)
            if not self._more():
                break
        self._at = min(position - self._start, len(self._buffer))
        return self.tell()

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        gone = max(0, self._at - _KEPT)
        self._buffer = self._buffer[gone:] + chunk
        self._start += gone
        self._at -= gone
        return bool(chunk)


def unpack(item: Item, work: Work, packing: str) -> Item:
    """The item inside a packing.

    Raises:
        Unreadable: there are too many packings around each other.
    """
    if item.depth >= work.settings.max_depth:
        raise Unreadable("nested too deeply", f"more than {work.settings.max_depth} levels")
    file = cast(BinaryIO, ForwardFile(item.content.chunks()))
    least = LEAST_OF_MEMBER if item.depth else LEAST_OF_FILE
    limit = work.settings.max_unpacked_bytes or max(least, RATIO * item.content.size)
    chunks = limited(_chunks(packing, file), limit, work)
    return item.with_content(Content(chunks, item.content.size), without_packing(item.name))


def _chunks(packing: str, file: BinaryIO) -> Iterator[bytes]:
    if packing == "bzip2":
        return _bzip2_chunks(file)
    magic = {"gzip": b"\x1f\x8b", "xz": b"\xfd7zXZ\x00", "zstd": b"\x28\xb5\x2f\xfd"}[packing]
    make = cast(Callable[[BinaryIO], Iterator[bytes]], unpacker(magic))
    return make(file)


def limited(chunks: Iterator[bytes], limit: int, work: Work) -> Iterator[bytes]:
    """The same bytes, counted as unpacked.

    Raises:
        Unreadable: there are more than ``limit``, or all of the unit unpacks to too much.
    """
    total = 0
    for chunk in chunks:
        total += len(chunk)
        work.count(len(chunk))
        if total > limit:
            raise Unreadable("unpacks to too much", f"more than {limit:,} bytes")
        yield chunk


def _bzip2_chunks(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(CHUNK)
    while data:
        stream = bz2.BZ2Decompressor()
        while not stream.eof:
            if stream.needs_input and not data:
                raise Damaged("the compressed file is cut off")
            try:
                out = stream.decompress(data, CHUNK)
            except OSError as error:
                raise Damaged(f"the compressed file is damaged: {error}") from None
            if out:
                yield out
            data = file.read(CHUNK) if stream.needs_input and not stream.eof else b""
        data = stream.unused_data or file.read(CHUNK)
        if data and not data.startswith(b"BZh"):
            raise Damaged("the compressed file has other bytes after its end")
