"""Naive Bayes on character n-grams: the baseline that learns in a moment."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.text_features import (
    best_threshold,
    choose_labels,
    choose_sets,
    hold_out,
    threshold_note,
    wanted_labels,
)
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.text.features import TextFeatures, question

SMOOTHING = 0.3
"""Added to each count. Below 1 (Laplace), because most n-grams are rare: on 77 labels that is worth
3 points, on 2 to 6 labels nothing."""


class CharacterNaiveBayes:
    """Naive Bayes on counts of character 3- to 5-grams.

    Multinomial naive Bayes (McCallum & Nigam 1998); its complement form (Rennie et al. 2003) is
    no better on few labels and much worse on many. With several labels a row there is one per
    label against all others, and the probability from which a label is given is chosen on a tenth
    of the training rows, as for the regression.

    Args:
        features: their ``counts`` are learnt from.
        labels: of each training row; one, or several with ``multi_label``.
    """

    title = "character n-grams + naive Bayes"

    def __init__(
        self,
        features: TextFeatures,
        labels: Sequence[tuple[str, ...]],
        *,
        multi_label: bool,
        seed: int,
    ) -> None:
        from sklearn.naive_bayes import MultinomialNB

        started = time.monotonic()
        self._features, self._multi_label = features, multi_label
        self.labels = tuple(sorted({label for row in labels for label in row}))
        notes = [] if features.ngrams else ["counts words, as the texts are long"]
        self._threshold = 0.5
        self._fits: list[Any] = []
        if multi_label:
            wanted = wanted_labels(labels, self.labels)
            train, held = hold_out(len(labels), seed, wanted=True)
            counts = features.counts[train]
            self._fits = [_one_against_rest(counts, column) for column in wanted[train].T]
            if len(held):
                scores = self._probabilities(features.counts[held])
                self._threshold = best_threshold(scores, wanted[held])
                notes.append(threshold_note(self._threshold))
        else:
            answers = [row[0] for row in labels]
            self._fits = [MultinomialNB(alpha=SMOOTHING).fit(features.counts, answers)]
        self.note = "; ".join(notes)
        self.parameters = int(features.counts.shape[1]) * len(self.labels)
        self.size_bytes = 8 * self.parameters
        self.fit_seconds = time.monotonic() - started + features.fit_seconds

    def predict_examples(self, examples: Sequence[Example]) -> list[Prediction]:
        """One prediction for each example, in order."""
        counts = self._features.counts_of([question(example) for example in examples])
        if self._multi_label:
            return choose_sets(self._probabilities(counts), self.labels, self._threshold)
        model = self._fits[0]
        shares: NDArray[np.float64] = model.predict_proba(counts)
        return choose_labels(shares, [str(label) for label in model.classes_])

    def _probabilities(self, counts: Any) -> NDArray[np.float64]:
        columns = [
            np.full(counts.shape[0], fit)
            if isinstance(fit, float)
            else fit.predict_proba(counts)[:, 1]
            for fit in self._fits
        ]
        return np.stack(columns, axis=1)


def _one_against_rest(counts: Any, wanted: NDArray[np.bool_]) -> Any:
    """A fitted model; the label's probability where it is on every row or on none."""
    from sklearn.naive_bayes import MultinomialNB

    if wanted.all() or not wanted.any():
        return float(wanted.any())
    return MultinomialNB(alpha=SMOOTHING).fit(counts, wanted)
