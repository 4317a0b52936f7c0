"""The two classic baselines on TF-IDF features."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.text.features import SimilarExamples
from tinyforge.text.features import TextFeatures as TextFeatures
from tinyforge.text.features import question as question

_EXACT_SOLVER_COST = 100_000_000
"""Non-zero features times labels up to which the exact solver takes seconds; beyond, averaged
stochastic gradient descent on the same loss comes as near in a third of the time."""


class LogisticRegressionOnWords:
    """TF-IDF with logistic regression, the baseline to beat in text classification.

    One regression per label. For several labels a row, the probability from which a label is
    given is chosen on a tenth of the training rows, by micro F1: at 0.5, rare labels would never
    be given, which makes the baseline weaker than it is.

    Args:
        labels: of each training row; one, or several with ``multi_label``.
    """

    title = "TF-IDF + logistic regression"

    def __init__(
        self,
        features: TextFeatures,
        labels: Sequence[tuple[str, ...]],
        *,
        multi_label: bool,
        seed: int,
    ) -> None:
        started = time.monotonic()
        self._features = features
        self._multi_label = multi_label
        self.labels = tuple(sorted({label for row in labels for label in row}))
        wanted = wanted_labels(labels, self.labels)
        train, held = hold_out(len(labels), seed, wanted=multi_label)
        exact = features.matrix.nnz * len(self.labels) <= _EXACT_SOLVER_COST
        self._fits = [
            _fit(features.matrix[train], wanted[train, i], multi_label, exact, seed)
            for i in range(len(self.labels))
        ]
        self._threshold = 0.5
        if len(held):
            self._threshold = best_threshold(
                self._probabilities(features.matrix[held]), wanted[held]
            )
        self.fit_seconds = time.monotonic() - started + features.fit_seconds
        self.note = threshold_note(self._threshold) if len(held) else ""
        self.parameters = sum(1 if isinstance(f, float) else f.coef_.size + 1 for f in self._fits)
        self.size_bytes = 8 * self.parameters

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        matrix = self._features.of([question(example) for example in examples])
        probabilities = self._probabilities(matrix)
        if self._multi_label:
            return choose_sets(probabilities, self.labels, self._threshold)
        shares = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
        return choose_labels(shares, self.labels)

    def _probabilities(self, matrix: Any) -> NDArray[np.float64]:
        columns = [
            np.full(matrix.shape[0], fit) if isinstance(fit, float) else _positive(fit, matrix)
            for fit in self._fits
        ]
        return np.stack(columns, axis=1)


def _fit(matrix: Any, wanted: NDArray[np.bool_], multi_label: bool, exact: bool, seed: int) -> Any:
    """A fitted regression; the label's probability where it is on every row or on none."""
    from sklearn.linear_model import LogisticRegression, SGDClassifier

    if wanted.all() or not wanted.any():
        return float(wanted.any())
    strength = 1.0 if multi_label else 10.0
    if exact:
        model = LogisticRegression(
            solver="liblinear", C=strength, tol=0.01, max_iter=1_000, random_state=seed
        )
    else:
        model = SGDClassifier(
            loss="log_loss", alpha=1 / (strength * len(wanted)), average=True, max_iter=8, tol=None,
            random_state=seed,
        )  # fmt: skip
    return model.fit(matrix, wanted)


def _positive(model: Any, matrix: Any) -> NDArray[np.float64]:
    scores = np.clip(model.decision_function(matrix), -500, 500)
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-scores.astype(np.float64)))
    return probabilities


def wanted_labels(rows: Sequence[tuple[str, ...]], labels: Sequence[str]) -> NDArray[np.bool_]:
    """Which labels each row has: shape (rows, labels)."""
    wanted = np.zeros((len(rows), len(labels)), dtype=bool)
    place = {label: i for i, label in enumerate(labels)}
    for row, names in enumerate(rows):
        wanted[row, [place[name] for name in names]] = True
    return wanted


def hold_out(rows: int, seed: int, *, wanted: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to learn from, and a tenth to choose a threshold on where one is wanted.

    With fewer than 100 rows none are held out.
    """
    if not wanted or rows < 100:
        return np.arange(rows), np.arange(0)
    order = np.random.default_rng(seed).permutation(rows)
    return np.sort(order[rows // 10 :]), np.sort(order[: rows // 10])


def best_threshold(probabilities: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    """The probability from which giving a label makes micro F1 highest."""

    def micro_f1(threshold: float) -> float:
        given = probabilities >= threshold
        return float(2 * (given & wanted).sum() / max(given.sum() + wanted.sum(), 1))

    return float(max(np.arange(0.05, 0.96, 0.05), key=micro_f1))


def threshold_note(threshold: float) -> str:
    """What a reader should know of a chosen threshold."""
    return f"labels are given from probability {threshold:.2f}"


def choose_labels(shares: NDArray[np.float64], labels: Sequence[str]) -> list[Prediction]:
    """The likeliest label of each row; shares have shape (rows, labels) and sum to 1."""
    return [
        Prediction(labels[i], float(row[i]), labels=(labels[i],))
        for i, row in zip(shares.argmax(axis=1).tolist(), shares, strict=True)
    ]


def choose_sets(
    probabilities: NDArray[np.float64], labels: Sequence[str], threshold: float
) -> list[Prediction]:
    """Every label whose probability reaches the threshold."""
    found = []
    for row in probabilities:
        chosen = tuple(labels[i] for i in np.flatnonzero(row >= threshold).tolist())
        sure = float(np.maximum(row, 1 - row).min())
        found.append(Prediction(", ".join(chosen), sure, labels=chosen))
    return found


class NearestExample:
    """The answer of the training example with the most similar input (cosine of TF-IDF).

    Args:
        similar: the training examples, ready to be searched.
        fallback: what to answer where no feature is shared.
    """

    title = "nearest training example"
    note = ""
    parameters: int | None = None

    def __init__(self, similar: SimilarExamples, fallback: Prediction) -> None:
        self.similar, self._fallback = similar, fallback
        self.fit_seconds = similar.fit_seconds
        self.size_bytes = similar.size_bytes

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        found = self.similar.nearest([question(example) for example in examples])
        return [
            answer_of(example) if likeness > 0 else self._fallback
            for ((example, likeness),) in found
        ]


def answer_of(example: Example) -> Prediction:
    """An example's own answer as a prediction."""
    if example.labels is not None:
        labels = tuple(sorted(example.labels))
        return Prediction(", ".join(labels), labels=labels)
    output = example.output or ""
    return Prediction(output, labels=(output,), finish_reason="stop")


def commonest(answers: Sequence[Prediction]) -> Prediction:
    """The answer given most often; the one first met among equals. Not an empty one."""
    counts = Counter((answer.output, answer.labels) for answer in answers if answer.output)
    if not counts:
        return Prediction("")
    (output, labels), _ = counts.most_common(1)[0]
    return Prediction(output, labels=labels)
