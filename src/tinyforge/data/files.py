"""Bytes of a file as a stream: found, unpacked and turned into UTF-8, in flat memory.

A damaged compressed file gives all bytes before the damage, then raises ``Damaged``.
"""

from __future__ import annotations

import codecs
import difflib
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from tinyforge.config.data import DataSettings
from tinyforge.errors import DataError, SettingError

CHUNK = 256 * 1024
PACKED_SUFFIXES = (".gz", ".xz", ".zst")
_LEAST_LIMIT = 1_000_000_000
_LIMIT_RATIO = 200
_XZ_MEMORY = 256 * 1024 * 1024
_ZSTD_FEED = 2048  # a zstd block of 4 bytes can unpack to 128 KB, so small bites bound the memory

_NOT_TEXT = {
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"%PDF": "a PDF",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"SQLite format 3": "an SQLite database",
    b"BZh": "a bzip2 archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x80\x04\x95": "a Python pickle",
}


class Damaged(Exception):  # noqa: N818 - a signal between functions of this package
    """A compressed stream ended too early or does not unpack; the text says which."""


def find_file(path: str | Path) -> Path:
    """The file as a path that can be opened.

    Raises:
        DataError: it is missing (with the nearest name), a folder, or cannot be read.
    """
    try:
        found = Path(path).expanduser()
        if found.is_dir():
            inside = sorted(p.name for p in found.iterdir() if p.is_file())[:5]
            hint = f"It holds {', '.join(inside)}" if inside else "It holds no files"
            raise DataError("this is a folder, not a file", where=str(path), fix=hint)
        if not found.exists():
            raise DataError("there is no such file", where=str(path), fix=_nearest(found))
        if not found.is_file():
            raise DataError(
                "this is not a regular file; the rows are read more than once",
                where=str(path),
                fix="Save the rows to a file first",
            )
    except (OSError, ValueError) as error:
        raise DataError(f"the file cannot be opened: {error}", where=str(path)[:200]) from None
    return found


def _nearest(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {str(folder)!r} does not exist either"
    names = [p.name for _, p in zip(range(5000), folder.iterdir(), strict=False)]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {str(folder / near[0])!r}?"
    return "Check the path"


def unpacked(path: Path, settings: DataSettings) -> Iterator[bytes]:
    """The file's bytes in chunks, decompressed where its first bytes say gzip, xz or zstd.

    Raises:
        DataError: it unpacks to more than ``settings.max_file_bytes``, or cannot be opened.
        Damaged: a compressed stream is broken; all bytes before that were given.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"the file cannot be opened: {error.strerror}", where=str(path)) from None
    with file:
        magic = file.read(6)
        file.seek(0)
        unpack = unpacker(magic)
        if unpack is None:
            while chunk := file.read(CHUNK):
                yield chunk
            return
        limit = settings.max_file_bytes or max(_LEAST_LIMIT, _LIMIT_RATIO * path.stat().st_size)
        total = 0
        for chunk in unpack(file):
            total += len(chunk)
            if total > limit:
                raise DataError(
                    f"the file unpacks to more than {limit:,} bytes",
                    where=str(path),
                    fix="If you trust it, allow more with --set data.max_file_bytes=N",
                )
            yield chunk


def unpacker(magic: bytes) -> Callable[[BinaryIO], Iterator[bytes]] | None:
    """What unpacks a stream that begins with ``magic``: gzip, xz or zstd; None for other bytes."""
    if magic.startswith(b"\x1f\x8b"):
        return _gzip_chunks
    if magic.startswith(b"\xfd7zXZ\x00"):
        return _xz_chunks
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd_chunks
    return None


def _gzip_chunks(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(CHUNK)
    while data:
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            if not data:
                raise Damaged("the compressed file is cut off")
            try:
                out = stream.decompress(data, CHUNK)
            except zlib.error as error:
                raise Damaged(f"the compressed file is damaged: {error}") from None
            if out:
                yield out
            data = stream.unconsumed_tail or (b"" if stream.eof else file.read(CHUNK))
        data = (stream.unused_data or file.read(CHUNK)).lstrip(b"\0")
        if data and not data.startswith(b"\x1f"):
            raise Damaged("the compressed file has other bytes after its end")


def _xz_chunks(file: BinaryIO) -> Iterator[bytes]:
    data = file.read(CHUNK)
    while data:
        stream = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        while not stream.eof:
            if stream.needs_input and not data:
                raise Damaged("the compressed file is cut off")
            try:
                out = stream.decompress(data, CHUNK)
            except lzma.LZMAError as error:
                raise Damaged(f"the compressed file is damaged: {error}") from None
            if out:
                yield out
            data = file.read(CHUNK) if stream.needs_input and not stream.eof else b""
        data = (stream.unused_data or file.read(CHUNK)).lstrip(b"\0")


def _zstd_chunks(file: BinaryIO) -> Iterator[bytes]:
    import zstandard

    data = file.read(_ZSTD_FEED)
    while data:
        stream = zstandard.ZstdDecompressor().decompressobj()
        while not stream.eof:
            if not data:
                raise Damaged("the compressed file is cut off")
            try:
                out = stream.decompress(data)
            except zstandard.ZstdError as error:
                raise Damaged(f"the compressed file is damaged: {error}") from None
            if out:
                yield out
            data = b"" if stream.eof else file.read(_ZSTD_FEED)
        data = stream.unused_data or file.read(_ZSTD_FEED)


def peek(chunks: Iterator[bytes], size: int = CHUNK) -> tuple[bytes, Iterator[bytes]]:
    """The first ``size`` bytes or a little more, and the whole stream again."""
    parts: list[bytes] = []
    damage: Damaged | None = None
    total = 0
    try:
        for chunk in chunks:
            parts.append(chunk)
            total += len(chunk)
            if total >= size:
                break
    except Damaged as error:
        damage = error

    def again() -> Iterator[bytes]:
        yield from parts
        if damage is not None:
            raise damage
        yield from chunks

    return b"".join(parts), again()


def refuse_binary(head: bytes, name: str) -> None:
    """Raises DataError where the first bytes are those of a known format that is not text."""
    for magic, what in _NOT_TEXT.items():
        if head.startswith(magic):
            raise DataError(f"this is {what}, not rows", where=name, fix="Unpack or export it")
    if head[257:262] == b"ustar":
        raise DataError("this is a tar archive, not rows", where=name, fix="Unpack it first")


def find_encoding(head: bytes, settings: DataSettings) -> str:
    """The text encoding: by byte-order mark, else the setting, else UTF-16 by its zero bytes."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return encoding
    if settings.encoding is not None:
        return _known_encoding(settings.encoding)
    sample = head[:4096]
    if len(sample) >= 4 and len(sample) // 2:
        even, odd = sample[0::2].count(0), sample[1::2].count(0)
        half = len(sample) // 2
        if odd > 0.4 * half and even < 0.05 * half:
            return "utf-16-le"
        if even > 0.4 * half and odd < 0.05 * half:
            return "utf-16-be"
    return "utf-8"


def _known_encoding(name: str) -> str:
    try:
        "".encode(name)
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise SettingError(
            "unknown text encoding", where="data.encoding", value=name,
            fix="Common ones are utf-8, utf-16, latin-1 and cp1252",
        ) from None  # fmt: skip


def as_utf8(chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """The same text as UTF-8 without byte-order mark.

    Bytes that are wrong in ``encoding`` come out as bytes that are wrong in UTF-8, so that the
    row they stand in is turned away and no other.
    """
    if encoding == "utf-8":
        first = True
        for chunk in chunks:
            yield chunk.removeprefix(codecs.BOM_UTF8) if first else chunk
            first = False
        return
    wide = encoding.startswith(("utf-16", "utf-32"))
    errors = "surrogatepass" if wide else "surrogateescape"
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8", "surrogatepass")
        yield decoder.decode(b"", final=True).encode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        raise Damaged(f"the file stops being valid {encoding}") from None
