"""Preference pairs are judged by which answer is the likelier one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.errors import ModelError
from tinyforge.evaluate.baselines import baselines
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import judge
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.rows import Source


class Likes:
    """Finds each answer as likely as a table says; asked to write, it fails."""

    hash = "abc"

    def __init__(self, surprise: dict[str, float]) -> None:
        self.surprise = surprise

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        raise AssertionError("nothing is to be written")

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        texts = [example.output or "" for example in examples]
        return [Likelihood(self.surprise[text[:4]], 3, len(text), len(text)) for text in texts]


def pairs(count: int) -> list[Example]:
    """The chosen answer is twice as long as the rejected one, but for every fifth pair."""
    return [
        Example(
            f"question {n}", "good" + "!" * (16 if n % 5 else 2), rejected="evil!!!!",
            source=Source("f", n),
        )
        for n in range(count)
    ]  # fmt: skip


def test_the_likelier_answer_counts_summed_and_by_length() -> None:
    found = evaluate(
        Likes({"good": 5.0, "evil": 4.0}), pairs(50), task="preference",
        settings=EvaluateSettings(),
    )  # fmt: skip
    assert found.primary.name == "preference_accuracy"
    assert found.scores["preference_accuracy"].value == 0.0
    assert found.scores["preference_accuracy_norm"].value == pytest.approx(0.8)
    assert "the chosen answer is the shorter one in 20.0% of the pairs" in found.notes
    assert found.predictions[0].output == "evil!!!!"
    assert found.predictions[0].confidence == pytest.approx(1 / (1 + np.exp(-1)))
    assert found.mistakes[0].expected.startswith("good")


def test_better_than_before_is_better() -> None:
    how = {"task": "preference", "settings": EvaluateSettings()}
    ours = evaluate(Likes({"good": 3.0, "evil": 4.0}), pairs(60), **how)  # type: ignore[arg-type]
    before = evaluate(Likes({"good": 5.0, "evil": 4.0}), pairs(60), **how)  # type: ignore[arg-type]
    assert judge(ours, {"untuned_model": before}).word == "better"
    assert judge(before, {"untuned_model": ours}).word == "not better"
    assert judge(ours, {"untuned_model": ours}).word != "better"


def test_equal_likelihoods_are_not_a_preference() -> None:
    found = evaluate(
        Likes({"good": 4.0, "evil": 4.0}), pairs(10), task="preference",
        settings=EvaluateSettings(),
    )  # fmt: skip
    assert found.scores["preference_accuracy"].value == 0.0


def test_only_the_model_before_training_stands_beside_it() -> None:
    before = Likes({})
    assert baselines("preference", pairs(10), untuned=before) == {"untuned_model": before}


def test_what_gives_no_likelihoods_cannot_be_judged() -> None:
    class Writes:
        def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
            return [Prediction("x") for _ in examples]

    with pytest.raises(ModelError, match="how likely"):
        evaluate(Writes(), pairs(3), task="preference", settings=EvaluateSettings())
