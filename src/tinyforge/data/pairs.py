"""Preference pairs as token ids: a chosen and a rejected answer to each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.data.encode import EncodedStore, encode
from tinyforge.data.store import ExampleStore
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks.base import Task
from tinyforge.tasks.preference import rejected_answer


class PairStore(EncodedStore):
    """Two stores of equal length, read as one store of pairs (``Encoded.rejected``).

    Args:
        chosen: each prompt with its chosen answer.
        rejected: each prompt with its rejected answer.
        reference: float32, shape (pairs,): see ``Encoded.reference``; None while not measured.

    Attributes:
        input_lengths, label_lengths: of both answers together.
        learnt: of the chosen answer.
    """

    def __init__(
        self,
        chosen: EncodedStore,
        rejected: EncodedStore,
        reference: NDArray[np.float32] | None = None,
    ) -> None:
        self.chosen, self.rejected, self._reference = chosen, rejected, reference
        lengths = (
            chosen.input_lengths + rejected.input_lengths,
            chosen.label_lengths + rejected.label_lengths,
            chosen.learnt,
        )
        super().__init__(chosen._data, chosen._examples, chosen._indices, lengths)

    def _whole(self, row: int) -> Encoded:
        reference = None if self._reference is None else float(self._reference[row])
        return replace(self.chosen[row], rejected=self.rejected[row], reference=reference)

    def limit(self, task: Task, max_length: int, max_output_length: int) -> PairStore:
        """The same pairs with each sequence within the limits."""
        limits = (task, max_length, max_output_length)
        return PairStore(self.chosen.limit(*limits), self.rejected.limit(*limits))

    def sequences(self) -> list[EncodedStore]:
        """The chosen and the rejected ones."""
        return [self.chosen, self.rejected]

    def with_reference(self, reference: NDArray[np.float32]) -> PairStore:
        """The same pairs with what the model before training says of them."""
        return PairStore(self.chosen, self.rejected, reference)


class _Rejected(Sequence[Example]):
    """Examples with their rejected answers in place of the chosen ones."""

    def __init__(self, store: ExampleStore) -> None:
        self._store = store

    def __len__(self) -> int:
        return len(self._store)

    def __getitem__(self, index: int) -> Example:  # type: ignore[override]
        return rejected_answer(self._store[index])


def encode_pairs(
    store: ExampleStore, indices: NDArray[np.int64], task: Task, *, work: Path, name: str
) -> PairStore:
    """As ``encode``, with the rejected answers in a file of their own beside it."""
    chosen = encode(store, indices, task, work=work, name=name)
    rejected = encode(_Rejected(store), indices, task, work=work, name=f"{name}-rejected")
    return PairStore(chosen, rejected)
