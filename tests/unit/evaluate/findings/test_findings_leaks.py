"""Test rows that training has seen are found, and what is left without them is measured."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from findings_fakes import judged, rows, yes_no

from tinyforge.evaluate.findings.leaks import find_leaks, nearest_in, plain_text
from tinyforge.evaluate.findings.values import score_on
from tinyforge.records.examples import Example, Message

WORDS = [a + b + c for a in "bdfgklmnprst" for b in "aeiou" for c in "bdklmnrst"]


def sentences(count: int, seed: int, length: int = 14) -> list[str]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, length)) for _ in range(count)]


def planted() -> tuple[list[str], list[str]]:
    """40 test texts; in training stand the first 5 exactly, 5 more with other case and
    punctuation, and 5 with one word changed."""
    test = sentences(40, 1)
    train = sentences(300, 2)
    train[:5] = test[:5]
    train[5:10] = [f"{text.upper().replace(' ', ', ')}!" for text in test[5:10]]
    for row in range(10, 15):
        words = test[row].split()
        words[7] = "xyzzy"
        train[row] = " ".join(words)
    return test, train


def test_planted_copies_are_found(tmp_path: Path) -> None:
    test, train = planted()
    evaluation, examples = yes_no([i % 3 > 0 for i in range(40)], test)
    learnt = rows(["no"] * len(train), train, file="train.jsonl")
    found = find_leaks(evaluation, examples, learnt, work=tmp_path)
    assert (found.exact, found.near) == (10, 5)
    assert found.share == pytest.approx(15 / 40)
    assert {leak.row for leak in found.found} == set(range(15))
    assert all(leak.like == f"train.jsonl:{leak.row + 1}" for leak in found.found)
    assert {leak.row for leak in found.found if leak.kind == "near"} == set(range(10, 15))
    assert "15 of 40 test rows stand in the training rows" in found.sentence
    assert not list(tmp_path.iterdir())


def test_the_score_without_them_is_that_of_the_other_rows() -> None:
    test, train = planted()
    gold = ["yes" if i % 2 else "no" for i in range(40)]
    answers = [g if i < 15 or i % 3 else "no" for i, g in enumerate(gold)]
    examples = rows(gold, test)
    found = find_leaks(judged(examples, answers), examples, rows(["no"] * len(train), train))
    alone = judged(examples[15:], answers[15:])
    assert found.without is not None
    assert found.leaked is not None
    assert found.all is not None
    assert alone.headline is not None
    assert found.without.value == pytest.approx(alone.headline.value)
    assert found.without.rows == 25
    assert found.without.low == pytest.approx(alone.headline.low, abs=0.05)
    assert found.without.high == pytest.approx(alone.headline.high, abs=0.05)
    assert found.leaked.value == 1.0
    assert found.without.value < found.all.value
    assert found.without.text in found.sentence


def test_unrelated_rows_are_no_leak() -> None:
    evaluation, examples = yes_no([True] * 30, sentences(30, 1))
    found = find_leaks(evaluation, examples, rows(["no"] * 200, sentences(200, 2)))
    assert found.exact + found.near == 0
    assert found.without == found.all
    assert found.leaked is None
    assert found.sentence == "None of the 30 test rows stands in the training rows."


def test_nothing_is_left() -> None:
    test = sentences(20, 1)
    evaluation, examples = yes_no([True] * 20, test)
    found = find_leaks(evaluation, examples, rows(["no"] * 20, test))
    assert found.without is None
    assert "No unseen row is left" in found.sentence


def test_without_near_duplicates(tmp_path: Path) -> None:
    test, train = planted()
    like, similarity = nearest_in(rows(["a"] * 40, test), rows(["a"] * 300, train), 1.0, tmp_path)
    assert np.flatnonzero(like >= 0).tolist() == list(range(10))
    assert set(similarity[:10]) == {1.0}
    nothing, _ = nearest_in(rows(["a"] * 40, test), [], 0.7, tmp_path)
    assert (nothing == -1).all()


def test_what_is_compared() -> None:
    assert plain_text(Example("Hello,  WORLD!")) == "hello world"
    assert plain_text(Example("?!")) == "?!"
    chat = (Message("user", "Why?"), Message("assistant", "So."), Message("user", "And?"))
    assert plain_text(Example(messages=chat)) == "why and"


def test_groups_count_as_a_whole() -> None:
    """Two rows with one input are one group: neither stays without the other."""
    examples = rows(["yes", "no", "yes", "no"] * 5, ["same", "same", *map(str, range(18))])
    evaluation = judged(examples, ["yes"] * 20)
    kept = np.ones(20, dtype=bool)
    kept[0] = False
    left = score_on(evaluation, kept)
    assert left is not None
    assert left.rows == 18
    assert score_on(evaluation, np.zeros(20, dtype=bool)) is None
