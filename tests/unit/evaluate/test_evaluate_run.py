"""Evaluation of predictors on examples."""

from __future__ import annotations

from dataclasses import replace

import pytest
from evaluate_fakes import SETTINGS, Says, Surprised, judged, label, labelled

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.evaluate.run import evaluate
from tinyforge.metrics.classification import OTHER
from tinyforge.records.examples import Example, Message
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source


def test_classification_is_scored_with_intervals() -> None:
    gold = ["yes", "no"] * 50
    result = judged(gold, ["yes"] * 60 + ["no"] * 40)
    score = result.scores["accuracy"]
    assert score.value == pytest.approx(0.5)
    assert score.low == pytest.approx(0.4, abs=0.03)
    assert score.high == pytest.approx(0.6, abs=0.03)
    assert score.rows == 100
    assert next(iter(result.scores)) == result.primary.name == "accuracy"
    assert result.headline == score
    assert result.model == "abc123"
    assert result.scores["ece"].value == pytest.approx(0.4)
    assert not result.scores["ece"].higher_is_better
    assert [row.label for row in result.label_table] == ["no", "yes"]
    assert result.confusion is not None
    assert result.confusion.pairs(1) == [("no", "yes", 30)]


def test_the_surest_mistakes_come_first_and_name_their_rows() -> None:
    answers = [label("yes", 0.6), label("yes", 0.99), label("no", 0.7), label("no", None)]
    result = evaluate(
        Says(answers), labelled(["no"] * 2 + ["yes"] * 2), task="classify", labels=("yes", "no"),
        settings=SETTINGS, seed=0,
    )  # fmt: skip
    assert [m.source for m in result.mistakes] == [f"test.jsonl:{i}" for i in (2, 3, 1, 4)]
    assert (result.mistakes[0].expected, result.mistakes[0].answered) == ("no", "yes")
    assert "ece" not in result.scores


def test_perfect_on_few_rows_is_not_certain() -> None:
    score = judged(["yes", "no"] * 5, ["yes", "no"] * 5).scores["accuracy"]
    assert (score.value, score.high) == (1, 1)
    assert score.low == pytest.approx(0.69, abs=0.01)


def test_rows_are_asked_in_chunks_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.evaluate.run._CHUNK", {"classify": 3})
    says = Says([label("yes")] * 7 + [label("no")])
    seen: list[tuple[int, int]] = []
    result = evaluate(
        says, labelled(["yes"] * 7 + ["no"]), task="classify", settings=SETTINGS, seed=0,
        progress=lambda done, rows: seen.append((done, rows)),
    )  # fmt: skip
    assert says.chunks == [3, 3, 2]
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert result.scores["accuracy"].value == 1
    assert len(result.predictions) == 8


def test_labels_nobody_trained_on() -> None:
    examples = labelled(["yes", "maybe", "no"])
    result = evaluate(
        Says([label("yes"), label("no"), label("no")]), examples, task="classify",
        labels=("yes", "no"), settings=SETTINGS, seed=0,
    )  # fmt: skip
    assert result.scores["accuracy"].value == pytest.approx(2 / 3)
    assert result.notes == ["1 rows carry labels that training never saw: maybe"]
    with pytest.raises(DataError, match=r"none of the labels.*'maybe'.*knows: no, yes"):
        evaluate(
            Says([label("yes")]), examples[1:2], task="classify", labels=("yes", "no"),
            settings=SETTINGS, seed=0,
        )  # fmt: skip


def test_a_writer_may_be_judged_as_a_classifier() -> None:
    answers = [Prediction(" yes\n", finish_reason="stop"), Prediction("I am not sure")]
    result = evaluate(
        Says(answers), labelled(["yes", "no"]), task="classify", labels=("yes", "no"),
        settings=SETTINGS, seed=0,
    )  # fmt: skip
    assert result.scores["accuracy"].value == 0.5
    assert result.confusion is not None
    assert result.confusion.labels[-1] == OTHER


def test_several_labels() -> None:
    examples = [
        Example(f"t{i}", labels=labels, source=Source("f", i + 1))
        for i, labels in enumerate([("a", "b"), ("b",), (), ("c",)])
    ]
    answers = [
        Prediction("a, b", labels=("b", "a")),
        Prediction("b, c", labels=("b", "c")),
        Prediction("", labels=()),
        Prediction("a", labels=("a",)),
    ]
    result = evaluate(
        Says(answers), examples, task="classify", multi_label=True, settings=SETTINGS, seed=0
    )
    assert result.primary.name == "micro_f1"
    assert result.scores["subset_accuracy"].value == 0.5
    assert result.scores["micro_f1"].value == pytest.approx(2 * 3 / (5 + 4))
    assert [(m.source, round(m.score, 2)) for m in result.mistakes] == [("f:4", 0), ("f:2", 0.67)]
    assert result.confusion is None
    assert result.scores["jaccard"].value == pytest.approx((1 + 0.5 + 1 + 0) / 4)
    assert result.scores["hamming_loss"].value == pytest.approx(3 / 12)
    assert result.quality.tolist() == pytest.approx([1, 2 / 3, 1, 0])
    assert result.probabilities is None


def test_written_answers() -> None:
    examples = labelled(["the answer is forty two of course", "no idea at all about this"] * 6)
    right = Prediction("the answer is forty two of course", 0.8, finish_reason="stop")
    result = evaluate(
        Says([right, Prediction("")] * 6), examples, task="text2text", settings=SETTINGS, seed=0
    )
    assert result.scores["exact_match"].value == 0.5
    assert set(result.signatures) == {"bleu", "chrf", "ter"}
    assert "perplexity" not in result.scores
    assert result.notes == ["6 of 12 answers are empty"]
    assert {m.source for m in result.mistakes} == {f"test.jsonl:{i}" for i in range(2, 13, 2)}


def test_likelihoods_add_perplexity_to_written_answers() -> None:
    result = evaluate(
        Surprised(1.5, "x"), labelled(["some text here now"]), task="instruct", settings=SETTINGS,
        seed=0,
    )  # fmt: skip
    assert result.scores["bits_per_byte"].value == pytest.approx(1.5)
    assert result.scores["perplexity"].value == pytest.approx(2 ** (1.5 * 18 / 10))


def test_raw_text_needs_likelihoods() -> None:
    examples = [Example(output=f"text {i}", source=Source("f", i)) for i in range(12)]
    result = evaluate(Surprised(2.0), examples, task="language-model", settings=SETTINGS, seed=0)
    assert result.primary.name == "bits_per_byte"
    assert result.headline is not None
    assert result.headline.value == pytest.approx(2)
    assert result.predictions == []
    assert result.sample.groups == 12
    with pytest.raises(ModelError, match="how likely"):
        evaluate(Says([]), examples, task="language-model", settings=SETTINGS, seed=0)


def test_generating_tasks_are_judged_on_a_thousand_rows_by_default() -> None:
    examples = labelled([f"answer {i}" for i in range(1_200)])
    result = evaluate(
        Says([Prediction("answer")] * 1_200), examples, task="text2text", settings=SETTINGS, seed=0
    )
    assert result.sample.rows == 1_000
    assert result.notes[0] == "a random 1,000 of 1,200 rows were judged"
    few = replace_rows(5)
    result = evaluate(
        Says([label("answer 1")] * 5), examples, task="classify", settings=few, seed=0
    )
    assert result.sample.rows == 5


def replace_rows(rows: int) -> EvaluateSettings:
    return SETTINGS.model_copy(update={"max_rows": rows})


def test_rows_that_depend_on_each_other_are_one_group() -> None:
    gold = ["yes", "no"] * 20
    answers = [label(x) for x in ["yes", "yes"] * 20]
    twins = [replace(example, input="same") for example in labelled(gold)]
    result = evaluate(Says(answers), twins, task="classify", settings=SETTINGS, seed=0)
    assert (result.sample.rows, result.sample.groups) == (40, 1)
    assert result.scores["accuracy"].low == result.scores["accuracy"].high == 0.5
    grouped = labelled(gold, group="one")
    assert evaluate(
        Says(answers), grouped, task="classify", settings=SETTINGS, seed=0
    ).sample.groups == 1  # fmt: skip
    chats = [
        Example("hi", str(i), messages=(Message("user", "hi"), Message("assistant", str(i))))
        for i in range(3)
    ]
    said = Says([Prediction("1")] * 3)
    assert evaluate(said, chats, task="instruct", settings=SETTINGS, seed=0).sample.groups == 1


def test_nothing_to_judge_on() -> None:
    with pytest.raises(DataError, match="no rows to judge on"):
        evaluate(Says([]), [], task="classify", settings=SETTINGS, seed=0)
    with pytest.raises(DataError, match=r"no row has an answer.*data.output"):
        evaluate(Says([]), [Example("a")], task="classify", settings=SETTINGS, seed=0)
    some = [Example("a"), *labelled(["yes"])]
    result = evaluate(Says([label("yes")]), some, task="classify", settings=SETTINGS, seed=0)
    assert result.notes[-1] == "1 rows have no answer to compare with"
