"""A model that does not fit the data gets a clear line, before any work."""

from __future__ import annotations

import pytest
from evaluate_fakes import SETTINGS, Says, Surprised, label, labelled

from tinyforge.errors import DataError
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source


def test_written_answers_for_a_model_that_gives_labels() -> None:
    rows = labelled([f"this is a long answer of many words number {i}" for i in range(5)])
    model = Says([])
    with pytest.raises(DataError, match=r"written answers, and this model gives labels.*no, yes"):
        evaluate(model, rows, task="classify", labels=("yes", "no"), settings=SETTINGS)
    assert model.chunks == []


def test_several_labels_for_a_model_that_gives_one() -> None:
    rows = [Example("t", "a, b", labels=("a", "b"), source=Source("f", 1))]
    with pytest.raises(DataError, match=r"f:1.*several labels.*gives one.*a, b"):
        evaluate(Says([]), rows, task="classify", labels=("a", "b"), settings=SETTINGS)


def test_raw_text_for_a_model_that_answers_inputs() -> None:
    rows = [Example(output="some text", source=Source("f", 1))]
    with pytest.raises(DataError, match=r"raw text without an input.*data\.input"):
        evaluate(Surprised(1.0), rows, task="text2text", settings=SETTINGS)


def test_empty_texts() -> None:
    rows = [Example("q", "", source=Source("f", 1))]
    with pytest.raises(DataError, match="hold no text"):
        evaluate(Surprised(1.0), rows, task="language-model", settings=SETTINGS)


def test_known_labels_later_in_the_file_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinyforge.evaluate.run._CHUNK", {"classify": 2})
    rows = labelled(["new", "new", "yes"])
    result = evaluate(
        Says([label("yes")] * 3), rows, task="classify", labels=("yes", "no"), settings=SETTINGS
    )
    assert result.scores["accuracy"].value == pytest.approx(1 / 3)
    sets = [
        Example("t", labels=labels, source=Source("f", i))
        for i, labels in enumerate([("new",), ("new",), ("yes", "new")])
    ]
    evaluate(
        Says([label("yes")] * 3), sets, task="classify", multi_label=True, labels=("yes", "no"),
        settings=SETTINGS,
    )  # fmt: skip
    with pytest.raises(DataError, match="none of the labels"):
        evaluate(
            Says([]), sets[:2], task="classify", multi_label=True, labels=("yes", "no"),
            settings=SETTINGS,
        )  # fmt: skip
