"""Rows for the toxicity classifier, and the sentences that bias is looked for with."""

from __future__ import annotations

from collections import Counter

from benchmarks.quality.safeguards import halves
from benchmarks.quality.toxicity import by_source, share
from benchmarks.quality.toxicity_rows import (
    CIVIL,
    GROUPS,
    TOXIC,
    Row,
    frames,
    split,
    swapped,
    tidy_tweet,
    variants,
)


def test_a_tweet_keeps_its_words_alone() -> None:
    assert tidy_tweet("!!! RT @anna_x: look &amp; see @bob http://t.co/x1  now") == (
        "look & see @user http now"
    )


def test_no_row_is_learnt_and_held_out() -> None:
    rows = [Row(f"text {n}", TOXIC if n % 3 else CIVIL, "ab"[n % 2]) for n in range(400)]
    learnt, held = split(rows, most={"a": 90}, held=0.25, seed=0)
    assert not set(learnt) & set(held)
    assert Counter(row.source for row in learnt) == {"a": 90, "b": 150}
    assert Counter(row.source for row in held) == {"a": 30, "b": 50}
    assert split(rows, most={"a": 90}, held=0.25, seed=0) == (learnt, held)


def test_the_word_for_a_group_is_swapped_for_others_of_its_kind() -> None:
    rows = [Row("My Muslim friend and a catholic", CIVIL, "x"), Row("nobody", CIVIL, "x")]
    copies = swapped(rows, 2, seed=0)
    assert len(copies) == 2
    for copy in copies:
        (word,) = set(copy.text.split()) & set(GROUPS["religion"])
        assert copy.text == f"My {word} friend and a {word}"
        assert word != "muslim"


def test_sentences_differ_in_the_word_alone() -> None:
    made = list(frames())
    words = Counter(word for _, word, _ in made)
    assert set(words) == {word for group in GROUPS.values() for word in group}
    assert len(set(words.values())) == 1
    for group, words_of in GROUPS.items():
        sets = {
            frozenset(text.replace(word, "{}") for g, w, text in made if (g, w) == (group, word))
            for word in words_of
        }
        assert len(sets) == 1
    assert [word for _, word, _ in variants(["an old house"])] == list(GROUPS["age and body"])


def test_shares_by_source() -> None:
    held = [Row("a", TOXIC, "t: x"), Row("b", TOXIC, "t: y"), Row("c", CIVIL, "w")]
    found = by_source(held, [True, False, True])
    assert set(found) == {"all", "t", "t: x", "t: y", "w"}
    assert found["all"]["recall"]["value"] == found["all"]["precision"]["value"] == 0.5
    assert found["w"]["recall"]["rows"] == 0
    assert share([]) == {"value": None, "low": 0.0, "high": 1.0, "rows": 0}


def test_attacks_are_seen_or_unseen() -> None:
    attacks = [f"attack {n}" for n in range(50)]
    parts = halves(attacks)
    assert sorted(parts["seen"] + parts["unseen"]) == sorted(attacks)
    assert parts["seen"]
    assert parts["unseen"]
