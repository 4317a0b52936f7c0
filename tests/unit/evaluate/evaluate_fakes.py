"""Predictors that answer what a test tells them to, and examples to ask them."""

from __future__ import annotations

from collections.abc import Sequence

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.rows import Source

SETTINGS = EvaluateSettings(bootstrap_samples=400)


class Says:
    """Answers the n-th example it is asked with the n-th answer."""

    def __init__(self, answers: Sequence[Prediction]) -> None:
        self._answers = list(answers)
        self.chunks: list[int] = []

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        start = sum(self.chunks)
        self.chunks.append(len(examples))
        return self._answers[start : start + len(examples)]


class Surprised:
    """A writer that gives each byte of the expected text the same probability."""

    def __init__(self, bits_per_byte: float, answer: str = "") -> None:
        self._bits = bits_per_byte
        self._answer = answer

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [Prediction(self._answer, finish_reason="stop") for _ in examples]

    def log_likelihoods(self, examples: Sequence[Example]) -> list[Likelihood]:
        sizes = [len((example.output or "").encode()) for example in examples]
        return [Likelihood(self._bits * 0.6931471805599453 * n, n // 2 + 1, n) for n in sizes]


def labelled(labels: Sequence[str], **fields: str) -> list[Example]:
    return [
        Example(f"text {i}", label, source=Source("test.jsonl", i + 1), **fields)
        for i, label in enumerate(labels)
    ]


def label(name: str, confidence: float | None = 0.9) -> Prediction:
    return Prediction(name, confidence, labels=(name,), model="abc123")


def judged(
    gold: Sequence[str], answers: Sequence[str], seed: int = 0, name: str = "this model"
) -> Evaluation:
    """One label a row."""
    return evaluate(
        Says([label(answer) for answer in answers]),
        labelled(gold),
        task="classify",
        labels=sorted({*gold, "yes", "no"}),
        settings=SETTINGS,
        seed=seed,
        name=name,
    )
