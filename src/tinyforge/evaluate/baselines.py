"""Simple answers to compare with: what does a model add that counting and copying cannot?

All of them see the training rows only, and are judged on the same test rows as the model.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.byte_model import ByteNgram
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.naive_bayes import CharacterNaiveBayes
from tinyforge.evaluate.prompted_baselines import TITLES as PROMPTED
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.text_features import (
    LogisticRegressionOnWords,
    NearestExample,
    answer_of,
    commonest,
)
from tinyforge.inference.base import Predictor
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.text.features import SimilarExamples, TextFeatures, question

log = logging.getLogger("tinyforge")

MOST_ROWS = 100_000
MOST_CHARACTERS = 30_000_000
"""Training rows and characters that a baseline learns from; more are sampled, with a note."""

TITLES = {
    "majority": "the most frequent answer",
    "tfidf_logistic_regression": LogisticRegressionOnWords.title,
    "naive_bayes": CharacterNaiveBayes.title,
    "nearest_example": NearestExample.title,
    "copy_input": "copy of the input",
    "byte_ngram": ByteNgram.title,
    "token_unigram": "every token as often as in the corpus",
    "untuned_model": "the model before training",
    **PROMPTED,
}
"""Every baseline's name and what people call it."""


LEARNERS: dict[str, type[LogisticRegressionOnWords | CharacterNaiveBayes]] = {
    "tfidf_logistic_regression": LogisticRegressionOnWords,
    "naive_bayes": CharacterNaiveBayes,
}
"""What learns to classify."""


class Baseline(Predictor, Protocol):
    """A predictor that is made in no time.

    Attributes:
        fit_seconds: what it took to make.
        note: what a reader should know, or nothing.
        parameters: numbers that it learnt; None where it keeps rows.
        size_bytes: its size in memory.
    """

    note: str

    @property
    def fit_seconds(self) -> float: ...

    @property
    def parameters(self) -> int | None: ...

    @property
    def size_bytes(self) -> int: ...


class Majority:
    """Always the same answer: the one that most training rows have."""

    note = ""
    parameters = 0
    size_bytes = 0

    def __init__(self, answer: Prediction) -> None:
        self._answer = answer
        self.fit_seconds = 0.0

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [self._answer] * len(examples)


class CopyInput:
    """The input as the answer."""

    note = ""
    parameters = 0
    size_bytes = 0
    fit_seconds = 0.0

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return [Prediction(example.input, finish_reason="stop") for example in examples]


def baselines(
    task: str,
    train: Sequence[Example],
    *,
    multi_label: bool = False,
    seed: int = 0,
    untuned: Predictor | None = None,
) -> dict[str, Predictor]:
    """The baselines of a task, made from training examples.

    Args:
        train: anything with a length and indices, for example rows on disk; read a few times.
        seed: of the sample of rows where there are too many.
        untuned: the model as it was before training.

    Returns:
        name -> predictor, names as in ``TITLES``; for preferences ``untuned_model`` alone, since
        nothing simple tells how likely an answer is. Without training rows only ``copy_input`` and
        ``untuned_model`` are left.
    """
    found: dict[str, Predictor] = {}
    if task == "language-model":
        if len(train):
            found["byte_ngram"] = ByteNgram(train[i].output or "" for i in range(len(train)))
    elif task != "preference":
        if len(train):
            found |= _from_rows(task, train, multi_label, seed)
        if task != "classify":
            found["copy_input"] = CopyInput()
    if untuned is not None:
        found["untuned_model"] = untuned
    return found


def score_baselines(
    found: Mapping[str, Predictor],
    examples: Sequence[Example],
    *,
    task: str,
    multi_label: bool = False,
    labels: Sequence[str] = (),
    settings: EvaluateSettings,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Evaluation]:
    """Every baseline on the same rows as the model: the other arguments must be the model's.

    Args:
        progress: called with each baseline's title before it starts.
    """
    scored = {}
    for name, predictor in found.items():
        title = TITLES.get(name, name)
        if progress is not None:
            progress(title)
        scored[name] = evaluate(
            predictor, examples, task=task, multi_label=multi_label, labels=labels,
            settings=settings, seed=seed, name=title,
        )  # fmt: skip
        note = getattr(predictor, "note", "")
        if note:
            scored[name].notes.append(note)
    return scored


def _from_rows(
    task: str, train: Sequence[Example], multi_label: bool, seed: int
) -> dict[str, Predictor]:
    rows, note = _sample(train, seed)
    examples = (train[int(row)] for row in rows)
    texts: list[str] = []
    answers: list[Prediction] = []
    kept: list[int] = []
    for row, example in zip(rows, examples, strict=True):
        if example.output is None and example.labels is None:
            continue
        texts.append(question(example))
        answers.append(answer_of(example))
        kept.append(int(row))
    if not kept:
        return {}
    majority = commonest(answers)
    features = TextFeatures(texts)
    found: dict[str, Baseline] = {"majority": Majority(majority)}
    if task == "classify":
        labels = [answer.labels for answer in answers]
        for name, kind in LEARNERS.items():
            found[name] = kind(features, labels, multi_label=multi_label, seed=seed)
    features.forget_counts()
    similar = SimilarExamples(train, np.array(kept), features)
    found["nearest_example"] = NearestExample(similar, majority)
    for baseline in found.values():
        baseline.note = "; ".join(filter(None, (baseline.note, note)))
    return dict(found)


def _sample(train: Sequence[Example], seed: int) -> tuple[NDArray[np.int64], str]:
    """Rows that baselines learn from, sorted, and a note where they are not all."""
    generator = np.random.default_rng(seed)
    probe = generator.choice(len(train), min(len(train), 500), replace=False)
    mean = float(np.mean([len(question(train[int(row)])) for row in probe]))
    limit = min(MOST_ROWS, max(1_000, int(MOST_CHARACTERS / max(mean, 1))))
    if len(train) <= limit:
        return np.arange(len(train)), ""
    note = f"learnt from a random {limit:,} of {len(train):,} training rows"
    log.info(f"baselines: {note}")
    return np.sort(generator.choice(len(train), limit, replace=False)), note
