"""Sorting through the disk gives what sorting in memory gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.corpus.duplicates.sorting import Sorter

Records = list[tuple[int, int]]


def through(folder: Path, batches: list[list[int]], memory: int) -> tuple[Records, Records]:
    """All records by key, and those whose key is repeated."""
    sorter = Sorter(folder, "test", memory)
    number = 0
    for batch in batches:
        values = np.arange(number, number + len(batch), dtype=np.uint64)
        sorter.add(np.array(batch, dtype=np.uint64), values)
        number += len(batch)
    found: list[Records] = []
    for stretches in (sorter.sorted(), sorter.repeated()):
        pairs = [zip(keys.tolist(), values.tolist(), strict=True) for keys, values in stretches]
        found.append([pair for stretch in pairs for pair in stretch])
        if memory > 1 << 20:
            break  # what was taken from memory is gone
    sorter.close()
    assert not list(folder.iterdir())
    return found[0], found[-1]


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 9), max_size=30), max_size=6),
    st.integers(64, 2_000),
)
def test_any_memory_gives_the_same_order(
    tmp_path_factory: object, batches: list[list[int]], memory: int
) -> None:
    folder = tmp_path_factory.mktemp("sort")  # type: ignore[attr-defined]
    every = sorted(
        ((key, number) for number, key in enumerate(key for batch in batches for key in batch))
    )
    found, _ = through(folder, batches, 1 << 30)
    assert found == every
    found, repeated = through(folder, batches, memory)
    assert found == every
    keys = [key for key, _ in every]
    if len(every) > memory // 64:  # else memory held them, and they are gone
        assert repeated == [pair for pair in every if keys.count(pair[0]) > 1]
