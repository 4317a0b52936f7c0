"""Rows that no label fits: areas, limits and where they come from."""

from __future__ import annotations

import numpy as np
import pytest
from findings_fakes import judged, rows

from tinyforge.evaluate.findings.out_of_scope import (
    auroc,
    detect,
    is_outside_name,
    out_of_scope_rows,
    scope_scores,
)


def test_the_area_is_scikit_learns() -> None:
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(0)
    inside = np.round(random.normal(1, 1, 80), 1)
    outside = np.round(random.normal(0, 1, 50), 1)
    truth = np.repeat([1, 0], [80, 50])
    area, low, high = auroc(inside, outside)
    assert area == pytest.approx(roc_auc_score(truth, np.concatenate([inside, outside])))
    assert low < area < high


def test_the_interval_holds_the_true_area() -> None:
    """For normal scores one apart the area is the normal distribution at 1 / sqrt 2."""
    true = 0.7602
    random = np.random.default_rng(1)
    held = 0
    for _ in range(400):
        _, low, high = auroc(random.normal(1, 1, 60), random.normal(0, 1, 40))
        held += low <= true <= high
    assert held / 400 == pytest.approx(0.95, abs=0.035)


def test_perfect_separation_has_an_interval() -> None:
    area, low, high = auroc(np.arange(10, 20.0), np.arange(5.0))
    assert area == high == 1.0
    assert 0.3 < low < 1.0


def test_scores() -> None:
    logits = np.array([[4.0, 0.0], [0.0, 0.0]])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = scope_scores(shares, logits, outside_label=1)
    assert found["probability"] == pytest.approx(shares.max(axis=1))
    assert found["entropy"][1] == pytest.approx(-np.log(2))
    assert found["energy"] == pytest.approx(np.log(np.exp(logits).sum(axis=1)))
    assert found["label"] == pytest.approx(shares[:, 0])
    assert all(values[0] > values[1] for values in found.values())
    assert set(scope_scores(shares)) == {"probability", "entropy"}


def test_detection() -> None:
    inside = {"probability": np.linspace(0.6, 1, 100), "entropy": np.zeros(100)}
    outside = {"probability": np.linspace(0.2, 0.7, 50), "entropy": np.zeros(50)}
    found = detect(inside, outside)
    assert found is not None
    assert found.best == "probability"
    best, other = found.scores
    assert other.auroc == 0.5
    assert (inside["probability"] >= best.threshold).mean() >= 0.95
    assert best.fpr95 == (outside["probability"] >= best.threshold).mean()
    assert best.fpr95_low < best.fpr95 < best.fpr95_high
    assert "AUROC" in found.sentence
    assert detect(inside, {"probability": np.empty(0), "entropy": np.empty(0)}) is None
    assert detect(inside, {"energy": np.ones(3)}) is None


def test_rows_named_out_of_scope() -> None:
    assert is_outside_name(" OOS ")
    assert not is_outside_name("balance")
    examples = rows(["a", "b", "oos"] * 20)
    sure = {"a": 0.9, "b": 0.1, "oos": 0.0}
    scores = [
        sure if e.output == "a" else {"a": 0.1, "b": 0.9, "oos": 0.0} if e.output == "b"
        else {"a": 0.5, "b": 0.5, "oos": 0.0} for e in examples
    ]  # fmt: skip
    answers = [max(s, key=lambda label: s[label]) for s in scores]
    found = out_of_scope_rows(judged(examples, answers, scores=scores), examples)
    assert found is not None
    assert (found.inside, found.outside) == (40, 20)
    assert {score.name for score in found.scores} == {"probability", "entropy"}
    assert found.scores[0].auroc == 1.0
    plain = rows(["a", "b"] * 20)
    assert out_of_scope_rows(judged(plain, ["a"] * 40, scores=[sure] * 40), plain) is None
