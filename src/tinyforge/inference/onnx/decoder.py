"""A decoder over buffers of one length (``in-place`` caches): reading prompts, and steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import CacheLayout, ExportRecord
from tinyforge.inference.onnx.cache import Bound, Slots
from tinyforge.inference.onnx.sessions import Session

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

LEAST = 16
"""Tokens of a buffer, at least: one that a single token fills would look like a first prompt."""


class SlotDecoder:
    """Rows of a decoder, each in a slot of its own.

    The attention mask is as wide as the buffers, so that what is bound stays as it is from step to
    step. A row's mask is 1 at the tokens that it has and at the one that the next step writes:
    rows that are computed only because they stand between others write it too, and nobody reads
    it, since what is written later stands in the same place.

    A prompt that comes after other tokens of its row is read by itself: the operator allows that
    for one row at a time.

    Attributes:
        cache: the keys and values.
        lengths: tokens of each slot, int64.
    """

    def __init__(self, session: Session, record: ExportRecord, layout: CacheLayout) -> None:
        self._session, self._layout = session, layout
        self._vocabulary = vocabulary(session, record)
        self.cache = Slots(layout)
        self.lengths = np.zeros(0, dtype=np.int64)
        self._steps: dict[int, _Step] = {}
        self.resize(0, 0, ())

    @property
    def slots(self) -> int:
        """Rows that there is memory for."""
        return self.cache.slots

    @property
    def capacity(self) -> int:
        """Tokens of a row that there is memory for."""
        return self.cache.capacity

    def resize(self, slots: int, capacity: int, moves: Sequence[tuple[int, int]]) -> None:
        """Memory for so many rows of so many tokens.

        Args:
            moves: of rows that stay: from which slot to which.
        """
        lengths = np.zeros(slots, dtype=np.int64)
        for source, target in moves:
            lengths[target] = self.lengths[source]
        self._steps.clear()
        self.cache.reshape(slots, capacity, [(s, t, int(lengths[t])) for s, t in moves])
        self.lengths = lengths
        self._mask = np.zeros((slots, capacity), dtype=np.int64)
        self._ids = np.zeros((slots, 1), dtype=np.int64)
        self._rows = np.arange(slots)
        self._logits = np.zeros((slots, self._vocabulary), dtype=np.float32)
        for _, target in moves:
            self.set_length(target, int(lengths[target]))

    def set_length(self, slot: int, length: int) -> None:
        """From here on the slot has its first tokens only."""
        self.lengths[slot] = length
        self._mask[slot, :length] = 1
        self._mask[slot, length:] = 0

    def copy(self, source: int, target: int, tokens: int) -> None:
        """A slot begins as another one does."""
        self.cache.copy(source, target, tokens)
        self.set_length(target, tokens)

    def swap(self, one: int, other: int) -> None:
        """Two slots change places."""
        tokens = (int(self.lengths[one]), int(self.lengths[other]))
        self.cache.swap(one, other, tokens)
        self.set_length(one, tokens[1])
        self.set_length(other, tokens[0])

    def step(self, width: int, tokens: Ids) -> Floats:
        """One more token for each of the first slots; ``lengths`` are left to the caller.

        Args:
            tokens: for each slot of ``width``; what stands for others is not looked at.

        Returns:
            logits, shape (width, vocabulary), valid until the next step.
        """
        step = self._steps.get(width)
        if step is None:
            step = self._steps[width] = self._bind_step(width)
        step.ids[:, 0] = tokens[:width]
        lengths = self.lengths[:width]
        self._mask[step.rows, lengths] = 1
        if step.positions is not None:
            step.positions[:, 0] = lengths
        step.bound.run()
        return step.logits

    def read(self, slot: int, ids: Ids, *, every: bool = False) -> Floats:
        """More tokens for one slot.

        Returns:
            logits after the last of them, or after each: shape (1 or tokens, vocabulary).
        """
        count, before = len(ids), int(self.lengths[slot])
        self._mask[slot, : before + count] = 1
        keep = np.arange(count) if every else np.array([count - 1])
        logits = self._read(slot, ids[None], self._mask[slot : slot + 1], keep)
        self.set_length(slot, before + count)
        return logits

    def read_first(self, first: int, prompts: Sequence[Ids]) -> Floats:
        """The prompts of empty slots next to each other, whole.

        Returns:
            logits after the last token of each, shape (prompts, vocabulary).
        """
        lengths = np.array([len(prompt) for prompt in prompts])
        longest = int(lengths.max())
        ids = np.zeros((len(prompts), longest), dtype=np.int64)
        for row, prompt in zip(ids, prompts, strict=True):
            row[: len(prompt)] = prompt
        keep = np.arange(len(prompts)) * longest + lengths - 1
        # What stands to the right of a prompt is seen by no token of it, and is written over.
        logits = self._read(first, ids, np.ones_like(ids), keep)
        for slot, length in enumerate(lengths.tolist(), start=first):
            self.set_length(slot, length)
        return logits

    def _read(self, first: int, ids: Ids, mask: Ids, keep: Ids) -> Floats:
        bound = Bound(self._session)
        logits = np.empty((len(keep), self._vocabulary), dtype=np.float32)
        bound.give("input_ids", np.ascontiguousarray(ids, dtype=np.int64))
        bound.give("attention_mask", mask)
        bound.give("keep", keep.astype(np.int64))
        if self._layout.positions:
            before = self.lengths[first : first + len(ids), None]
            bound.give("position_ids", before + np.arange(ids.shape[1]))
        self.cache.bind(bound, first, len(ids))
        bound.take("logits", logits)
        bound.run()
        return logits

    def _bind_step(self, width: int) -> _Step:
        bound = Bound(self._session)
        step = _Step(bound, self._ids[:width], self._rows[:width], self._logits[:width], None)
        bound.give("input_ids", step.ids)
        bound.give("attention_mask", self._mask[:width])
        bound.give("keep", np.arange(width, dtype=np.int64))
        if self._layout.positions:
            step.positions = np.zeros((width, 1), dtype=np.int64)
            bound.give("position_ids", step.positions)
        self.cache.bind(bound, 0, width)
        bound.take("logits", step.logits)
        return step


class _Step:
    """A step of the first slots, and the memory that it is bound to."""

    def __init__(
        self, bound: Bound, ids: Ids, rows: NDArray[np.intp], logits: Floats, positions: Ids | None
    ) -> None:
        self.bound, self.ids, self.rows = bound, ids, rows
        self.logits, self.positions = logits, positions


def vocabulary(session: Session, record: ExportRecord) -> int:
    """How many logits the decoder gives for a token."""
    for output in session.native.get_outputs():
        last: Any = output.shape[-1]
        if output.name == "logits" and isinstance(last, int):
            return last
    return int(record.config["vocab_size"])
