"""Memory of keys and values: what is moved, joined and dropped is what a plain list would hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.artifacts.export_folder import CacheLayout
from tinyforge.inference.onnx.cache import Kind, Slots, Stack, bytes_per_token, no_past
from tinyforge.inference.onnx.engine_rows import Row, Turns, common_start

LAYOUT = CacheLayout("in-place", layers=1, heads=2, head_size=3)
HEADS, SIZE = LAYOUT.heads, LAYOUT.head_size
Rows = list[np.ndarray[Any, Any]]
"""For each row its tokens: (heads, tokens, head size)."""


def shown(stack: Stack, lengths: list[int]) -> list[Rows]:
    """The rows of each array, without what fills them up."""
    found = []
    for array in stack.arrays:
        assert array.shape == stack.shape
        rows = []
        for row, length in zip(array, lengths, strict=True):
            used = slice(0, length) if stack.left else slice(stack.columns - length, None)
            empty = slice(length, None) if stack.left else slice(0, stack.columns - length)
            assert not row[:, empty].any()
            rows.append(row[:, used].copy())
        found.append(rows)
    return found


STEPS = st.lists(
    st.tuples(st.sampled_from(["join", "drop", "grow", "wide", "fork"]), st.integers(0, 6)),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, left=st.booleans())
def test_a_stack_holds_what_a_list_would(steps: list[tuple[str, int]], left: bool) -> None:
    draw = np.random.default_rng(0)
    stack = Stack(2, HEADS, SIZE, Kind("float32"), left=left)
    rows: list[Rows] = [[], []]  # by array
    for what, number in steps:
        count = len(rows[0])
        if what == "join":
            parts = [
                draw.normal(size=(1 + number % 2, HEADS, number, SIZE)).astype(np.float32)
                for _ in rows
            ]
            stack.append(parts)
            for held, part in zip(rows, parts, strict=True):
                held += list(part)
        elif what == "drop" and count:
            stack.drop(number % count)
            for held in rows:
                last = held.pop()
                if number % count < len(held):
                    held[number % count] = last
        elif what == "grow" and count and not left:
            shape, addresses = stack.longer(stack.columns + 1)
            assert shape == (count, HEADS, stack.columns + 1, SIZE)
            assert addresses == stack._back.addresses
            for place, (array, flat) in enumerate(zip(stack.arrays, stack._back.flat, strict=True)):
                new = draw.normal(size=(count, HEADS, 1, SIZE)).astype(np.float32)
                flat[: np.prod(shape)] = np.concatenate([array, new], axis=2).reshape(-1)
                rows[place] = [
                    np.concatenate([row, one], axis=1)
                    for row, one in zip(rows[place], new, strict=True)
                ]
            stack.grown(stack.columns + 1)
        elif what == "wide" and count:
            stack.resize(max(row.shape[1] for row in rows[0]) + number)
            stack.reserve(count + 1, stack.columns + number)
        elif what == "fork" and count:
            chosen = draw.integers(0, count, 1 + number)
            stack.select(chosen)
            rows = [[held[i] for i in chosen] for held in rows]
        lengths = [row.shape[1] for row in rows[0]]
        for found, expected in zip(shown(stack, lengths), rows, strict=True):
            for one, other in zip(found, expected, strict=True):
                assert np.array_equal(one, other)


def test_slots_keep_what_they_are_told_to() -> None:
    slots = Slots(LAYOUT)
    slots.reshape(3, 4, ())
    for array in slots.arrays:
        array[:] = np.arange(array.size).reshape(array.shape)
    before = [array.copy() for array in slots.arrays]
    slots.reshape(2, 6, [(2, 0, 3), (0, 1, 4)])
    for array, old in zip(slots.arrays, before, strict=True):
        assert array.shape == (2, HEADS, 6, SIZE)
        assert np.array_equal(array[0, :, :3], old[2, :, :3])
        assert np.array_equal(array[1, :, :4], old[0])
        assert not array[0, :, 3:].any()
    slots.swap(0, 1, (3, 4))
    slots.copy(0, 1, 2)
    for array, old in zip(slots.arrays, before, strict=True):
        assert np.array_equal(array[0, :, :4], old[0])
        assert np.array_equal(array[1, :, :2], old[0, :, :2])
        assert np.array_equal(array[1, :, 2], old[2, :, 2])
    slots.reorder(np.array([0, 1]), np.array([1, 0]), slice(2, 3))
    for array, old in zip(slots.arrays, before, strict=True):
        assert np.array_equal(array[0, :, 2], old[2, :, 2])
        assert np.array_equal(array[1, :, 2], old[0, :, 2])


def test_slots_take_memory_only_where_they_are_written_to() -> None:
    psutil = pytest.importorskip("psutil")
    slots = Slots(CacheLayout("in-place", layers=1, heads=12, head_size=64))
    process = psutil.Process()
    before = process.memory_info().rss
    slots.reshape(32, 4096, ())
    for array in slots.arrays:
        array[::8, :, :3] = 1  # huge pages would be 2 MB for each head
    assert sum(array.nbytes for array in slots.arrays) > 700 * 2**20
    assert process.memory_info().rss - before < 16 * 2**20
    slots.reshape(32, 8192, [(8, 0, 3), (9, 1, 2)])
    assert slots.arrays[0][0, :, :3].all()
    assert not slots.arrays[0][1].any()


@pytest.mark.parametrize(("dtype", "size"), [("float32", 4), ("bfloat16", 2), ("int8", 1)])
def test_the_bytes_of_a_token(dtype: str, size: int) -> None:
    layout = CacheLayout("growing", layers=3, heads=2, head_size=5, dtype=dtype)
    assert bytes_per_token(layout) == 2 * 3 * 2 * 5 * size
    nothing = no_past(layout, 7)
    assert len(nothing) == 6
    assert nothing[0].shape == (7, 2, 0, 5)
    assert nothing[0].itemsize == size


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_start(one: list[int], other: list[int]) -> None:
    expected = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        expected += 1
    assert common_start(np.array(one), np.array(other)) == expected


def test_turns_pass_nobody_over() -> None:
    def row(done: int) -> Row:
        return Row(np.zeros(100, dtype=np.int64), 1, done=done)

    turns, rows = Turns(), [row(50), row(0), row(10)]
    taken = []
    for _ in range(4):
        chosen = turns.next(rows)
        taken.append(rows.index(chosen))
        chosen.done += 8
    assert taken == [0, 1, 0, 1]
