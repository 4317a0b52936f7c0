"""Rows with the same input as one row with several references."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import overload

import numpy as np

from tinyforge.metrics.spill import Column
from tinyforge.records.examples import Example


class JoinedReferences(Sequence[Example]):
    """The first row of each input, with the answers of all rows of that input as references.

    Args:
        examples: anything with a length and indices; read once here, and again when asked for.
    """

    def __init__(self, examples: Sequence[Example]) -> None:
        self._examples = examples
        asked = Column(np.int64)
        for i in range(len(examples)):
            example = examples[i]
            asked.extend([hash((example.messages[:-1], example.input))])
        _, first, numbers = np.unique(asked.close(), return_index=True, return_inverse=True)
        self._members = np.argsort(numbers, kind="stable")
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(numbers, minlength=len(first)))])
        self._order = np.argsort(first)
        self._rows = np.sort(first)

    def row(self, index: int) -> int:
        """The number of a joined row's first row."""
        return int(self._rows[index])

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        number = self._order[index]
        members = self._members[self._starts[number] : self._starts[number + 1]]
        rows = [self._examples[int(row)] for row in members]
        answers = [
            text for row in rows for text in row.references or (row.output,) if text is not None
        ]
        different = tuple(dict.fromkeys(answers))
        return replace(
            rows[0],
            output=different[0] if different else None,
            references=different if len(different) > 1 else (),
        )
