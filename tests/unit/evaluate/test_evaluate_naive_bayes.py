"""Naive Bayes on character n-grams is scikit-learn's."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from tinyforge.evaluate.naive_bayes import SMOOTHING, CharacterNaiveBayes
from tinyforge.records.examples import Example
from tinyforge.text.features import TextFeatures

WORDS = ["rain", "sun", "wind", "card", "bank", "cash", "loan", "snow"]


def texts(count: int, seed: int) -> list[str]:
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, 4)) for _ in range(count)]


def counter() -> CountVectorizer:
    return CountVectorizer(analyzer="char_wb", ngram_range=(3, 5))


def examples(some: list[str]) -> list[Example]:
    return [Example(text) for text in some]


def test_one_label_a_row() -> None:
    train, test = texts(90, 0), texts(40, 1)
    labels = ["money" if "card" in text or "bank" in text else "weather" for text in train]
    plain = make_pipeline(counter(), MultinomialNB(alpha=SMOOTHING)).fit(train, labels)
    ours = CharacterNaiveBayes(
        TextFeatures(train), [(label,) for label in labels], multi_label=False, seed=0
    )
    found = ours.predict_examples(examples(test))
    assert [answer.output for answer in found] == list(plain.predict(test))
    assert [answer.confidence for answer in found] == pytest.approx(
        plain.predict_proba(test).max(axis=1), rel=1e-4
    )
    assert ours.parameters == 2 * len(plain[0].vocabulary_)
    assert ours.fit_seconds > 0


def test_several_labels_a_row() -> None:
    train, test = texts(90, 0), texts(40, 1)
    rows = [tuple(word for word in ("card", "rain", "sun") if word in text) for text in train]
    wanted = np.array([[word in row for word in ("card", "rain", "sun")] for row in rows])
    plain = make_pipeline(counter(), OneVsRestClassifier(MultinomialNB(alpha=SMOOTHING)))
    plain.fit(train, wanted)
    ours = CharacterNaiveBayes(TextFeatures(train), rows, multi_label=True, seed=0)
    found = ours.predict_examples(examples(test))
    expected = [
        tuple(word for word, given in zip(("card", "rain", "sun"), row, strict=True) if given)
        for row in plain.predict(test)
    ]
    assert [answer.labels for answer in found] == expected


def test_a_threshold_is_chosen_where_there_are_rows_enough() -> None:
    train = texts(200, 0)
    rows = [("card",) if "card" in text else () for text in train]
    ours = CharacterNaiveBayes(TextFeatures(train), rows, multi_label=True, seed=0)
    assert "labels are given from probability" in ours.note
    both, none = ours.predict_examples(examples(["card card", "rain sun"]))
    assert (both.labels, none.labels) == (("card",), ())


def test_a_label_on_every_row_and_texts_without_ngrams() -> None:
    features = TextFeatures(["a", "b"])
    every = CharacterNaiveBayes(features, [("x",), ("x",)], multi_label=True, seed=0)
    assert every.predict_examples(examples(["c"]))[0].labels == ("x",)
    empty = CharacterNaiveBayes(TextFeatures(["", ""]), [("x",), ("y",)], multi_label=False, seed=0)
    assert empty.predict_examples(examples(["c"]))[0].output in "xy"


def test_long_texts_are_counted_by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.text.features.CHARACTERS_FOR_NGRAMS", 10)
    train = texts(30, 0)
    labels = [("card",) if "card" in text else ("none",) for text in train]
    ours = CharacterNaiveBayes(TextFeatures(train), labels, multi_label=False, seed=0)
    assert ours.note == "counts words, as the texts are long"
    assert ours.predict_examples(examples(["card card"]))[0].output == "card"
