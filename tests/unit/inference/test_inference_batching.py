"""Rows are put together by length, each exactly once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyforge.inference.batching import by_length


@given(st.lists(st.integers(0, 300), max_size=60), st.integers(1, 8), st.integers(1, 900))
def test_every_row_once_within_the_limits(lengths: list[int], rows: int, tokens: int) -> None:
    batches = by_length(lengths, rows=rows, tokens=tokens)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    in_order = [lengths[i] for batch in batches for i in batch]
    assert in_order == sorted(in_order, reverse=True)
    for batch in batches:
        assert 1 <= len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= tokens


def test_rows_that_fit_stand_together() -> None:
    assert by_length([5, 9, 5, 10], rows=2, tokens=1000) == [[3, 1], [0, 2]]
