"""A decoder whose keys and values grow with each step (``growing`` caches)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import CacheLayout, ExportRecord
from tinyforge.inference.onnx.cache import Bound, Kind, Stack, no_past, past_names, present_names
from tinyforge.inference.onnx.decoder import Floats, Ids, vocabulary
from tinyforge.inference.onnx.sessions import Session

Array = NDArray[Any]
SLACK = 32
"""Columns that hold no row's token any more are given up once there are so many of them."""


class GrowingDecoder:
    """Rows of a decoder that step together, their tokens at the right of common columns.

    A step copies all keys and values into memory one column wider, where the graph has room for
    the new ones. Two pieces of memory are used in turn.

    Attributes:
        layout: of its keys and values.
        lengths: tokens of each row, int64.
        cross: behind an encoder, the keys and values of what it read; None otherwise.
        cross_names: the graph's inputs of these; none without an encoder.
    """

    def __init__(self, session: Session, record: ExportRecord, layout: CacheLayout) -> None:
        self._session, self.layout = session, layout
        self._vocabulary = vocabulary(session, record)
        self._kind = Kind(layout.dtype)
        self._past, self._present = past_names(layout), present_names(layout)
        self.cross_names = [name for name in session.inputs if name.startswith("cross.")]
        self._stack = self._empty()
        self.cross: Stack | None = None
        self.lengths = np.zeros(0, dtype=np.int64)
        self._sources = np.zeros(0, dtype=np.int64)
        self._bound: Bound | None = None
        self._logits = np.zeros((0, self._vocabulary), dtype=np.float32)

    @property
    def rows(self) -> int:
        """Rows that are stepping."""
        return self._stack.rows

    def reserve(self, rows: int, tokens: int) -> None:
        """Memory for so many rows of so many tokens, so that it is not asked for step by step."""
        self._stack.reserve(rows, tokens)

    def append(self, parts: Sequence[Array], lengths: Ids) -> None:
        """Rows join.

        Args:
            parts: their keys and values, (rows, heads, columns, head size), each row's tokens at
                the right.
            lengths: tokens of each.
        """
        self._stack.append(parts)
        self.lengths = np.concatenate([self.lengths, lengths])
        self._bound = None

    def append_encoded(self, cross: Sequence[Array], sources: Ids) -> None:
        """Rows join behind an encoder, without tokens of their own.

        Args:
            cross: keys and values by ``cross_names``, (rows, heads, source, head size), each
                row's tokens at the left.
            sources: how many tokens the encoder read for each.
        """
        if self.cross is None:
            _, heads, _, size = cross[0].shape
            self.cross = Stack(len(cross), heads, size, Kind(cross[0].dtype.name), left=True)
        self.cross.append(cross)
        self._sources = np.concatenate([self._sources, sources])
        self.append(no_past(self.layout, len(sources)), np.zeros(len(sources), dtype=np.int64))

    def drop(self, row: int) -> None:
        """A row leaves; the last one takes its place."""
        self._stack.drop(row)
        self.lengths = _dropped(self.lengths, row)
        if self.cross is not None:
            self.cross.drop(row)
            self._sources = _dropped(self._sources, row)
            longest = int(self._sources.max(initial=0))
            if self.rows and self.cross.columns - longest >= SLACK:
                self.cross.resize(longest)
        longest = int(self.lengths.max(initial=0))
        if self.rows and self._stack.columns - longest >= SLACK:
            self._stack.resize(longest)
        self._bound = None

    def select(self, rows: NDArray[np.intp], *, same_sources: bool = False) -> None:
        """These rows, each any number of times, in this order.

        Args:
            same_sources: each row takes the place of one that was read from the same source.
        """
        self._stack.select(rows)
        self.lengths = self.lengths[rows]
        if self.cross is not None and not same_sources:
            self.cross.select(rows)
            self._sources = self._sources[rows]
            self._bound = None

    def clear(self) -> None:
        """All rows leave, and the memory is given back."""
        self._stack.clear()
        self.cross, self._bound = None, None
        self.lengths = self._sources = np.zeros(0, dtype=np.int64)

    def step(self, tokens: Ids) -> Floats:
        """One more token for each row.

        Returns:
            logits, shape (rows, vocabulary), valid until the next step.
        """
        stack = self._stack
        if self._bound is None:
            self._bound = self._bind()
        bound, columns = self._bound, stack.columns + 1
        bound.give("input_ids", np.ascontiguousarray(tokens, dtype=np.int64)[:, None])
        mask = np.arange(columns) >= (columns - 1 - self.lengths)[:, None]
        bound.give("attention_mask", mask.astype(np.int64))
        if self.layout.positions:
            bound.give("position_ids", self.lengths[:, None].copy())
        kind, shape = stack.kind.bound, stack.shape
        for name, address in zip(self._past, stack.addresses, strict=True):
            bound.give_at(name, kind, shape, address)
        longer, addresses = stack.longer(columns)
        for name, address in zip(self._present, addresses, strict=True):
            bound.take_at(name, kind, longer, address)
        bound.run()
        stack.grown(columns)
        self.lengths += 1
        return self._logits

    def read(self, past: Sequence[Array], ids: Ids) -> tuple[list[Array], Floats]:
        """Tokens of one row that is not among those that step.

        Args:
            past: its keys and values, (1, heads, tokens so far, head size).

        Returns:
            the keys and values with the new ones, and the logits after the last token: shape
            (1, vocabulary).
        """
        before, count = past[0].shape[2], len(ids)
        bound = Bound(self._session)
        _, heads, _, size = past[0].shape
        found = [np.empty((1, heads, before + count, size), a.dtype) for a in past]
        logits = np.empty((1, self._vocabulary), dtype=np.float32)
        bound.give("input_ids", np.ascontiguousarray(ids[None], dtype=np.int64))
        bound.give("attention_mask", np.ones((1, before + count), dtype=np.int64))
        bound.give("keep", np.array([count - 1], dtype=np.int64))
        if self.layout.positions:
            bound.give("position_ids", np.arange(before, before + count)[None])
        for name, array in zip(self._past, past, strict=True):
            bound.give_at(name, self._kind.bound, array.shape, array.ctypes.data)
        for name, array in zip(self._present, found, strict=True):
            bound.take_at(name, self._kind.bound, array.shape, array.ctypes.data)
        bound.take("logits", logits)
        bound.run()
        return found, logits

    def _empty(self) -> Stack:
        layout = self.layout
        return Stack(len(self._past), layout.heads, layout.head_size, self._kind, left=False)

    def _bind(self) -> Bound:
        """What stays as it is until rows come or go."""
        bound, rows = Bound(self._session), self.rows
        if len(self._logits) != rows:
            self._logits = np.empty((rows, self._vocabulary), dtype=np.float32)
        bound.give("keep", np.arange(rows, dtype=np.int64))
        bound.take("logits", self._logits)
        if self.cross is not None:
            seen = np.arange(self.cross.columns) < self._sources[:, None]
            bound.give("encoder_attention_mask", seen.astype(np.int64))
            for name, address in zip(self.cross_names, self.cross.addresses, strict=True):
                bound.give_at(name, self.cross.kind.bound, self.cross.shape, address)
        return bound


def _dropped(values: NDArray[np.int64], row: int) -> NDArray[np.int64]:
    kept = values[:-1].copy()
    if row < len(kept):
        kept[row] = values[-1]
    return kept
