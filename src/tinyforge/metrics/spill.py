"""Numbers and texts row by row: in memory where they are few, in a temporary file where many.

A judgement of a million rows keeps a few statistics a row; here they lie in files that are mapped
into memory when they are read, so that what a program holds does not grow with its rows.
"""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterable
from typing import IO, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

SPILL = 1 << 19
"""Bytes of one column that stay in memory."""


class Column:
    """An array that grows at its end.

    Args:
        dtype: of its numbers.
        width: numbers a row; 0 for an array of one dimension.
    """

    def __init__(self, dtype: DTypeLike, width: int = 0) -> None:
        self._dtype, self._width = np.dtype(dtype), width
        self._buffer = bytearray()
        self._file: IO[bytes] | None = None

    def extend(self, values: ArrayLike) -> None:
        """Add numbers, or rows, at the end."""
        self._buffer += np.ascontiguousarray(values, dtype=self._dtype).tobytes()
        if len(self._buffer) > SPILL:
            self._flush()

    def _flush(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the column
            weakref.finalize(self, self._file.close)
        self._file.write(self._buffer)
        self._buffer = bytearray()

    def close(self) -> NDArray[Any]:
        """All of it, read-only: shape (n,), or (rows, width)."""
        if self._file is None:
            whole = np.frombuffer(bytes(self._buffer), dtype=self._dtype)
        else:
            self._flush()
            self._file.flush()
            whole = np.asarray(np.memmap(self._file, dtype=self._dtype, mode="r"))
            self._file.close()  # the mapping holds the data
        return whole.reshape(-1, self._width) if self._width else whole


class SparseRows:
    """A SciPy CSR matrix that grows by rows.

    Args:
        columns: its width.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._values, self._cells = Column(np.float64), Column(np.int32)
        self._starts = Column(np.int32)
        self._starts.extend([0])
        self._size = 0

    def extend(self, part: Any) -> None:
        """Add the rows of a CSR matrix of the same width."""
        self._values.extend(part.data)
        self._cells.extend(part.indices)
        self._starts.extend(self._size + part.indptr[1:].astype(np.int64))
        self._size += len(part.data)

    def close(self) -> Any:
        """The whole matrix, float64."""
        from scipy.sparse import csr_matrix

        starts = self._starts.close()
        shape = (len(starts) - 1, self._columns)
        return csr_matrix((self._values.close(), self._cells.close(), starts), shape=shape)


class Texts:
    """Byte strings that are added one by one and read back by number."""

    def __init__(self) -> None:
        self._bytes, self._ends = Column(np.uint8), Column(np.int64)
        self._size = 0

    def extend(self, items: Iterable[bytes]) -> None:
        """Add strings at the end."""
        for item in items:
            self._size += len(item)
            self._bytes.extend(np.frombuffer(item, dtype=np.uint8))
            self._ends.extend([self._size])

    def close(self) -> ClosedTexts:
        """All of them, to be read."""
        return ClosedTexts(self._bytes.close(), self._ends.close())


class ClosedTexts:
    """Byte strings by number."""

    def __init__(self, data: NDArray[np.uint8], ends: NDArray[np.int64]) -> None:
        self._data, self._ends = data, ends

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: int) -> bytes:
        start = int(self._ends[index - 1]) if index else 0
        return self._data[start : int(self._ends[index])].tobytes()
