"""TAR archives, read once from front to back; the packing around them is undone before."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from typing import IO, Any, cast

from tinyforge.corpus.reading.item import Content, Item, Unreadable, Work, dropped
from tinyforge.corpus.reading.members import Members
from tinyforge.corpus.reading.packed import ForwardFile
from tinyforge.data.files import CHUNK, Damaged
from tinyforge.records.documents import Document, Dropped

_BLOCK = 512
_MOST_FAULTS = 1_000


class _Watch:
    """What the headers that were met tell of the archive's state.

    Attributes:
        bad: headers that are none: what stands there is damaged.
        ended: whether the last header met was the mark of the end.
    """

    def __init__(self) -> None:
        self.bad = 0
        self.ended = False


def _header_class(watch: _Watch) -> type[tarfile.TarInfo]:
    class Header(tarfile.TarInfo):
        """A header that tells ``watch`` what it met."""

        @classmethod
        def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Header:
            try:
                header = super().frombuf(buf, encoding, errors)
            except tarfile.HeaderError:
                blank = len(buf) == _BLOCK and not any(buf)
                watch.ended = watch.ended or blank
                watch.bad += len(buf) == _BLOCK and not blank
                raise
            watch.ended = False
            return header

    return Header


def read_tar(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """The members of a TAR archive, in its order.

    Behind damage it goes on with the next sound member, and says that some may be lost. Links,
    devices and sparse files are refused.
    """
    members = Members(item, work)
    watch = _Watch()
    found = faults = 0
    file = ForwardFile(item.content.chunks())
    archive = _opened(file, watch)
    while True:
        try:
            header = archive.next()
        except tarfile.ReadError as error:
            faults += 1
            yield dropped(item, "archive breaks off", str(error), number=f"damage.{faults}")
            if faults > _MOST_FAULTS or not _go_on(archive, file):
                break
            continue
        if header is None:
            break
        cast(Any, archive).members.clear()  # else all headers of a large archive stay in memory
        if watch.bad:
            faults += 1
            detail = f"{watch.bad:,} blocks before {header.name[:100]!r} are no members"
            yield dropped(item, "damaged archive", detail, number=f"damage.{faults}")
            watch.bad = 0
        found += 1
        yield from _member(archive, header, members)
    if not found and not faults:
        raise Unreadable("damaged archive" if watch.bad else "empty", "no members")
    if not faults and (watch.bad or not watch.ended):
        detail = "other bytes at its end" if watch.bad else "the mark of its end is missing"
        yield dropped(item, "archive breaks off", detail)


def _opened(file: ForwardFile, watch: _Watch) -> tarfile.TarFile:
    try:
        return tarfile.TarFile(
            fileobj=cast(IO[bytes], file), mode="r", ignore_zeros=True,
            tarinfo=_header_class(watch), encoding="utf-8", errors="surrogateescape",
        )  # fmt: skip
    except tarfile.ReadError as error:
        raise Unreadable("damaged archive", str(error)) from None


def _go_on(archive: tarfile.TarFile, file: ForwardFile) -> bool:
    """Let the archive look for a header from the next block on; False at the end of the file."""
    place = -(-file.tell() // _BLOCK) * _BLOCK
    if file.seek(place) < place or not file.read(1):
        return False
    file.seek(place)
    archive.offset = place
    return True


def _member(
    archive: tarfile.TarFile, header: tarfile.TarInfo, members: Members
) -> Iterator[Document | Dropped]:
    if header.isdir():
        return
    if header.issym() or header.islnk():
        yield members.refuse(header.name, "link", f"to {header.linkname[:200]}")
    elif not header.isreg():
        yield members.refuse(header.name, "not a regular file")
    elif header.issparse():
        yield members.refuse(header.name, "sparse file")
    else:
        content = Content(_bytes(archive, header), header.size)
        yield from members.read(header.name, content)


def _bytes(archive: tarfile.TarFile, header: tarfile.TarInfo) -> Iterator[bytes]:
    file: Any = archive.extractfile(header)
    if file is None:
        return
    try:
        while chunk := file.read(CHUNK):
            yield chunk
    except tarfile.ReadError:
        raise Damaged("the archive is cut off") from None
