"""The quickstart's sentences: real, unseen where they judge, and reversed rightly."""

from __future__ import annotations

import pytest

from tinyforge.recipes import sentences


@pytest.fixture(scope="module")
def found() -> list[str]:
    return sentences.sentences()


def test_every_python_has_thousands(found: list[str]) -> None:
    assert len(found) > 3_000
    assert len(set(found)) == len(found)
    assert all(3 <= len(sentence.split()) <= 16 for sentence in found)
    assert all(sentence == sentence.lower() for sentence in found)


def test_unseen_sentences_are_unlike_all_others(found: list[str]) -> None:
    learnt, unseen = sentences.split(found, 100, seed=3)
    assert len(unseen) > 80
    assert len(learnt) > len(found) / 2
    for sentence in unseen:
        words = set(sentence.split())
        for other in learnt:
            shared = len(words & set(other.split()))
            assert shared < 0.6 * len(words | set(other.split()))
            assert f" {sentence} " not in f" {other} "


def test_an_exercise_is_the_words_in_reverse() -> None:
    row = sentences.exercise("how are you doing today")
    assert row == {"input": "reverse: how are you doing today", "output": "today doing you are how"}


def test_practice_is_repeatable_and_holds_no_unseen_sentence(found: list[str]) -> None:
    learnt, unseen = sentences.split(found, 100, seed=0)
    one = list(sentences.training_sentences(learnt, unseen, 3_000, seed=1))
    assert one == list(sentences.training_sentences(learnt, unseen, 3_000, seed=1))
    assert one != list(sentences.training_sentences(learnt, unseen, 3_000, seed=2))
    assert not set(one) & set(unseen)
    assert len(set(one) & set(learnt)) > 500
    assert all(3 <= len(sentence.split()) <= 16 for sentence in one)
