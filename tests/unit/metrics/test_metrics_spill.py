"""Columns, sparse rows and texts come back as they went in, from memory and from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix, random_array

from tinyforge.metrics import spill
from tinyforge.metrics.spill import Column, SparseRows, Texts


@pytest.mark.parametrize("limit", [16, 1 << 20])
@pytest.mark.parametrize("width", [0, 3])
def test_a_column_comes_back(monkeypatch: pytest.MonkeyPatch, limit: int, width: int) -> None:
    monkeypatch.setattr(spill, "SPILL", limit)
    column = Column(np.float64, width)
    parts = [np.arange(30.0).reshape(-1, width) if width else np.arange(30.0) for _ in "abc"]
    for part in parts:
        column.extend(part)
    found = column.close()
    np.testing.assert_array_equal(found, np.concatenate(parts))
    assert type(found) is np.ndarray
    assert not found.flags.writeable


def test_an_empty_column() -> None:
    assert Column(np.int32).close().shape == (0,)
    assert Column(np.int32, 4).close().shape == (0, 4)


def test_nothing_stays_on_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(spill, "SPILL", 8)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    column = Column(np.int64)
    column.extend(np.arange(1000))
    found = column.close()
    assert found.sum() == 499_500
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("limit", [16, 1 << 20])
def test_sparse_rows_come_back(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(spill, "SPILL", limit)
    parts = [csr_matrix(random_array((n, 7), density=0.4, rng=n)) for n in (1, 5, 9)]
    rows = SparseRows(7)
    for part in parts:
        rows.extend(part)
    found = rows.close()
    np.testing.assert_array_equal(
        found.toarray(), np.concatenate([part.toarray() for part in parts])
    )
    weights = np.arange(15.0)
    np.testing.assert_allclose(found.T @ weights, found.toarray().T @ weights)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=30))
def test_texts_come_back(items: list[bytes]) -> None:
    texts = Texts()
    texts.extend(items[:3])
    texts.extend(items[3:])
    closed = texts.close()
    assert [closed[i] for i in range(len(closed))] == items
