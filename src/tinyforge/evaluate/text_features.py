"""TF-IDF features, and the two classic baselines on them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction

CHARACTERS_FOR_NGRAMS = 12_000_000
"""Training texts of more characters than this are cut into words only: n-grams of characters
would take hundreds of megabytes, and help mostly where texts are short."""

_EXACT_SOLVER_COST = 100_000_000
"""Non-zero features times labels up to which the exact solver takes seconds; beyond, averaged
stochastic gradient descent on the same loss comes as near in a third of the time."""

_MANY_ROWS = 20_000
_COMMON = 0.05
"""With many rows, a nearest-example search does without features in more rows than this share:
they weigh little and cost most."""


class TextFeatures:
    """TF-IDF of words and word pairs, and of character 3- to 5-grams inside words.

    Args:
        texts: training texts; kept only as a sparse matrix, L2-normalised.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        started = time.monotonic()
        rarest = 2 if len(texts) >= 1_000 else 1
        shared = {"sublinear_tf": True, "min_df": rarest, "dtype": np.float32}
        self._cutters = [
            TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)
        ]
        if sum(map(len, texts)) <= CHARACTERS_FOR_NGRAMS:
            self._cutters.append(TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared))
        parts = []
        for cutter in list(self._cutters):
            try:
                parts.append(cutter.fit_transform(texts))
            except ValueError:  # scikit-learn: empty vocabulary, the texts hold no such n-gram
                self._cutters.remove(cutter)
        self.matrix = _stack(parts, len(texts))
        self.fit_seconds = time.monotonic() - started

    def of(self, texts: Sequence[str]) -> Any:
        """CSR, shape (texts, features)."""
        return _stack([cutter.transform(texts) for cutter in self._cutters], len(texts))


def _stack(parts: list[Any], rows: int) -> Any:
    from scipy.sparse import csr_matrix, hstack

    if not parts:
        return csr_matrix((rows, 1), dtype=np.float32)
    return hstack(parts, format="csr")


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
        wanted = np.zeros((len(labels), len(self.labels)), dtype=bool)
        place = {label: i for i, label in enumerate(self.labels)}
        for row, names in enumerate(labels):
            wanted[row, [place[name] for name in names]] = True
        train = np.arange(len(labels))
        held = train[:0]
        if multi_label and len(labels) >= 100:
            order = np.random.default_rng(seed).permutation(len(labels))
            held, train = np.sort(order[: len(order) // 10]), np.sort(order[len(order) // 10 :])
        exact = features.matrix.nnz * len(self.labels) <= _EXACT_SOLVER_COST
        self._fits = [
            _fit(features.matrix[train], wanted[train, i], multi_label, exact, seed)
            for i in range(len(self.labels))
        ]
        self._threshold = 0.5
        if len(held):
            self._threshold = _best_threshold(
                self._probabilities(features.matrix[held]), wanted[held]
            )
        self.fit_seconds = time.monotonic() - started + features.fit_seconds
        self.note = f"labels are given from probability {self._threshold:.2f}" if len(held) else ""

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        matrix = self._features.of([question(example) for example in examples])
        probabilities = self._probabilities(matrix)
        if self._multi_label:
            return [self._chosen(row) for row in probabilities]
        shares = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
        best = shares.argmax(axis=1)
        return [
            Prediction(self.labels[i], float(row[i]), labels=(self.labels[i],))
            for i, row in zip(best, shares, strict=True)
        ]

    def _chosen(self, row: NDArray[np.float64]) -> Prediction:
        labels = tuple(self.labels[i] for i in np.flatnonzero(row >= self._threshold))
        return Prediction(", ".join(labels), float(np.maximum(row, 1 - row).min()), labels=labels)

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


def _best_threshold(probabilities: NDArray[np.float64], wanted: NDArray[np.bool_]) -> float:
    def micro_f1(threshold: float) -> float:
        given = probabilities >= threshold
        return float(2 * (given & wanted).sum() / max(given.sum() + wanted.sum(), 1))

    return float(max(np.arange(0.05, 0.96, 0.05), key=micro_f1))


class NearestExample:
    """The answer of the training example with the most similar input (cosine of TF-IDF).

    Args:
        rows: where the training rows stand in ``train``.
        fallback: what to answer where no feature is shared.
    """

    title = "nearest training example"
    note = ""

    def __init__(
        self,
        features: TextFeatures,
        train: Sequence[Example],
        rows: NDArray[np.int64],
        fallback: Prediction,
    ) -> None:
        started = time.monotonic()
        self._features, self._train, self._rows = features, train, rows
        self._fallback = fallback
        matrix = features.matrix
        self._kept: NDArray[np.int64] | None = None
        if matrix.shape[0] >= _MANY_ROWS:
            counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
            self._kept = np.flatnonzero(counts <= _COMMON * matrix.shape[0])
            matrix = matrix[:, self._kept]
        self._columns = matrix.T.tocsr()
        self.fit_seconds = time.monotonic() - started + features.fit_seconds

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        return list(self._nearest([question(example) for example in examples]))

    def _nearest(self, texts: Sequence[str]) -> Iterator[Prediction]:
        asked = self._features.of(texts)
        if self._kept is not None:
            asked = asked[:, self._kept]
        for start in range(0, len(texts), 64):
            similarity = (asked[start : start + 64] @ self._columns).toarray()
            best = similarity.argmax(axis=1)
            for row, place in zip(similarity, best, strict=True):
                if row[place] > 0:
                    yield answer_of(self._train[int(self._rows[place])])
                else:
                    yield self._fallback


def question(example: Example) -> str:
    """What an example asks, as one text, without its answer."""
    if not example.messages:
        return example.input
    asked = example.messages if example.output is None else example.messages[:-1]
    return "\n".join(message.content for message in asked)


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
