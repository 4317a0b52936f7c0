"""ZIP archives, by their table of contents."""

from __future__ import annotations

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from lzma import LZMAError
from typing import BinaryIO

from tinyforge.corpus.reading.item import Content, Item, Unreadable, Work
from tinyforge.corpus.reading.members import Members
from tinyforge.corpus.reading.packed import LEAST_OF_MEMBER, RATIO, limited
from tinyforge.corpus.reading.source_code import Licences, is_licence
from tinyforge.data.files import CHUNK, Damaged
from tinyforge.records.documents import Document, Dropped

_END = b"PK\x05\x06"
_END_64 = b"PK\x06\x06"
_ENTRY = b"PK\x01\x02"
_LONGEST_END = 65_557
_LICENCE_BYTES = 64 * 1024
_MOST_LICENCES = 1_000


def read_zip(item: Item, work: Work) -> Iterator[Document | Dropped]:
    """The members of a ZIP file, in the order of its table.

    Refused by name: members that are encrypted, links, packed in an unknown way, damaged, or
    that unpack to more than 200 times their size (100 MB are always allowed).
    """
    with item.content.file() as file:
        entries = count_entries(file)
        if entries > work.settings.max_members:
            most = work.settings.max_members
            raise Unreadable("too many members", f"{entries:,}, at most {most:,}")
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            raise Unreadable("damaged archive", str(error)) from None
        with archive:
            if not archive.infolist():
                raise Unreadable("empty", "no members")
            members = Members(item, work, _licences(archive))
            for info in archive.infolist():
                if not info.is_dir():
                    yield from _member(archive, info, members, work)


def _member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, members: Members, work: Work
) -> Iterator[Document | Dropped]:
    name = _name(info)
    if info.flag_bits & 1:
        yield members.refuse(name, "encrypted")
    elif stat.S_ISLNK(info.external_attr >> 16):
        yield members.refuse(name, "link")
    else:
        limit = work.settings.max_unpacked_bytes or max(LEAST_OF_MEMBER, RATIO * info.compress_size)
        chunks = limited(_bytes(archive, info), limit, work)
        yield from members.read(name, Content(chunks, info.file_size))


def _name(info: zipfile.ZipInfo) -> str:
    """The member's name; many programs write UTF-8 without saying so."""
    name = info.orig_filename
    if info.flag_bits & 0x800:
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name


def _bytes(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    try:
        with archive.open(info) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except NotImplementedError as error:
        raise Unreadable("unknown packing", str(error)) from None
    except (zipfile.BadZipFile, zlib.error, LZMAError, EOFError, OSError, RuntimeError) as error:
        raise Damaged(f"the member is damaged: {error}") from None


def _licences(archive: zipfile.ZipFile) -> Licences:
    licences = Licences()
    noted = 0
    for info in archive.infolist():
        if noted < _MOST_LICENCES and is_licence(info.filename) and not info.flag_bits & 1:
            noted += 1
            try:
                with archive.open(info) as file:
                    text = file.read(_LICENCE_BYTES).decode("utf-8", "replace")
            except Exception:  # a damaged one is refused by name when its turn comes
                continue
            licences.note(_name(info), text)
    return licences


def count_entries(file: BinaryIO) -> int:
    """How many members the table of contents has, at most, without building it in memory.

    The numbers in the file are not believed: marks of entries are counted. 0 where no table is
    found; opening the file says why.
    """
    file.seek(0, 2)
    size = file.tell()
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or place + 22 > len(tail):
        file.seek(0)
        return 0
    length = int.from_bytes(tail[place + 12 : place + 16], "little")
    wide = tail.rfind(_END_64, 0, place)
    if wide >= 0 and wide + 56 <= len(tail):
        length = int.from_bytes(tail[wide + 40 : wide + 48], "little")
    end = max(0, size - len(tail)) + place
    file.seek(max(0, end - min(length, end) - 1_000))
    count, held = 0, b""
    while (left := end - file.tell()) > 0 and (chunk := file.read(min(CHUNK, left))):
        held += chunk
        count += held.count(_ENTRY)
        held = held[-3:]
    file.seek(0)
    return count
