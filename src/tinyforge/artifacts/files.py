"""Files that are whole or not there at all, and errors of the disk in plain words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from tinyforge.errors import FolderError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CHUNK = 1 << 20


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, durable and all at once. NaN and infinity become null.

    Raises:
        FolderError: the disk is full, or the file cannot be written.
    """
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS
    write_bytes(path, orjson.dumps(value, option=options | orjson.OPT_APPEND_NEWLINE))


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        FolderError: it is missing, cannot be read, or is no JSON.
    """
    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise FolderError("cannot be read", where=str(path), value=error.strerror) from error
    except orjson.JSONDecodeError as error:
        raise FolderError("is damaged: not JSON", where=str(path), value=str(error)) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file durably: readers see the old content or the new one, never a part.

    Raises:
        FolderError: the disk is full, or the file cannot be written.
    """
    write_parts(path, [content], path.with_name(f".{path.name}.tmp"))


def write_parts(path: Path, parts: Iterable[bytes], temporary: Path) -> None:
    """``write_bytes`` for a content in parts.

    Args:
        temporary: where it stands until it is whole; in the folder of ``path``.

    Raises:
        FolderError: the disk is full, or the file cannot be written.
    """
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.writelines(parts)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise


def write_text(path: Path, text: str) -> None:
    """``write_bytes`` for text, in UTF-8."""
    write_bytes(path, text.encode("utf-8"))


def sync_folder(folder: Path) -> None:
    """Make renames and removals inside ``folder`` durable, where the system can."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except PermissionError:  # Windows opens no folders
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EBADF):  # some network disks cannot
            raise
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make a file that someone else wrote durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path, *, fix: str | None = None) -> Iterator[None]:
    """Turn what the disk refuses into one clear line.

    Raises:
        FolderError: in place of any OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            what, advice = "the disk is full", "Free some space, then go on with --resume"
        else:
            what = "cannot be written"
            advice = "Check the folder's permissions, or give another --output"
        raise FolderError(what, where=str(path), value=error.strerror, fix=fix or advice) from error
