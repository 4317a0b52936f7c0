"""Brier score, calibration error and the reliability table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.metrics.calibration import Calibration, brier_sets, brier_single, calibration_tally


def test_brier_of_two_labels_is_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss

    generator = np.random.default_rng(0)
    positive = generator.random(50)
    truth = generator.integers(0, 2, 50)
    rows = brier_single(np.stack([1 - positive, positive], axis=1), truth)
    assert rows.mean() == pytest.approx(brier_score_loss(truth, positive))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 20), st.integers(0, 1000))
def test_brier_of_many_labels_is_half_the_squared_distance(
    labels: int, rows: int, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    shares = generator.dirichlet(np.ones(labels), rows)
    truth = generator.integers(0, labels, rows)
    expected = ((shares - np.eye(labels)[truth]) ** 2).sum(axis=1) / 2
    np.testing.assert_allclose(brier_single(shares, truth), expected)


def test_brier_of_a_label_that_the_model_does_not_know() -> None:
    assert brier_single(np.array([[1.0, 0.0]]), np.array([-1]))[0] == 1
    assert brier_single(np.array([[0.5, 0.5]]), np.array([-1]))[0] == pytest.approx(0.75)


def test_brier_of_label_sets() -> None:
    found = brier_sets(np.array([[0.9, 0.2], [0.0, 1.0]]), np.array([[True, False], [False, True]]))
    assert found == pytest.approx([(0.01 + 0.04) / 2, 0])


def test_reliability_table() -> None:
    seen = Calibration()
    seen.add(np.array([[0.9], [0.95], [0.92]]), np.array([[True], [False], [True]]))
    seen.add(np.array([[0.31]]), np.array([[False]]))
    tally, table = seen.close()
    assert [(row.rows, round(row.accuracy, 3)) for row in table] == [(1, 0), (2, 1), (1, 0)]
    assert table[0].low == pytest.approx(4 / 15)
    assert table[0].confidence == pytest.approx(0.31)
    weighted = sum(row.rows * abs(row.confidence - row.accuracy) for row in table) / 4
    assert tally.value() == pytest.approx(weighted)


def test_label_sets_count_every_decision() -> None:
    seen = Calibration()
    seen.add(np.array([[1.0, 0.0, 0.5], [1.0, 0.0, 0.5]]), np.array([[1, 0, 1], [1, 0, 0]]) > 0)
    tally, table = seen.close()
    assert tally.value() == pytest.approx(0)
    assert [row.rows for row in table] == [2, 2, 2]
    seen = Calibration()
    seen.add(np.array([[0.2, 0.2]]), np.array([[False, False]]))
    assert seen.close()[0].value() == pytest.approx(0.2)


def test_parts_change_nothing() -> None:
    generator = np.random.default_rng(1)
    confidences, right = generator.random(40), generator.random(40) < 0.5
    seen = Calibration()
    for start in range(0, 40, 7):
        seen.add(confidences[start : start + 7, None], right[start : start + 7, None])
    assert seen.close()[0].value() == pytest.approx(
        calibration_tally(list(confidences), right).value()
    )
