"""Signatures on disk: each document's at a place given by its number."""

from __future__ import annotations

import functools
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, read_json, sync_folder, write_json
from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.signatures import VALUES, Signatures, bands_of
from tinyforge.errors import FolderError

_FORMAT = 1
_ROWS_BYTES = 8 << 20
_SETTINGS = "signatures.json"
_MADE_BY = ("similarity", "shingle", "containment", "long_document")


class SignatureFiles:
    """Files of signatures that can be written twice without harm.

    A document's record lies at its number times the record's size, and its size is written last,
    plus one: 0 there means that it never came. A process that was killed therefore adds the
    documents again that it may not have finished. Sampled passages are of any number; they are
    appended, and those that come twice count once.

    Raises:
        FolderError: the folder holds signatures that other settings made.
    """

    def __init__(self, folder: Path, settings: DuplicateSettings) -> None:
        self._folder = folder
        self.bands, _ = bands_of(settings)
        self._check(settings)
        bits = VALUES // 2 if self.bands else 0
        self._kinds: dict[str, tuple[Any, int]] = {
            "exact": (np.uint64, 2),
            "bands": (np.uint64, self.bands),
            "bits": (np.uint8, bits),
            "sizes": (np.int64, 1),
        }
        with disk_errors(folder):
            self._open = {name: _open(self._path(name)) for name in (*self._kinds, "passages")}

    def write(self, first: int, found: Signatures) -> None:
        """Write the records of the documents from ``first`` on."""
        with disk_errors(self._folder):
            if len(found.passages):
                pairs = np.empty((len(found.passages), 2), dtype=np.uint64)
                pairs[:, 0], pairs[:, 1] = found.passages, found.owners + first
                end = os.fstat(self._open["passages"]).st_size
                _write(self._open["passages"], pairs.tobytes(), end - end % pairs.strides[0])
            columns = {
                "exact": found.exact, "bands": found.bands, "bits": found.bits,
                "sizes": found.sizes + 1,
            }  # fmt: skip
            for name, values in columns.items():
                kind, width = self._kinds[name]
                data = np.ascontiguousarray(values, dtype=kind).tobytes()
                _write(self._open[name], data, first * width * np.dtype(kind).itemsize)

    def sync(self) -> None:
        """Make all records durable."""
        with disk_errors(self._folder):
            for descriptor in self._open.values():
                os.fsync(descriptor)
            sync_folder(self._folder)

    def count(self) -> int:
        """How many documents there are.

        Raises:
            FolderError: a document between others was never added.
        """
        count = os.fstat(self._open["sizes"]).st_size // 8
        for first, sizes in self.rows("sizes", count):
            missing = np.flatnonzero(sizes[:, 0] == 0)
            if len(missing):
                raise FolderError(
                    "a document's signature is missing", where=str(self._folder),
                    value=first + int(missing[0]), fix="Add the documents again, from the first",
                )  # fmt: skip
        return count

    def rows(self, name: str, count: int) -> Iterator[tuple[int, NDArray[Any]]]:
        """The first ``count`` records of a file in stretches: the first number, and the records."""
        kind, width = self._kinds[name]
        size = width * np.dtype(kind).itemsize
        at_once = max(1, _ROWS_BYTES // max(1, size))
        for first in range(0, count if width else 0, at_once):
            rows = min(at_once, count - first)
            data = os.pread(self._open[name], rows * size, first * size)
            yield first, np.frombuffer(data, dtype=kind).reshape(rows, width)

    def sizes(self, count: int) -> NDArray[np.int64]:
        """Shingles of each document."""
        found = np.fromfile(self._path("sizes"), dtype=np.int64, count=count)
        return found - 1

    def passages(self) -> Iterator[NDArray[np.uint64]]:
        """Sampled passages with their documents in stretches, shape (n, 2)."""
        with self._path("passages").open("rb") as file:
            while len(found := np.fromfile(file, dtype=np.uint64, count=_ROWS_BYTES // 8)) > 1:
                yield found[: len(found) // 2 * 2].reshape(-1, 2)

    def column(self, name: str, count: int) -> MappedRows:
        """Records by number."""
        kind, width = self._kinds[name]
        return MappedRows(self._path(name), kind, (count, width))

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open = {}

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.bin"

    def _check(self, settings: DuplicateSettings) -> None:
        made_by = {"format": _FORMAT, **settings.model_dump(include=set(_MADE_BY))}
        path = self._folder / _SETTINGS
        with disk_errors(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
        if not path.is_file():
            write_json(path, made_by)
        elif read_json(path) != made_by:
            raise FolderError(
                "holds signatures that were made with other settings", where=str(self._folder),
                fix="Give another folder, or remove this one",
            )  # fmt: skip


class MappedRows:
    """Rows of a file by number, mapped, without the pages that were read piling up."""

    def __init__(self, path: Path, kind: Any, shape: tuple[int, int]) -> None:
        self._path, self._kind, self._shape = path, kind, shape

    def __getitem__(self, numbers: NDArray[np.int64]) -> NDArray[Any]:
        return np.asarray(self._rows[numbers])

    def forget(self) -> None:
        """Give the pages that were read back to the system, where it can take them."""
        if "_rows" in self.__dict__ and hasattr(mmap, "MADV_DONTNEED"):
            self._rows._mmap.madvise(mmap.MADV_DONTNEED)

    @functools.cached_property
    def _rows(self) -> Any:
        return np.memmap(self._path, dtype=self._kind, mode="r", shape=self._shape)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _write(descriptor: int, data: bytes, place: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, place)
        view, place = view[written:], place + written
