"""Accuracy, F1, the label table and the confusion matrix against scikit-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.errors import DataError
from tinyforge.metrics.classification import (
    OTHER,
    confusion,
    label_set_tallies,
    label_table,
    label_tallies,
    right_rows,
)

LABELS = ["a", "b", "c", "d"]
pairs = st.lists(
    st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1, max_size=30
)
sets = st.lists(
    st.tuples(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS))),
    min_size=1,
    max_size=20,
)


@settings(deadline=None)
@given(pairs)
def test_one_label_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    from sklearn.metrics import (
        accuracy_score,
        balanced_accuracy_score,
        f1_score,
        matthews_corrcoef,
        precision_recall_fscore_support,
    )

    gold, answered = [a for a, _ in rows], [b for _, b in rows]
    tallies = label_tallies(gold, answered, LABELS)
    assert tallies["accuracy"].value() == pytest.approx(accuracy_score(gold, answered))
    for average in ("macro", "micro", "weighted"):
        expected = f1_score(gold, answered, average=average, zero_division=0)
        assert tallies[f"{average}_f1"].value() == pytest.approx(expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about labels that are alone, or that no row carries
        correlation = matthews_corrcoef(gold, answered)
        balanced = balanced_accuracy_score(gold, answered)
    assert tallies["mcc"].value() == pytest.approx(correlation)
    assert tallies["balanced_accuracy"].value() == pytest.approx(balanced)
    used = sorted({*gold, *answered})
    table = label_table(tallies, LABELS)
    assert [row.label for row in table] == used
    expected = precision_recall_fscore_support(gold, answered, labels=used, zero_division=0)
    got = [[row.precision, row.recall, row.f1, row.support] for row in table]
    np.testing.assert_allclose(np.array(got).T, np.array(expected, dtype=float))


@settings(deadline=None)
@given(sets)
def test_label_sets_equal_scikit_learn(rows: list[tuple[set[str], set[str]]]) -> None:
    from sklearn.metrics import accuracy_score, f1_score, hamming_loss
    from sklearn.preprocessing import MultiLabelBinarizer

    gold, answered = [sorted(a) for a, _ in rows], [sorted(b) for _, b in rows]
    used = sorted({label for row in (*gold, *answered) for label in row})
    tallies = label_set_tallies(gold, answered, LABELS)
    if not used:
        assert tallies["subset_accuracy"].value() == 1
        assert tallies["micro_f1"].value() == 0
        return
    binary = MultiLabelBinarizer(classes=used)
    true, given_ = binary.fit_transform(gold), binary.transform(answered)
    assert tallies["subset_accuracy"].value() == pytest.approx(
        np.mean([a == b for a, b in zip(gold, answered, strict=True)])
    )
    every = MultiLabelBinarizer(classes=LABELS)
    assert tallies["hamming_loss"].value() == pytest.approx(
        hamming_loss(every.fit_transform(gold), every.transform(answered))
    )
    if len(used) > 1:
        assert tallies["subset_accuracy"].value() == pytest.approx(accuracy_score(true, given_))
        for average in ("macro", "micro", "weighted"):
            expected = f1_score(true, given_, average=average, zero_division=0)
            assert tallies[f"{average}_f1"].value() == pytest.approx(expected)


@settings(deadline=None)
@given(pairs)
def test_confusion_equals_scikit_learn(rows: list[tuple[str, str]]) -> None:
    from sklearn.metrics import confusion_matrix

    gold, answered = [a for a, _ in rows], [b for _, b in rows]
    matrix = confusion(gold, answered, LABELS)
    if len(matrix.labels) > 1:
        expected = confusion_matrix(gold, answered, labels=list(matrix.labels))
        np.testing.assert_array_equal(matrix.counts, expected)
    assert matrix.counts.sum() == len(rows)


def test_an_answer_that_is_no_label_is_wrong_and_has_its_own_column() -> None:
    gold, answered = ["a", "b", "a"], ["a", "b", "I think it is a"]
    tallies = label_tallies(gold, answered, ["a", "b"])
    assert tallies["accuracy"].value() == pytest.approx(2 / 3)
    matrix = confusion(gold, answered, ["a", "b"])
    assert matrix.labels == ("a", "b", OTHER)
    assert matrix.pairs(5) == [("a", OTHER, 1)]
    assert right_rows(tallies).tolist() == [True, True, False]


def test_values_of_scikit_learns_own_examples() -> None:
    """The examples of matthews_corrcoef's and balanced_accuracy_score's documentation."""
    tallies = label_tallies(["+", "+", "+", "-"], ["+", "-", "+", "+"], ["+", "-"])
    assert tallies["mcc"].value() == pytest.approx(-0.33, abs=0.005)
    tallies = label_tallies(list("010010"), list("010001"), ["0", "1"])
    assert tallies["balanced_accuracy"].value() == 0.625


@settings(deadline=None)
@given(pairs, st.integers(0, 100))
def test_weighted_rows_equal_scikit_learns_sample_weights(
    rows: list[tuple[str, str]], seed: int
) -> None:
    from sklearn.metrics import accuracy_score, matthews_corrcoef

    gold, answered = [a for a, _ in rows], [b for _, b in rows]
    weights = np.random.default_rng(seed).integers(0, 3, len(rows)).astype(float)
    tallies = label_tallies(gold, answered, LABELS)
    if not weights.any():
        return
    for name, score in (("accuracy", accuracy_score), ("mcc", matthews_corrcoef)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = score(gold, answered, sample_weight=weights)
        got = tallies[name].weighted(weights[None], {})[0]
        assert got == pytest.approx(expected)


def test_mcc_of_answers_that_are_no_label() -> None:
    from sklearn.metrics import matthews_corrcoef

    gold, answered = ["a", "b", "a", "b"], ["a", "b", "nonsense", "nonsense"]
    tallies = label_tallies(gold, answered, ["a", "b"])
    assert tallies["mcc"].value() == pytest.approx(matthews_corrcoef(gold, answered))


def test_many_rows_are_counted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    gold = [LABELS[i] for i in generator.integers(0, 4, 100)]
    answered = [[*LABELS, "x"][i] for i in generator.integers(0, 5, 100)]
    whole = label_tallies(gold, answered, LABELS)
    monkeypatch.setattr("tinyforge.metrics.classification._ROWS", 7)
    parts = label_tallies(gold, answered, LABELS)
    for name in whole:
        assert whole[name].value() == parts[name].value()


def test_one_class_only() -> None:
    tallies = label_tallies(["a", "a"], ["a", "a"], ["a"])
    assert tallies.pop("mcc").value() == 0  # as scikit-learn has it: nothing to correlate
    assert {tally.value() for tally in tallies.values()} == {1.0}


def test_commonest_confusions_come_first() -> None:
    matrix = confusion(["a", "a", "b", "c"], ["b", "b", "a", "c"], LABELS)
    assert matrix.pairs(1) == [("a", "b", 2)]
    assert matrix.pairs(9) == [("a", "b", 2), ("b", "a", 1)]


def test_no_rows_is_an_error() -> None:
    with pytest.raises(DataError, match="no rows to score"):
        label_tallies([], [], ["a"])
