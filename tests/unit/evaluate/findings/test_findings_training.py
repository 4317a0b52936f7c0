"""What training did: the gap, what was forgotten, and whether more rows would help."""

from __future__ import annotations

import numpy as np
import pytest
from findings_fakes import judged, rows, yes_no

from tinyforge.evaluate.findings.forgetting import find_forgetting
from tinyforge.evaluate.findings.gap import find_gap
from tinyforge.evaluate.findings.learning_curve import Point, error_of, fit_curve, power_law
from tinyforge.evaluate.findings.probes import PROBES


def test_a_large_gap() -> None:
    train, _ = yes_no([True] * 300)
    test, _ = yes_no([i % 10 < 7 for i in range(200)])
    found = find_gap(train, test)
    assert found is not None
    assert found.difference == pytest.approx(0.3)
    assert found.low == pytest.approx(0.3 - 1.96 * np.sqrt(0.3 * 0.7 / 200), abs=0.02)
    assert found.large
    assert "much better than the task" in found.sentence


def test_no_gap() -> None:
    train, _ = yes_no([i % 5 > 0 for i in range(300)])
    test, _ = yes_no([i % 5 > 0 for i in range(200)])
    found = find_gap(train, test)
    assert found is not None
    assert found.low < 0 < found.high
    assert not found.large
    assert "no sign" in found.sentence


def test_the_gap_needs_one_metric_on_both_sides() -> None:
    lopsided = judged(rows(["a"] * 95 + ["b"] * 5), ["a"] * 100)
    train, _ = yes_no([True] * 100)
    assert lopsided.primary.name == "macro_f1"
    assert find_gap(train, lopsided) is not None
    del lopsided.scores["macro_f1"]
    assert find_gap(train, lopsided) is None


def test_forgetting_is_told() -> None:
    random = np.random.default_rng(0)
    before = random.uniform(0.9, 1.1, len(PROBES))
    after = before + 0.4 + random.normal(0, 0.1, len(PROBES))
    found = find_forgetting(before, after)
    assert found is not None
    assert found.forgot
    assert found.low < found.change < found.high
    assert found.change == pytest.approx(0.4, abs=0.05)
    assert found.worst[0].after - found.worst[0].before == max(after - before)
    assert "forgot some of its general language" in found.sentence
    better = find_forgetting(before, before - 0.2)
    assert better is not None
    assert not better.forgot
    assert "better at plain language" in better.sentence
    same = find_forgetting(before, before + random.normal(0, 0.05, len(PROBES)))
    assert same is not None
    assert not same.forgot
    assert find_forgetting(None, after) is None


def test_the_probes_are_forty_different_sentences() -> None:
    assert len(set(PROBES)) == 40
    assert all(30 < len(text) < 100 and text.endswith(".") for text in PROBES)


def test_a_known_power_law_is_found_again() -> None:
    n = np.array([0.125, 0.25, 0.5, 1.0])
    a, b, c = power_law(n, (0.05 + 0.1 * n**-0.7)[None])
    assert a[0] == pytest.approx(0.05, abs=0.01)
    assert b[0] == pytest.approx(0.1, abs=0.01)
    assert c[0] == pytest.approx(0.7, abs=0.05)
    floors, slopes, _ = power_law(n, np.array([[0.1] * 4, [0.1, 0.2, 0.3, 0.4]]))
    assert floors[0] == pytest.approx(0.1)
    assert slopes.tolist() == [0.0, 0.0]


def curve(seed: int, floor: float, slope: float, *, test_rows: int = 500):  # type: ignore[no-untyped-def]
    """Accuracies of four runs on the same test rows, whose true errors follow a power law."""
    random = np.random.default_rng(seed)
    luck = random.random(test_rows)
    draws = random.integers(0, test_rows, (300, test_rows))
    points = []
    for count in (250, 500, 1_000, 2_000):
        error = floor + slope * (count / 2_000) ** -0.5
        wrong = (0.7 * luck + 0.3 * random.random(test_rows)) < error
        right = 1.0 - wrong
        points.append(Point(count, float(right.mean()), right[draws].mean(axis=1)))
    return fit_curve("accuracy", points, seed=seed)


def test_more_rows_would_help() -> None:
    found = curve(0, 0.02, 0.2, test_rows=4_000)
    assert found is not None
    assert found.helps == "yes"
    assert found.doubled.rows == 4_000
    assert found.doubled.gain == pytest.approx(0.2 - 0.2 / np.sqrt(2), abs=0.03)
    assert found.doubled.gain_low < found.doubled.gain < found.doubled.gain_high
    assert found.doubled.low < found.doubled.value < found.doubled.high
    assert [point.rows for point in found.points] == [250, 500, 1_000, 2_000]
    assert found.sentence.startswith("Twice the training rows would probably help")


def test_more_rows_would_not_help() -> None:
    found = curve(1, 0.1, 0.0, test_rows=20_000)
    assert found is not None
    assert found.helps == "no"
    assert "hardly help" in found.sentence


def test_what_cannot_be_fitted() -> None:
    even = np.full(10, 0.5)
    points = [Point(n, 0.5, even) for n in (10, 20)]
    assert fit_curve("accuracy", points) is None
    assert fit_curve("accuracy", [*points, Point(40, float("inf"), even)]) is None


def test_errors() -> None:
    values = np.array([0.25])
    assert error_of("accuracy", values) == pytest.approx(0.75)
    assert error_of("chrf", values) == pytest.approx(99.75)
    assert error_of("bits_per_byte", values) == pytest.approx(0.25)
