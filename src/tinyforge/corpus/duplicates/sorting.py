"""Sorting of more records than memory holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Records = tuple[NDArray[np.uint64], NDArray[np.uint64]]
"""Keys, and as many values."""

_RECORD = 16
_COPIES = 4
"""Times that records lie in memory while they are sorted: themselves, an order, two copies."""

_PROBES = 4096


class Sorter:
    """Records of a 64-bit key and a 64-bit value, sorted by key.

    What fits into memory is sorted there. More goes to disk in sorted runs, and comes back in
    stretches of keys: a stretch's part of every run is read and sorted again. Equal keys are always
    in one stretch, so what is found among them does not depend on the memory.

    Args:
        folder: where the runs go; removed again by ``close``.
        name: begins the names of their files.
        memory: bytes that may be used.
    """

    def __init__(self, folder: Path, name: str, memory: int) -> None:
        self._folder, self._name = folder, name
        self._most = max(1, memory // (_RECORD * _COPIES))
        self._waiting: list[Records] = []
        self._count = 0
        self._runs: list[Path] = []

    def add(self, keys: NDArray[np.uint64], values: NDArray[np.uint64]) -> None:
        """More records. Those of equal key stay in the order in which they are added."""
        while self._count + len(keys) > self._most:
            room = self._most - self._count
            self._waiting.append((keys[:room], values[:room]))
            self._spill()
            keys, values = keys[room:], values[room:]
        if len(keys):
            self._waiting.append((keys.copy(), values.copy()))
            self._count += len(keys)

    def sorted(self) -> Iterator[Records]:
        """All records by key, in stretches."""
        if not self._runs:
            if self._count:
                yield _by_key(*self._take())
            return
        if self._count:
            self._spill()
        sizes = [path.stat().st_size // _RECORD for path in self._runs]
        bounds = self._bounds(sizes)
        starts = [0] * len(self._runs)
        for bound in bounds:
            parts = []
            for number, path in enumerate(self._runs):
                end = sizes[number] if bound is None else _place(path, sizes[number], bound)
                parts.append(_read(path, sizes[number], starts[number], end))
                starts[number] = end
            keys, values = (np.concatenate(column) for column in zip(*parts, strict=True))
            if len(keys):
                yield _by_key(keys, values)

    def repeated(self) -> Iterator[Records]:
        """The records whose key stands in more than one, by key, in stretches."""
        for keys, values in self.sorted():
            several = _equal_to_a_neighbour(keys)
            if several.any():
                yield keys[several], values[several]

    def close(self) -> None:
        """Forget all records and remove the files."""
        for path in self._runs:
            path.unlink(missing_ok=True)
        self._runs, self._waiting, self._count = [], [], 0

    def _take(self) -> Records:
        keys, values = (np.concatenate(column) for column in zip(*self._waiting, strict=True))
        self._waiting, self._count = [], 0
        return keys, values

    def _spill(self) -> None:
        keys, values = _by_key(*self._take())
        path = self._folder / f"{self._name}-{len(self._runs):05d}.run"
        with path.open("wb") as file:
            keys.tofile(file)
            values.tofile(file)
        self._runs.append(path)

    def _bounds(self, sizes: list[int]) -> list[np.uint64 | None]:
        """The first keys of the stretches after the first, then None for the end.

        They cut a sample of all runs' keys into stretches of equal size.
        """
        stretches = math.ceil(sum(sizes) / self._most) + 1
        sample = []
        for path, size in zip(self._runs, sizes, strict=True):
            places = np.linspace(0, size - 1, min(size, _PROBES)).astype(np.int64)
            keys = np.memmap(path, dtype=np.uint64, mode="r", shape=(size,))
            sample.append(keys[places])
        ordered = np.sort(np.concatenate(sample))
        cuts = np.unique(ordered[np.arange(1, stretches) * len(ordered) // stretches])
        return [*cuts, None]


def _by_key(keys: NDArray[np.uint64], values: NDArray[np.uint64]) -> Records:
    order = np.argsort(keys)  # much faster than the stable kind; few keys are equal
    ordered = keys[order]
    equal = _equal_to_a_neighbour(ordered)
    if equal.any():
        places = order[equal]
        order[equal] = places[np.lexsort((places, ordered[equal]))]
    return ordered, values[order]


def _equal_to_a_neighbour(keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
    same = keys[1:] == keys[:-1]
    found = np.zeros(len(keys), dtype=np.bool_)
    found[1:] |= same
    found[:-1] |= same
    return found


def _place(path: Path, size: int, key: np.uint64) -> int:
    """How many of a run's keys are smaller."""
    keys = np.memmap(path, dtype=np.uint64, mode="r", shape=(size,))
    return int(np.searchsorted(keys, key))


def _read(path: Path, size: int, start: int, end: int) -> Records:
    with path.open("rb") as file:
        file.seek(8 * start)
        keys = np.fromfile(file, dtype=np.uint64, count=end - start)
        file.seek(8 * (size + start))
        return keys, np.fromfile(file, dtype=np.uint64, count=end - start)
