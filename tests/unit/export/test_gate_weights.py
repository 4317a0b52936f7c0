"""Weights of graphs are the source's bit for bit, or something is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.export.gate.weights import _find
from tinyforge.metrics.tally import Floats

RNG = np.random.default_rng(0)
TABLE = RNG.standard_normal((40, 16)).astype(np.float32)
KNOWN = {(40, 16): [TABLE], (16, 40): [TABLE.T]}


def found(tensor: Floats) -> int | None:
    return _find(np.asarray(tensor, dtype=np.float32), KNOWN)


def test_a_tensor_as_it_is_or_transposed() -> None:
    assert found(TABLE) == 0
    assert found(TABLE.T) == 0


@given(st.integers(0, 39), st.integers(0, 15), st.integers(0, 31))
def test_any_flipped_bit_is_found(row: int, column: int, bit: int) -> None:
    spoilt = TABLE.copy()
    spoilt.view(np.uint32)[row, column] ^= np.uint32(1 << bit)
    assert found(spoilt) == 1
    assert found(np.ascontiguousarray(spoilt.T)) == 1


@pytest.mark.parametrize("other", [TABLE * 2, TABLE + 1, RNG.standard_normal((40, 16))])
def test_a_tensor_made_from_several_is_no_mistake(other: Floats) -> None:
    assert found(other) is None


def test_zeros_tell_nothing() -> None:
    sparse = np.zeros((40, 16), dtype=np.float32)
    sparse[0] = 1.0
    assert _find(sparse * np.float32(3), {(40, 16): [sparse]}) is None


def test_a_row_that_was_changed_is_found() -> None:
    spoilt = TABLE.copy()
    spoilt[7] = 0
    assert found(spoilt) == 16
