"""Evaluations with answers, confidences and texts that a test chooses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.records.rows import Source

SETTINGS = EvaluateSettings(bootstrap_samples=400)


class Scripted:
    """Answers each example with what is written down for its line."""

    def __init__(self, answers: Mapping[int, Prediction], labels: Sequence[str] = ()) -> None:
        self._answers = answers
        if labels:
            self.labels = tuple(labels)

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self._answers[example.source.line] for example in examples]


def rows(
    labels: Sequence[str],
    inputs: Sequence[str] = (),
    *,
    file: str = "test.jsonl",
    groups: Sequence[str | None] = (),
) -> list[Example]:
    """Labelled examples, one a line, with different inputs where none are given."""
    return [
        Example(
            inputs[i] if inputs else f"text {i}", label, group=groups[i] if groups else None,
            source=Source(file, i + 1),
        )
        for i, label in enumerate(labels)
    ]  # fmt: skip


def judged(
    examples: Sequence[Example],
    answers: Sequence[str],
    *,
    confidences: Sequence[float] | None = None,
    scores: Sequence[Mapping[str, float]] | None = None,
    name: str = "this model",
    seed: int = 0,
) -> Evaluation:
    """One label a row."""
    labels = sorted({*answers, *(example.output or "" for example in examples)})
    predictions = {
        example.source.line: Prediction(
            answers[i], 0.9 if confidences is None else float(confidences[i]),
            scores={} if scores is None else scores[i], labels=(answers[i],), model="abc",
        )
        for i, example in enumerate(examples)
    }  # fmt: skip
    return evaluate(
        Scripted(predictions, labels), examples, task="classify", labels=labels, settings=SETTINGS,
        seed=seed, name=name,
    )  # fmt: skip


def yes_no(right: Sequence[bool], inputs: Sequence[str] = ()) -> tuple[Evaluation, list[Example]]:
    """Questions whose answer is yes or no in turn, some of them answered right."""
    gold = ["yes" if i % 2 else "no" for i in range(len(right))]
    other = {"yes": "no", "no": "yes"}
    examples = rows(gold, inputs)
    answers = [g if hit else other[g] for g, hit in zip(gold, right, strict=True)]
    return judged(examples, answers), examples
