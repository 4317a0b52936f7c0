"""Several references, numbers, simplification, and metrics on request."""

from __future__ import annotations

import pytest
from evaluate_fakes import SETTINGS, Says

from tinyforge.evaluate.joined import JoinedReferences
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example, Message
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source


def rows(*pairs: tuple[str, str]) -> list[Example]:
    return [Example(a, b, source=Source("f", i)) for i, (a, b) in enumerate(pairs, start=1)]


def says(*answers: str) -> Says:
    return Says([Prediction(answer, finish_reason="stop") for answer in answers])


ROWS = rows(("one", "uno"), ("two", "dos"), ("one", "un"), ("three", "tres"), ("one", "uno"))


def test_rows_with_one_input_are_joined() -> None:
    joined = JoinedReferences(ROWS)
    assert len(joined) == 3
    assert [e.input for e in joined] == ["one", "two", "three"]
    assert joined[0].references == ("uno", "un")
    assert joined[0].output == "uno"
    assert joined[1].references == ()
    assert [joined.row(i) for i in range(3)] == [0, 1, 3]


def test_chats_are_joined_by_what_comes_before_the_answer() -> None:
    def chat(question: str, answer: str) -> Example:
        turns = (Message("user", question), Message("assistant", answer))
        return Example(question, answer, messages=turns)

    joined = JoinedReferences([chat("hi", "hello"), chat("hi", "hey"), chat("bye", "hey")])
    assert [e.references for e in joined] == [("hello", "hey"), ()]


def test_joined_rows_are_judged_once_by_the_best_reference() -> None:
    settings = SETTINGS.model_copy(update={"join_references": True})
    result = evaluate(says("un", "dos", "x"), ROWS, task="text2text", settings=settings)
    assert result.sample.rows == 3
    assert result.scores["exact_match"].value == pytest.approx(2 / 3)
    assert result.rows.tolist() == [0, 1, 3]
    assert "5 rows were joined to 3 with several references each" in result.notes
    assert "1 rows have several references; the best one counts" in result.notes
    alone = evaluate(says(*"abcde"), ROWS, task="text2text", settings=SETTINGS)
    assert alone.sample.rows == 5


def test_references_of_a_row() -> None:
    example = Example("q", "first", references=("first", "second"), source=Source("f", 1))
    result = evaluate(says("second"), [example], task="text2text", settings=SETTINGS)
    assert result.scores["exact_match"].value == 1
    assert "nrefs:2" in result.signatures["bleu"]


def test_numbers_are_the_headline_where_answers_end_in_one() -> None:
    examples = rows(*[(f"question {i}", f"because\n#### {i}") for i in range(20)])
    answers = [f"the answer is {i if i % 2 else -1}" for i in range(20)]
    result = evaluate(says(*answers), examples, task="text2text", settings=SETTINGS)
    assert result.primary.name == "numeric_match"
    assert result.headline is not None
    assert result.headline.value == 0.5


def test_simplification_is_recognised_or_asked_for() -> None:
    inputs = [f"The committee number {i} reached the decision to postpone it." for i in range(5)]
    simple = [f"The committee number {i} decided to postpone it." for i in range(5)]
    pairs = rows(*zip(inputs, simple, strict=True))
    assert "sari" in evaluate(says(*simple), pairs, task="text2text", settings=SETTINGS).scores
    few = rows(("one", "uno"), ("two", "dos"))
    assert "sari" not in evaluate(says("a", "b"), few, task="text2text", settings=SETTINGS).scores
    asked = SETTINGS.model_copy(update={"metrics": ("sari",)})
    assert "sari" in evaluate(says("a", "b"), few, task="text2text", settings=asked).scores


def test_ter_of_long_texts_only_where_it_is_asked_for() -> None:
    long = rows(("summarise", "many words " * 60))
    assert "ter" not in evaluate(says("few"), long, task="text2text", settings=SETTINGS).scores
    asked = SETTINGS.model_copy(update={"metrics": ("ter",)})
    assert "ter" in evaluate(says("few"), long, task="text2text", settings=asked).scores
