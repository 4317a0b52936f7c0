"""Some of the rows of a sequence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example


class Rows(Sequence[Example]):
    """Rows of a sequence by their numbers, in the order given; on disk, read when asked for."""

    def __init__(self, examples: Sequence[Example], indices: NDArray[np.int64]) -> None:
        self._examples, self._indices = examples, indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return Rows(self._examples, self._indices[index])
        return self._examples[int(self._indices[index])]

    def __iter__(self) -> Iterator[Example]:
        return (self._examples[int(index)] for index in self._indices)
