"""Multiple choice and minimal pairs by likelihood."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from evaluate_fakes import SETTINGS, Says

from tinyforge.config.data import DataSettings
from tinyforge.errors import DataError, ModelError
from tinyforge.evaluate.choices import (
    find_kind,
    kind_of,
    looks_like,
    read_choices,
    score_choices,
)
from tinyforge.inference.torch_model import TorchModel
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction

QUESTIONS = [
    {"question": "2 + 2?", "choices": ["3", "4", "five or so"], "answer": "B", "subject": "x"},
    {"question": "Sky?", "choices": ["blue", "green"], "answer": 0},
    {"question": "Grass?", "choices": ["blue", "green as can be"], "answer": "green as can be"},
]
PAIRS = [
    {"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep.", "UID": "x"},
    {"sentence_good": "Cats sleep.", "sentence_bad": "Cats sleeps.", "UID": "x"},
]


class Likes:
    """Gives each text the nats that a test says, by its last words."""

    def __init__(self, costs: dict[str, float]) -> None:
        self._costs = costs
        self.asked: list[Example] = []

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [Prediction("") for _ in examples]

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        self.asked += examples
        texts = [(e.output or "").strip() for e in examples]
        return [Likelihood(self._costs[text], 1, len(text)) for text in texts]


def read(rows: list[dict[str, Any]], folder: Path) -> Sequence[Example]:
    return read_choices(rows, DataSettings(), folder / "choices.bin")


def test_columns_are_recognised() -> None:
    assert kind_of(QUESTIONS[0]) == "multiple-choice"
    assert kind_of(PAIRS[0]) == "minimal-pairs"
    assert looks_like(["Question", "Options", "Answer"])
    assert not looks_like(["question", "answer"])
    assert not looks_like(["text", "label"])
    assert find_kind(QUESTIONS, DataSettings()) == "multiple-choice"
    assert find_kind([{"text": "a", "label": "b"}], DataSettings()) is None


def test_questions_are_read(tmp_path: Path) -> None:
    found = read(QUESTIONS, tmp_path)
    assert [e.output for e in found] == ["4", "blue", "green as can be"]
    assert found[0].references == ("3", "4", "five or so")
    arc = {
        "question": "Q", "choices": {"text": ["a", "b"], "label": ["1", "2"]}, "answerKey": "2",
    }  # fmt: skip
    assert read([arc], tmp_path)[0].output == "b"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "Q", "choices": ["a", "b"], "answer": "Z"}, "none of the choices"),
        ({"question": "Q", "choices": ["a", "b"], "answer": 2}, "none of the choices"),
        ({"question": "Q", "choices": ["a"], "answer": 0}, "fewer than two choices"),
        ({"question": "", "choices": ["a", "b"], "answer": 0}, "empty question"),
        ({"question": "Q", "choices": ["a", ""], "answer": 0}, "empty choice"),
    ],
)
def test_rows_that_cannot_be_used(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=reason):
        read([row], tmp_path)
    assert len(read([row, QUESTIONS[0]], tmp_path)) == 1


def test_sums_and_lengths(tmp_path: Path) -> None:
    """The long right choice costs more in all, and less by byte."""
    costs = {"3": 5.0, "4": 2.0, "five or so": 4.0, "blue": 1.0, "green": 3.0}
    model = Likes(costs | {"green as can be": 2.0})
    result = score_choices(model, read(QUESTIONS, tmp_path), settings=SETTINGS)
    assert result.task == "multiple-choice"
    assert result.primary.name == "choice_accuracy"
    assert result.scores["choice_accuracy"].value == pytest.approx(2 / 3)
    assert result.scores["choice_accuracy_norm"].value == pytest.approx(2 / 3)
    assert result.quality.tolist() == [1, 1, 0]
    assert result.predictions[2].output == "blue"
    assert result.confidences is not None
    assert result.confidences[1] == pytest.approx(1 / (1 + math.exp(-2)))
    assert [(m.expected, m.answered) for m in result.mistakes] == [("green as can be", "blue")]
    assert "by chance 44.4% would be right" in result.notes
    assert model.asked[0].input == "Question: 2 + 2?\nAnswer:"
    assert model.asked[0].output == " 3"


def test_solved_questions_come_first(tmp_path: Path) -> None:
    costs = dict.fromkeys(["3", "4", "five or so", "blue", "green", "green as can be"], 1.0)
    model = Likes(costs)
    rows = list(read(QUESTIONS, tmp_path))
    result = score_choices(model, rows[:1], shots=rows[1:], settings=SETTINGS)
    assert model.asked[0].input == (
        "Question: Sky?\nAnswer: blue\n\nQuestion: Grass?\nAnswer: green as can be\n\n"
        "Question: 2 + 2?\nAnswer:"
    )
    assert "each question comes after 2 solved ones" in result.notes


def test_minimal_pairs(tmp_path: Path) -> None:
    costs = {"The cat sleeps.": 3.0, "The cat sleep.": 4.0, "Cats sleep.": 5.0, "Cats sleeps.": 5.0}
    result = score_choices(Likes(costs), read(PAIRS, tmp_path), settings=SETTINGS)
    assert result.task == "minimal-pairs"
    assert result.scores["pair_accuracy"].value == 0.5  # as likely is not likelier
    assert result.mistakes[0].expected == "Cats sleep."


def test_some_rows_of_many(tmp_path: Path) -> None:
    rows = [QUESTIONS[1] | {"question": f"Sky {i}?"} for i in range(150)]
    settings = SETTINGS.model_copy(update={"max_rows": 100})
    seen: list[tuple[int, int]] = []
    result = score_choices(
        Likes({"blue": 1.0, "green": 2.0}), read(rows, tmp_path), settings=settings,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    assert result.sample.rows == 100
    assert "a random 100 of 150 rows were judged" in result.notes
    assert seen[-1] == (100, 100)
    assert result.scores["choice_accuracy"].low > 0.9


def test_a_model_without_likelihoods(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="how likely"):
        score_choices(Says([]), read(QUESTIONS, tmp_path), settings=SETTINGS)
    with pytest.raises(DataError, match="no rows"):
        score_choices(Likes({}), [], settings=SETTINGS)


def plain_score(model: TorchModel, context: str, text: str) -> float:
    """Log-likelihood of the tokens of ``text`` behind ``context``, in one pass."""
    import torch

    ids = model.tokenizer(context + text)["input_ids"]
    start = len(model.tokenizer(context)["input_ids"])
    with torch.no_grad():
        logs = model.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return float(sum(logs[i - 1, ids[i]] for i in range(start, len(ids))))


def test_a_real_model_reads_question_and_choice_as_one_text(
    shared_folder: Path, tmp_path: Path
) -> None:
    model = TorchModel.load(shared_folder / "models/stories260K")
    result = score_choices(model, read(QUESTIONS, tmp_path), settings=SETTINGS)
    expected = []
    for row, answer in zip(QUESTIONS, ["4", "blue", "green as can be"], strict=True):
        context = f"Question: {row['question']}\nAnswer:"
        scores = {c: plain_score(model, context, f" {c}") for c in row["choices"]}
        expected.append(float(max(scores, key=lambda c: scores[c]) == answer))
    assert result.quality.tolist() == expected
    assert result.model == model.hash


def test_blimp_beats_chance_with_a_real_model(shared_folder: Path, tmp_path: Path) -> None:
    file = shared_folder / "data/eval/blimp/wh_questions_subject_gap_long_distance.jsonl.gz"
    model = TorchModel.load(shared_folder / "models/stories260K")
    settings = SETTINGS.model_copy(update={"max_rows": 100})
    rows = read_choices(file, DataSettings(), tmp_path / "pairs.bin")
    score = score_choices(model, rows, settings=settings).scores["pair_accuracy"]
    assert score.low > 0.5
