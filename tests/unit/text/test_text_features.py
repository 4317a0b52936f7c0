"""TF-IDF features and the search for similar examples."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

from tinyforge.records.examples import Example, Message
from tinyforge.text.features import SimilarExamples, TextFeatures, question

TEXTS = [
    "the cat sat on the mat", "a dog lay by the door", "the cat and the dog", "send money abroad",
]  # fmt: skip


def test_the_features_are_those_of_scikit_learn() -> None:
    features = TextFeatures(TEXTS)
    words = TfidfVectorizer(
        ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", sublinear_tf=True, dtype=np.float32
    )
    characters = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, dtype=np.float32
    )
    expected = hstack([words.fit_transform(TEXTS), characters.fit_transform(TEXTS)], format="csr")
    assert np.array_equal(features.matrix.toarray(), expected.toarray())
    new = ["the cat sends a dog"]
    other = hstack([words.transform(new), characters.transform(new)])
    assert np.array_equal(features.of(new).toarray(), other.toarray())
    counter = CountVectorizer(analyzer="char_wb", ngram_range=(3, 5))
    assert np.array_equal(features.counts.toarray(), counter.fit_transform(TEXTS).toarray())
    assert np.array_equal(features.counts_of(new).toarray(), counter.transform(new).toarray())


def test_texts_without_any_word() -> None:
    features = TextFeatures(["", ""])
    assert features.matrix.shape == (2, 1)
    assert features.of(["a"]).shape == features.counts_of(["a"]).shape == (1, 1)


def test_long_texts_are_cut_into_words_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.text.features.CHARACTERS_FOR_NGRAMS", 10)
    features = TextFeatures(TEXTS)
    assert not features.ngrams
    assert features.counts.shape == features.matrix.shape


def similar() -> SimilarExamples:
    return SimilarExamples([Example(text, str(i)) for i, text in enumerate(TEXTS)])


def test_the_most_similar_come_first() -> None:
    (found,) = similar().nearest(["the cat and the dog sat"], 3)
    places = [example.output for example, _ in found]
    likeness = [value for _, value in found]
    assert places[0] == "2"
    assert likeness == sorted(likeness, reverse=True)
    features = TextFeatures(TEXTS)
    every = (features.of(["the cat and the dog sat"]) @ features.matrix.T).toarray()[0]
    assert likeness == pytest.approx(sorted(every, reverse=True)[:3])


def test_the_first_of_equals_comes_first() -> None:
    """Also where the equals straddle the number asked for."""
    twins = SimilarExamples([Example("red car", str(i)) for i in range(5)])
    for count in (1, 2, 5, 9):
        (found,) = twins.nearest(["red car"], count)
        assert [example.output for example, _ in found] == ["0", "1", "2", "3", "4"][:count]


def test_some_rows_only() -> None:
    examples = [Example(text, str(i)) for i, text in enumerate(TEXTS)]
    some = SimilarExamples(examples, np.array([0, 3]))
    assert len(some) == 2
    assert [example.output for example in some.all()] == ["0", "3"]
    (found,) = some.nearest(["the cat and the dog"], 9)
    assert [example.output for example, _ in found] == ["0", "3"]


def test_common_words_are_left_out_of_a_large_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.text.features.MANY_ROWS", 4)
    monkeypatch.setattr("tinyforge.text.features.COMMON", 0.3)
    (found,) = similar().nearest(["send the money"], 1)
    assert found[0][0].output == "3"


def test_what_an_example_asks() -> None:
    chat = (Message("system", "be brief"), Message("user", "hello"), Message("assistant", "hi"))
    assert question(Example("hello", "hi", messages=chat)) == "be brief\nhello"
    assert question(Example("hello", messages=chat[:2])) == "be brief\nhello"
    assert question(Example("text", "label")) == "text"
