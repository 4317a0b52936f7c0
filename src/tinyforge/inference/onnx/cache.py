"""Memory of attention keys and values, and graphs that run over it without copying it."""

from __future__ import annotations

import contextlib
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.inference.onnx.sessions import Session, failure

Array = NDArray[Any]

_BFLOAT16 = 16
"""ONNX's number of the type; numpy has none, so its bits are kept as uint16."""


class Bound:
    """One kind of run of a graph: its inputs and outputs lie where they were bound.

    What is bound stays bound for any number of runs. Memory that is bound by address has to be
    kept alive by its owner.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._run = session.native.run_with_iobinding
        self._binding = session.native.io_binding()

    def give(self, name: str, array: Array) -> None:
        """An input, contiguous."""
        self._binding.bind_ortvalue_input(name, _value(array))

    def take(self, name: str, array: Array) -> None:
        """Where an output goes."""
        self._binding.bind_ortvalue_output(name, _value(array))

    def give_at(self, name: str, kind: Any, shape: Sequence[int], address: int) -> None:
        """An input by its address."""
        self._binding.bind_input(name, "cpu", 0, kind, shape, address)

    def take_at(self, name: str, kind: Any, shape: Sequence[int], address: int) -> None:
        """Where an output goes, by address."""
        self._binding.bind_output(name, "cpu", 0, kind, shape, address)

    def run(self) -> None:
        """Compute the outputs.

        Raises:
            ModelError: the graph refuses its inputs, or fails.
            MemoryError: there is not enough memory.
        """
        try:
            self._run(self._binding)
        except Exception as error:  # ONNX Runtime has a family of errors without a common class
            raise failure(error, self._session.path) from error


class Kind:
    """How one number of a cache is stored.

    Attributes:
        memory: numpy's type of the memory.
        bound: what ONNX Runtime calls it.
    """

    def __init__(self, name: str) -> None:
        self.memory: Any = np.dtype(np.uint16 if name == "bfloat16" else name)
        self.bound: Any = _BFLOAT16 if name == "bfloat16" else self.memory.type


def past_names(layout: CacheLayout) -> list[str]:
    """A decoder's inputs of keys and values, layer by layer."""
    return [
        f"past_key_values.{layer}.{part}"
        for layer in range(layout.layers)
        for part in ("key", "value")
    ]


def present_names(layout: CacheLayout) -> list[str]:
    """A decoder's outputs of keys and values, in the order of ``past_names``."""
    return [
        f"present.{layer}.{part}" for layer in range(layout.layers) for part in ("key", "value")
    ]


def no_past(layout: CacheLayout, rows: int) -> list[Array]:
    """Keys and values of no tokens, in the order of ``past_names``."""
    shape = (rows, layout.heads, 0, layout.head_size)
    return [np.zeros(shape, dtype=Kind(layout.dtype).memory) for _ in range(2 * layout.layers)]


def bytes_per_token(layout: CacheLayout) -> int:
    """Memory that one token's keys and values take in all layers."""
    numbers = 2 * layout.layers * layout.heads * layout.head_size
    return numbers * int(Kind(layout.dtype).memory.itemsize)


def _untouched(shape: Sequence[int], kind: Any) -> Array:
    """Zeros that take memory page by page, as they are written to.

    NumPy asks for huge pages, each of which the system has to find and clear in one piece: with
    buffers that fill up token by token, the first answers waited a tenth of a second for that.
    """
    size = math.prod(shape) * np.dtype(kind).itemsize
    if not size:
        return np.zeros(shape, dtype=kind)
    memory = mmap.mmap(-1, size)
    if hasattr(mmap, "MADV_NOHUGEPAGE"):
        with contextlib.suppress(OSError):  # a system without huge pages
            memory.madvise(mmap.MADV_NOHUGEPAGE)
    return np.frombuffer(memory, dtype=kind).reshape(shape)


class Slots:
    """Buffers of one length, one for each row, whose tokens stand at the left.

    ``present`` is bound to the memory of ``past``: a step writes its keys and values behind those
    that are there, and nothing else moves.

    Attributes:
        slots: rows.
        capacity: tokens of a row.
        arrays: keys and values layer by layer, each (slots, heads, capacity, head size).
    """

    def __init__(self, layout: CacheLayout) -> None:
        self._layout, self._kind = layout, Kind(layout.dtype)
        self._past, self._present = past_names(layout), present_names(layout)
        self.slots = self.capacity = 0
        self.arrays: list[Array] = []
        self.reshape(0, 0, ())

    def reshape(self, slots: int, capacity: int, moves: Sequence[tuple[int, int, int]]) -> None:
        """Other dimensions; what is to stay is named.

        Args:
            moves: of a row that stays: where it was, where it will be, and its tokens.
        """
        # Layer by layer, so that both sizes are never there at once.
        shape = (slots, self._layout.heads, capacity, self._layout.head_size)
        old, self.arrays = self.arrays, []
        for place in range(len(self._past)):
            new = _untouched(shape, self._kind.memory)
            for source, target, length in moves:
                new[target, :, :length] = old[place][source, :, :length]
            self.arrays.append(new)
            if old:
                old[place] = new[:0]
        self.slots, self.capacity = slots, capacity

    def bind(self, bound: Bound, first: int, rows: int) -> None:
        """The memory of some rows next to each other, as past and as present."""
        shape = (rows, self._layout.heads, self.capacity, self._layout.head_size)
        for array, past, present in zip(self.arrays, self._past, self._present, strict=True):
            address = array.ctypes.data + first * array.strides[0]
            bound.give_at(past, self._kind.bound, shape, address)
            bound.take_at(present, self._kind.bound, shape, address)

    def copy(self, source: int, target: int, tokens: int) -> None:
        """The first tokens of a row to another row."""
        for array in self.arrays:
            array[target, :, :tokens] = array[source, :, :tokens]

    def swap(self, one: int, other: int, tokens: tuple[int, int]) -> None:
        """Two rows change places.

        Args:
            tokens: how many each of the two has.
        """
        for array in self.arrays:
            kept = array[one, :, : tokens[0]].copy()
            array[one, :, : tokens[1]] = array[other, :, : tokens[1]]
            array[other, :, : tokens[0]] = kept

    def reorder(self, rows: NDArray[np.intp], sources: NDArray[np.intp], span: slice) -> None:
        """Rows become what other rows were, within a span of tokens, all at once."""
        for array in self.arrays:
            array[rows, :, span] = array[sources, :, span]


class Stack:
    """Rows of keys and values with equally many columns each, none of them unused.

    Attributes:
        rows, columns: of every array.
        left: whether rows that are shorter have their tokens at the left, or at the right.
    """

    def __init__(self, count: int, heads: int, head_size: int, kind: Kind, *, left: bool) -> None:
        self._count, self._heads, self._head_size = count, heads, head_size
        self.kind, self.left = kind, left
        self.rows = self.columns = 0
        self._front, self._back = self._block(0), self._block(0)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Of every array."""
        return (self.rows, self._heads, self.columns, self._head_size)

    @property
    def arrays(self) -> list[Array]:
        """Keys and values layer by layer, to read and to write."""
        return [self._view(flat, self.rows, self.columns) for flat in self._front.flat]

    @property
    def addresses(self) -> list[int]:
        """Where the arrays begin."""
        return self._front.addresses

    def longer(self, columns: int) -> tuple[tuple[int, int, int, int], list[int]]:
        """Other memory for the same rows with more columns: its shape, and where each begins."""
        self._room_behind(self._size(self.rows, columns))
        return (self.rows, self._heads, columns, self._head_size), self._back.addresses

    def grown(self, columns: int) -> None:
        """What was written to ``longer`` is now what the rows hold."""
        self._front, self._back = self._back, self._front
        self.columns = columns

    def reserve(self, rows: int, columns: int) -> None:
        """Memory for so many at once; what is held stays."""
        size = self._size(rows, columns)
        if self._front.size < size:
            used = self._size(self.rows, self.columns)
            old, self._front = self._front, self._block(size)
            for new, flat in zip(self._front.flat, old.flat, strict=True):
                new[:used] = flat[:used]

    def append(self, parts: Sequence[Array]) -> None:
        """Further rows: for each array (more, heads, columns of its own, head size)."""
        more, width = parts[0].shape[0], parts[0].shape[2]
        if not self.rows:
            self.columns = width
        elif width > self.columns:
            self.resize(width)
        self.reserve(self.rows + more, self.columns)
        first, self.rows = self.rows, self.rows + more
        gap = self.columns - width
        for array, part in zip(self.arrays, parts, strict=True):
            target = array[first:]
            if self.left:
                target[:, :, :width], target[:, :, width:] = part, 0
            else:
                target[:, :, gap:], target[:, :, :gap] = part, 0

    def resize(self, columns: int) -> None:
        """More columns, which hold nothing, or fewer, on the side where short rows have none."""
        self._room_behind(self._size(self.rows, columns))
        kept = min(columns, self.columns)
        for flat, array in zip(self._back.flat, self.arrays, strict=True):
            new = self._view(flat, self.rows, columns)
            if self.left:
                new[:, :, :kept], new[:, :, kept:] = array[:, :, :kept], 0
            else:
                new[:, :, columns - kept :] = array[:, :, self.columns - kept :]
                new[:, :, : columns - kept] = 0
        self.grown(columns)

    def drop(self, row: int) -> None:
        """A row goes, and the last one takes its place."""
        last = self.rows - 1
        if row != last:
            for array in self.arrays:
                array[row] = array[last]
        self.rows = last
        self.columns = self.columns if last else 0

    def select(self, rows: NDArray[np.intp]) -> None:
        """These rows, each any number of times, in this order."""
        self._room_behind(self._size(len(rows), self.columns))
        for flat, array in zip(self._back.flat, self.arrays, strict=True):
            np.take(array, rows, 0, self._view(flat, len(rows), self.columns), mode="clip")
        self.rows = len(rows)
        self.grown(self.columns)

    def clear(self) -> None:
        """All rows go, and their memory."""
        self.rows = self.columns = 0
        self._front, self._back = self._block(0), self._block(0)

    def _room_behind(self, size: int) -> None:
        if self._back.size < size:
            self._back = self._block(max(size, self._front.size))

    def _block(self, size: int) -> _Block:
        return _Block(self._count, size, self.kind.memory)

    def _size(self, rows: int, columns: int) -> int:
        return rows * columns * self._heads * self._head_size

    def _view(self, flat: Array, rows: int, columns: int) -> Array:
        used = flat[: self._size(rows, columns)]
        return used.reshape(rows, self._heads, columns, self._head_size)


class _Block:
    """Memory for a number of arrays of one size."""

    def __init__(self, count: int, size: int, kind: Any) -> None:
        self.size = size
        self.flat = [np.zeros(size, dtype=kind) for _ in range(count)]
        self.addresses = [flat.ctypes.data for flat in self.flat]


def _value(array: Array) -> Any:
    from onnxruntime import OrtValue

    return OrtValue.ortvalue_from_numpy(array)
