"""Rows on disk as a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example

if TYPE_CHECKING:
    from tinyforge.data.store import ExampleStore


class Rows(Sequence[Example]):
    """Some rows of a store, read from disk when they are asked for."""

    def __init__(self, store: ExampleStore, indices: NDArray[np.int64]) -> None:
        self._store, self._indices = store, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return Rows(self._store, self._indices[index])
        return self._store[int(self._indices[index])]

    def __iter__(self) -> Iterator[Example]:
        return (self._store[int(index)] for index in self._indices)
