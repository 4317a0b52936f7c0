"""A threshold keeps its promise, and coverage is bought at the price that is shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from findings_fakes import judged, rows

from tinyforge.errors import FolderError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.intervals import share_interval
from tinyforge.evaluate.findings.thresholds import (
    FILE,
    Threshold,
    choose_threshold,
    guaranteed_threshold,
    measure_abstention,
)


def sure_rows(count: int, seed: int) -> Evaluation:
    """A model that is right as often as it says."""
    random = np.random.default_rng(seed)
    confidence = random.uniform(0.5, 1.0, count)
    right = random.random(count) < confidence
    gold = ["yes" if i % 2 else "no" for i in range(count)]
    answers = [g if hit else "other" for g, hit in zip(gold, right, strict=True)]
    return judged(rows(gold), answers, confidences=list(confidence))


def test_the_guarantee_holds_in_95_percent_of_cases() -> None:
    """Rows of confidence t are right with probability 0.4 + 0.6 t, so that errors are known."""
    many = np.random.default_rng(0).beta(6, 1, 200_000)
    broken = found = 0
    for seed in range(400):
        random = np.random.default_rng([1, seed])
        sure = random.beta(6, 1, 400)
        right = random.random(400) < 0.4 + 0.6 * sure
        value = guaranteed_threshold(sure, right, 0.06)
        if value is not None:
            found += 1
            broken += 0.6 * (1 - many[many >= value]).mean() > 0.06
    assert found > 150
    assert broken <= 0.05 * 400 + 2.33 * np.sqrt(400 * 0.05 * 0.95)


def test_ties_in_confidence_are_taken_together() -> None:
    """A threshold that half of the equal confidences would miss promises nothing."""
    sure = np.repeat([0.9, 0.6], 300)
    right = np.concatenate([np.arange(300) % 50 > 0, np.arange(300) % 4 > 0])
    assert guaranteed_threshold(sure, right, 0.06) == pytest.approx(0.9)
    assert guaranteed_threshold(sure, right, 0.25) == pytest.approx(0.6)
    assert guaranteed_threshold(sure, right, 0.001) is None


def test_a_threshold_is_chosen_on_validation_and_measured_on_test_rows() -> None:
    threshold = choose_threshold(sure_rows(1_500, 0), 0.85)
    assert threshold is not None
    assert threshold.guaranteed
    found = measure_abstention(sure_rows(1_500, 1), threshold)
    assert found is not None
    assert found.chosen is not None
    assert found.chosen.accuracy > 0.83
    assert found.chosen.low < found.chosen.accuracy < found.chosen.high
    assert 0.1 < found.chosen.coverage < 0.8
    assert "guaranteed but for a chance of 5 %" in found.sentence


def test_too_few_validation_rows_give_no_guarantee() -> None:
    threshold = choose_threshold(sure_rows(60, 0), 0.8)
    assert threshold is not None
    assert not threshold.guaranteed
    found = measure_abstention(sure_rows(200, 1), threshold)
    assert found is not None
    assert "too few for a guarantee" in found.sentence
    assert choose_threshold(sure_rows(60, 0), 0.9999) is None


def test_the_table_and_the_curve() -> None:
    test = sure_rows(1_000, 2)
    found = measure_abstention(test)
    assert found is not None
    accuracies = [row.accuracy for row in found.table]
    assert accuracies == sorted(accuracies)
    assert [row.coverage for row in found.table] == pytest.approx([1, 0.95, 0.9, 0.8, 0.7, 0.5])
    assert found.curve[-1] == pytest.approx((1.0, 1 - found.accuracy))
    assert found.aurc == pytest.approx(1 / 8, abs=0.03)  # the mean of (1 - t) / 2 over coverages
    assert found.aurc < found.aurc_of_chance == pytest.approx(1 - found.accuracy)
    assert found.chosen is None
    assert "with the highest confidence" in found.sentence


def test_equal_confidences_say_nothing() -> None:
    gold = ["yes", "no"] * 50
    found = measure_abstention(judged(rows(gold), ["yes"] * 100))
    assert found is not None
    assert found.aurc == pytest.approx(found.aurc_of_chance)
    assert len(found.table) == 1


def test_a_threshold_is_saved_with_the_model(tmp_path: Path) -> None:
    (tmp_path / "tinyforge").mkdir()
    assert Threshold.load(tmp_path) is None
    threshold = Threshold(0.625, 0.9, True, 400)
    threshold.save(tmp_path)
    assert Threshold.load(tmp_path) == threshold
    (tmp_path / FILE).write_text('{"value": 0.5}')
    with pytest.raises(FolderError, match="damaged"):
        Threshold.load(tmp_path)


def test_shares_have_exact_limits() -> None:
    """Clopper and Pearson's limits, from the binomial distribution itself."""
    from scipy.stats import binom

    low, high = share_interval(7, 20)
    assert binom.sf(6, 20, low) == pytest.approx(0.025)
    assert binom.cdf(7, 20, high) == pytest.approx(0.025)
    assert share_interval(0, 20)[0] == 0.0
    assert share_interval(20, 20)[1] == 1.0
    assert share_interval(0, 0) == (0.0, 1.0)
