"""Texts as counts of words and n-grams, and the examples that are most like a text."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.examples import Example

CHARACTERS_FOR_NGRAMS = 12_000_000
"""Training texts of more characters than this are cut into words only: n-grams of characters
would take hundreds of megabytes, and help mostly where texts are short."""

MANY_ROWS = 20_000
COMMON = 0.05
"""With many rows, a search does without features in more rows than this share: they weigh little
and cost most."""

_CHUNK = 64


class TextFeatures:
    """TF-IDF of words and word pairs, and of character 3- to 5-grams inside words.

    Args:
        texts: training texts; kept only as sparse matrices.

    Attributes:
        matrix: TF-IDF of the training texts, CSR, L2-normalised in each of its two parts.
        counts: how often each character n-gram is in each training text, CSR; of words where the
            texts are too long for n-grams; None after ``forget_counts``.
        ngrams: whether character n-grams were counted.
        fit_seconds: what it took.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

        started = time.monotonic()
        rarest = 2 if len(texts) >= 1_000 else 1
        shared = {"min_df": rarest, "dtype": np.float32}
        self.ngrams = sum(map(len, texts)) <= CHARACTERS_FOR_NGRAMS
        counters = [CountVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", **shared)]
        if self.ngrams:
            counters.append(CountVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared))
        self._counters, self._weights, parts = [], [], []
        self.counts: Any = None
        for counter in counters:
            try:
                counts = counter.fit_transform(texts)
            except ValueError:  # scikit-learn: empty vocabulary, the texts hold no such n-gram
                continue
            weights = TfidfTransformer(sublinear_tf=True)
            parts.append(weights.fit_transform(counts))
            self._counters.append(counter)
            self._weights.append(weights)
            self.counts = counts
        if self.counts is None:
            self.counts = _stack([], len(texts))
        self.matrix = _stack(parts, len(texts))
        self.fit_seconds = time.monotonic() - started

    def of(self, texts: Sequence[str]) -> Any:
        """TF-IDF of other texts: CSR, shape (texts, features)."""
        parts = [
            weights.transform(counter.transform(texts))
            for counter, weights in zip(self._counters, self._weights, strict=True)
        ]
        return _stack(parts, len(texts))

    def counts_of(self, texts: Sequence[str]) -> Any:
        """What ``counts`` holds, for other texts."""
        return self._counters[-1].transform(texts) if self._counters else _stack([], len(texts))

    def forget_counts(self) -> None:
        """Give the memory of ``counts`` back."""
        self.counts = None


def _stack(parts: list[Any], rows: int) -> Any:
    from scipy.sparse import csr_matrix, hstack

    if not parts:
        return csr_matrix((rows, 1), dtype=np.float32)
    return hstack(parts, format="csr")


class SimilarExamples:
    """The examples whose inputs are most like a text (cosine of TF-IDF).

    Args:
        examples: anything with a length and indices, for example training rows on disk.
        rows: which of them to search; all by default.
        features: of exactly these rows' inputs, where they are there already.

    Attributes:
        fit_seconds: what it took to make.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        rows: NDArray[np.int64] | None = None,
        features: TextFeatures | None = None,
    ) -> None:
        started = time.monotonic()
        self._examples = examples
        self._rows = np.arange(len(examples)) if rows is None else rows
        self._features = features or TextFeatures(
            [question(examples[int(row)]) for row in self._rows]
        )
        matrix = self._features.matrix
        self._kept: NDArray[np.int64] | None = None
        if matrix.shape[0] >= MANY_ROWS:
            counts = np.bincount(matrix.indices, minlength=matrix.shape[1])
            self._kept = np.flatnonzero(counts <= COMMON * matrix.shape[0])
            matrix = matrix[:, self._kept]
        self._columns = matrix.T.tocsr()
        known = features.fit_seconds if features else 0.0
        self.fit_seconds = time.monotonic() - started + known

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def size_bytes(self) -> int:
        """Memory of what is searched."""
        columns = self._columns
        return int(columns.data.nbytes + columns.indices.nbytes + columns.indptr.nbytes)

    def all(self) -> Iterator[Example]:
        """Every example that is searched, in order."""
        return (self._examples[int(row)] for row in self._rows)

    def nearest(
        self, texts: Sequence[str], count: int = 1
    ) -> Iterator[list[tuple[Example, float]]]:
        """For each text the ``count`` most similar examples with their similarity, 0 to 1.

        The most similar one is first; of equally similar ones the one that stands first.
        """
        asked = self._features.of(texts)
        if self._kept is not None:
            asked = asked[:, self._kept]
        for start in range(0, len(texts), _CHUNK):
            similarity = (asked[start : start + _CHUNK] @ self._columns).toarray()
            for row in similarity:
                yield [
                    (self._examples[int(self._rows[place])], float(row[place]))
                    for place in _highest(row, count)
                ]


def _highest(values: NDArray[Any], count: int) -> NDArray[np.int64]:
    """Places of the highest values, the highest first; the first among equals."""
    if count == 1:
        return np.array([values.argmax()])
    if count < len(values):
        least = np.partition(values, -count)[-count]
        places = np.flatnonzero(values >= least)
    else:
        places = np.arange(len(values))
    return places[np.argsort(-values[places], kind="stable")][:count]


def question(example: Example) -> str:
    """What an example asks, as one text, without its answer."""
    if not example.messages:
        return example.input
    asked = example.messages if example.output is None else example.messages[:-1]
    return "\n".join(message.content for message in asked)
