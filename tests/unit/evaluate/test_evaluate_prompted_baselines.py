"""Prompted baselines: on a part of the rows, paired with the model, and never for long."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from evaluate_fakes import SETTINGS, Says, label, labelled

from tinyforge.data.some_rows import Rows
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.prompted_baselines import (
    FIRST_ROWS,
    Timed,
    TooSlow,
    score_prompted,
    some_rows,
)
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import compare
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source

GOLD = ["yes" if i % 3 else "no" for i in range(300)]
EXAMPLES = labelled(GOLD)


class Always:
    """Says yes; each row takes a second of a clock of its own."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.now, self._seconds = 0.0, seconds
        self.asked: list[Example] = []
        self.parts: list[int] = []

    def clock(self) -> float:
        return self.now

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        self.asked += examples
        self.parts.append(len(examples))
        self.now += self._seconds * len(examples)
        return [label("yes") for _ in examples]


def ours(wrong: int = 0) -> Evaluation:
    answers = ["maybe" if i < wrong else gold for i, gold in enumerate(GOLD)]
    return evaluate(
        Says([label(answer) for answer in answers]), EXAMPLES, task="classify",
        labels=("maybe", "no", "yes"), settings=SETTINGS,
    )  # fmt: skip


def test_a_random_part_of_the_rows_paired_with_the_model() -> None:
    model, other = ours(wrong=30), Always()
    settings = SETTINGS.model_copy(update={"prompt_rows": 120})
    scored = score_prompted({"zero_shot": other}, EXAMPLES, model, settings=settings, seed=3)
    assert set(scored) == {"zero_shot"}
    theirs = scored["zero_shot"]
    rows = some_rows(model.rows, 120, 3)
    assert [e.source.line - 1 for e in other.asked] == rows.tolist()
    assert theirs.sample.rows == 120
    assert theirs.name == "the model before training, asked"
    assert any("a random 120 of the 300 rows" in note for note in theirs.notes)
    pair = compare(model, theirs, "zero_shot")
    assert pair.rows == 120
    assert pair.ours == pytest.approx(np.mean(rows >= 30))
    assert pair.theirs == pytest.approx(np.mean([GOLD[i] == "yes" for i in rows]))
    assert not model.notes


def test_all_rows_where_they_are_few() -> None:
    model = ours()
    theirs = score_prompted({"few_shot": Always()}, EXAMPLES, model, settings=SETTINGS)["few_shot"]
    assert theirs.sample.rows == 300
    assert not theirs.notes
    assert compare(model, theirs, "few_shot").rows == 300


def test_only_rows_that_the_model_was_judged_on() -> None:
    settings = SETTINGS.model_copy(update={"max_rows": 50, "prompt_rows": 20})
    model = evaluate(Always(), EXAMPLES, task="classify", settings=settings, labels=("no", "yes"))
    theirs = score_prompted({"zero_shot": Always()}, EXAMPLES, model, settings=settings)
    assert set(theirs["zero_shot"].rows) <= set(range(20))
    assert compare(model, theirs["zero_shot"], "zero_shot").rows == 20


def test_too_slow_is_left_out_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model, slow = ours(), Always(seconds=1.0)
    monkeypatch.setattr(
        "tinyforge.evaluate.prompted_baselines.Timed",
        lambda predictor, rows, limit: Timed(predictor, rows, limit, clock=slow.clock),
    )
    settings = SETTINGS.model_copy(update={"prompt_rows": 200, "prompt_seconds": 60.0})
    assert score_prompted({"few_shot": slow}, EXAMPLES, model, settings=settings) == {}
    assert len(slow.asked) == FIRST_ROWS
    (note,) = model.notes
    assert "not judged: the model before training, shown similar rows" in note
    assert "200 rows would take about 200 s, and evaluate.prompt_seconds is 60" in note


def test_the_first_guess_has_to_be_twice_too_long() -> None:
    slow = Always(seconds=1.0)
    timed = Timed(slow, 100, 60.0, clock=slow.clock)
    with pytest.raises(TooSlow, match="about 100 s"):
        timed.predict_examples(EXAMPLES[:100])
    assert slow.parts == [8, 8]
    quick = Always(seconds=0.5)
    assert len(Timed(quick, 100, 60.0, clock=quick.clock).predict_examples(EXAMPLES[:100])) == 100
    assert quick.parts == [8, 8, 16, 32, 36]


def test_what_is_done_is_done() -> None:
    """After the last row nothing is too slow any more."""
    slow = Always(seconds=10.0)
    assert len(Timed(slow, 8, 60.0, clock=slow.clock).predict_examples(EXAMPLES[:8])) == 8


def test_picked_rows() -> None:
    picked = Rows(EXAMPLES, np.array([2, 5, 7]))
    assert [e.source.line for e in picked] == [3, 6, 8]
    assert [e.source.line for e in picked[1:]] == [6, 8]
    assert picked[-1].source.line == 8


class Echo:
    """Answers with the input."""

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [Prediction(example.input, finish_reason="stop") for example in examples]


def test_the_headline_is_the_whole_s() -> None:
    """On so few rows alone, closed answers would not be seen to be closed."""
    rows = [
        Example(f"a long question, number {i}", f"one of a few long answers {i % 60}",
                source=Source("test.jsonl", i + 1))
        for i in range(200)
    ]  # fmt: skip
    settings = SETTINGS.model_copy(update={"prompt_rows": 15})
    model = evaluate(Echo(), rows, task="text2text", settings=settings)
    theirs = score_prompted({"few_shot": Echo()}, rows, model, settings=settings)["few_shot"]
    assert theirs.primary.name == model.primary.name == "exact_match"
    assert compare(model, theirs, "few_shot").rows == 15


def test_written_answers_with_several_references() -> None:
    """The part has all references of its rows."""
    words = ["red", "green", "blue", "grey", "gold"]
    rows = [
        Example(f"{words[i // 2 % 5]} {i // 2}", f"{words[i % 5]} {i // 2} and more text, {i}",
                source=Source("test.jsonl", i + 1))
        for i in range(200)
    ]  # fmt: skip
    settings = SETTINGS.model_copy(update={"join_references": True, "prompt_rows": 30})
    model = evaluate(Echo(), rows, task="text2text", settings=settings)
    assert model.sample.rows == 100
    theirs = score_prompted({"few_shot": Echo()}, rows, model, settings=settings)["few_shot"]
    assert theirs.primary == model.primary
    pair = compare(model, theirs, "few_shot")
    assert (pair.rows, pair.difference) == (30, 0)
