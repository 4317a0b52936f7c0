"""What an evaluation keeps of each row: quality, confidence, probabilities, answers, groups."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluate_fakes import SETTINGS, Says, Surprised, label, labelled
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source


def scored(scores: dict[str, float], *, threshold: float | None = None) -> Prediction:
    """A prediction with a probability for every label."""
    if threshold is None:
        best = max(scores, key=lambda name: scores[name])
        return Prediction(best, scores[best], scores=scores, labels=(best,), model="abc123")
    chosen = tuple(name for name in scores if scores[name] >= threshold)
    return Prediction(", ".join(chosen), 0.5, scores=scores, labels=chosen)


def classified(
    gold: list[str], predictions: list[Prediction], labels: tuple[str, ...] = ()
) -> Evaluation:
    return evaluate(
        Says(predictions), labelled(gold), task="classify", labels=labels, settings=SETTINGS
    )


def test_labels_by_row() -> None:
    answers = [label("yes", 0.9), label("no", 0.6), label("yes", 0.7)]
    result = classified(["yes", "yes", "yes"], answers, ("no", "yes"))
    assert result.rows.tolist() == [0, 1, 2]
    assert result.groups.tolist() == [0, 1, 2]
    assert result.quality.tolist() == [1, 0, 1]
    assert result.confidences is not None
    np.testing.assert_allclose(result.confidences, [0.9, 0.6, 0.7], rtol=1e-6)
    assert result.labels == ("no", "yes")
    assert [p.output for p in result.predictions] == ["yes", "no", "yes"]
    assert result.predictions[-1] == answers[2]
    assert [p.labels for p in result.predictions[:2]] == [("yes",), ("no",)]
    with pytest.raises(IndexError):
        result.predictions[3]
    assert "auroc" not in result.scores
    assert len(np.unique(result.keys)) == 3
    assert result.row_tally is not None
    assert result.row_tally.rows == 3


def test_a_missing_confidence_is_not_made_up() -> None:
    result = classified(["yes", "yes"], [label("yes", 0.9), label("yes", None)])
    assert result.confidences is None
    assert result.reliability == []
    assert "ece" not in result.scores


def test_rows_without_an_answer_are_left_out() -> None:
    examples = [*labelled(["yes"]), Example("nothing"), *labelled(["no"])]
    says = Says([label("yes"), label("no")])
    result = evaluate(says, examples, task="classify", settings=SETTINGS)
    assert result.rows.tolist() == [0, 2]


def test_two_labels_are_measured_by_the_rarer_one() -> None:
    generator = np.random.default_rng(0)
    spam = generator.random(80) < 0.3
    shares = np.clip(0.3 * spam + 0.7 * generator.random(80), 0.01, 0.99).round(2)
    gold = ["spam" if row else "ham" for row in spam]
    answers = [scored({"spam": float(p), "ham": 1 - float(p)}) for p in shares]
    result = classified(gold, answers, ("ham", "spam"))
    assert result.scores["auroc"].value == pytest.approx(roc_auc_score(spam, shares))
    expected = average_precision_score(spam, shares)
    assert result.scores["average_precision"].value == pytest.approx(expected)
    assert result.scores["brier"].value == pytest.approx(brier_score_loss(spam, shares))
    assert result.scores["auroc"].low < result.scores["auroc"].value < result.scores["auroc"].high
    assert result.probabilities is not None
    np.testing.assert_allclose(result.probabilities[:, 1], shares, rtol=1e-6)
    assert sum(row.rows for row in result.reliability) == 80


def test_probabilities_stand_in_the_order_of_the_labels() -> None:
    answers = [scored({"10": 0.1, "9": 0.7, "2": 0.2}), scored({"10": 0.6, "9": 0.3, "2": 0.1})]
    result = classified(["9", "new"], answers, ("2", "9", "10"))
    assert result.labels == ("10", "2", "9", "new")
    assert result.probabilities is not None
    np.testing.assert_allclose(
        result.probabilities, [[0.1, 0.2, 0.7, 0], [0.6, 0.1, 0.3, 0]], rtol=1e-6
    )
    assert result.scores["brier"].value == pytest.approx(
        np.mean([(0.01 + 0.04 + 0.09) / 2, (0.36 + 0.09 + 0.01 + 1) / 2])
    )


def test_too_many_probabilities_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.evaluate.probabilities.MOST_SCORES", 5)
    answers = [scored({"a": 0.9, "b": 0.1}), scored({"a": 0.4, "b": 0.6}), scored({"a": 1, "b": 0})]
    result = classified(["a", "b", "a"], answers)
    assert result.probabilities is None
    assert "auroc" not in result.scores
    assert "brier" in result.scores
    assert any("AUROC and average precision were left out" in note for note in result.notes)


def test_scores_that_are_not_always_given_are_not_used() -> None:
    answers = [scored({"a": 0.9, "b": 0.1}), label("b", 0.9)]
    result = classified(["a", "b"], answers)
    assert result.probabilities is None
    assert "brier" not in result.scores


def test_label_sets_with_probabilities() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random((60, 3)) < 0.4
    shares = np.clip(0.5 * truth + 0.5 * generator.random((60, 3)), 0, 1)
    names = ("x", "y", "z")
    examples = [
        Example(f"t{i}", labels=tuple(n for n, on in zip(names, row, strict=True) if on),
                source=Source("f", i + 1))
        for i, row in enumerate(truth)
    ]  # fmt: skip
    answers = [scored(dict(zip(names, row, strict=True)), threshold=0.5) for row in shares.tolist()]
    result = evaluate(
        Says(answers), examples, task="classify", multi_label=True, labels=names, settings=SETTINGS
    )
    assert result.scores["auroc"].value == pytest.approx(
        np.mean([roc_auc_score(truth[:, i], shares[:, i]) for i in range(3)]), abs=1e-6
    )
    assert result.scores["brier"].value == pytest.approx(((shares - truth) ** 2).mean())
    assert sum(row.rows for row in result.reliability) == 180
    assert result.confidences is not None


def test_written_answers_by_row() -> None:
    examples = labelled(["the cat sat on the mat", "a dog", "nothing of the kind"])
    answers = ["the cat sat  on the mat", "a dog!", ""]
    result = evaluate(
        Says([Prediction(text, 0.5, finish_reason="stop") for text in answers]), examples,
        task="text2text", settings=SETTINGS,
    )  # fmt: skip
    assert result.quality[0] == 1
    assert 0.5 < result.quality[1] < 1
    assert result.quality[2] == 0
    assert [p.output for p in result.predictions] == answers
    assert result.predictions[0].finish_reason == "stop"


def test_raw_text_by_row() -> None:
    examples = [Example(output=f"text {i}", source=Source("f", i)) for i in range(12)]
    result = evaluate(Surprised(2.0), examples, task="language-model", settings=SETTINGS)
    np.testing.assert_allclose(result.quality, -2.0)
    assert len(result.predictions) == 0
    assert result.confidences is None


def test_groups_are_numbered_as_they_appear() -> None:
    twins = [replace(e, input=name) for e, name in zip(labelled(["a"] * 6), "zzayza", strict=True)]
    result = evaluate(Says([label("a")] * 6), twins, task="classify", settings=SETTINGS)
    assert result.groups.tolist() == [0, 0, 1, 2, 0, 1]
    assert result.sample.groups == 3


def test_equal_rows_have_equal_keys_in_every_evaluation() -> None:
    examples = labelled(["a", "b", "a", "b"])
    whole = evaluate(Says([label("a")] * 4), examples, task="classify", settings=SETTINGS)
    part = evaluate(Says([label("b")] * 2), examples[2:], task="classify", settings=SETTINGS)
    assert part.keys.tolist() == whole.keys[2:].tolist()


def test_every_metric_has_a_tally_and_an_interval() -> None:
    answers = [scored({"a": 0.9, "b": 0.1}), scored({"a": 0.4, "b": 0.6})] * 10
    result = classified(["a", "b"] * 10, answers)
    assert set(result.scores) == set(result.tallies) == set(result.resampled)
    for name, tally in result.tallies.items():
        assert tally.value() == pytest.approx(result.scores[name].value)
        assert result.resampled[name].shape == (SETTINGS.bootstrap_samples,)
