"""What came out when a predictor was judged on some rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyforge.metrics import Primary
from tinyforge.metrics.calibration import ReliabilityBin
from tinyforge.metrics.classification import Confusion, LabelRow
from tinyforge.metrics.tally import Floats, RowMetric, Tally
from tinyforge.records.predictions import Prediction
from tinyforge.records.scores import Score


@dataclass(frozen=True, slots=True)
class Mistake:
    """A row that was answered badly.

    Attributes:
        source: ``file:line`` of the row.
        score: how good the answer is, 0 to 1; for raw text the bits per byte.
    """

    source: str
    input: str
    expected: str
    answered: str
    confidence: float | None
    score: float


@dataclass(frozen=True, slots=True)
class Sample:
    """The rows that were judged, and the resamples drawn from them.

    Two evaluations with equal samples can be compared row by row.

    Attributes:
        fingerprint: hash of the rows' places and expected answers.
        rows: how many rows.
        groups: how many independent ones: rows of one ``group``, or with one input, count once.
        draws: bootstrap resamples.
        seed: what the resamples were drawn with.
    """

    fingerprint: str
    rows: int
    groups: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Evaluation:
    """How good a predictor is on some rows.

    The arrays by row, and the tallies, lie in temporary files where there are many rows; they
    are read-only, and the files are gone with the arrays.

    Attributes:
        name: what was judged, for people.
        primary: the headline metric.
        scores: metric name -> value with its 95 % interval; the headline is first.
        sample: which rows.
        rows: number of each judged row in the examples that were given, ascending, shape (n,).
        keys: a hash of each row's place in its file and its expected answer; equal in every
            evaluation of the row.
        groups: independent group of each judged row, numbered from 0 in order of appearance.
        quality: how good each answer is, higher is better. One label: 1 right, 0 wrong. Label
            sets: F1 of the two sets. Written answers: 1 where exact, else chrF / 100, at most
            0.999; with several references the best. Raw text: minus bits per byte.
        confidences: the answers' confidence, float32; None where one of them has none.
        labels: every label that counts, sorted; empty where there are none.
        probabilities: float32, shape (n, labels), in the order of ``labels``; None where the
            predictor does not give every label a score, or where there are too many of them
            (then a note says so).
        predictions: one a row, in order, made when asked for; without the texts and scores that
            the caller has anyway. Empty for raw text.
        label_table: precision, recall and F1 by label; empty where there are no labels.
        confusion: None where a row may carry several labels, or none at all.
        reliability: confidence against accuracy, by bins of confidence; empty where some
            answer has no confidence. Label sets: each label's probability against how often it
            holds.
        mistakes: the worst answers, the worst first.
        signatures: how others can repeat BLEU, chrF and TER.
        notes: what a reader should know about the rows.
        model: the weights' hash, as the predictions name it.
        seconds: time spent on answering.
        fit_seconds: time spent on training, where that belongs to the predictor (a baseline).
        tallies: every metric's per-row statistics, rows of a group joined.
        row_tally: the headline metric's statistics, one a row; None where it was not measured.
        resampled: every metric on every resample, shape (draws,).
        parameters: numbers that were learnt; None where that cannot be said.
        size_bytes: the predictor's size in memory; None where that is not known.
    """

    name: str
    task: str
    multi_label: bool
    primary: Primary
    scores: dict[str, Score]
    sample: Sample
    rows: NDArray[np.int64] = field(repr=False)
    keys: NDArray[np.int64] = field(repr=False)
    groups: NDArray[np.int64] = field(repr=False)
    quality: NDArray[np.float64] = field(repr=False)
    confidences: NDArray[np.float32] | None = field(repr=False)
    labels: tuple[str, ...] = field(repr=False)
    probabilities: NDArray[np.float32] | None = field(repr=False)
    predictions: Sequence[Prediction] = field(repr=False)
    label_table: list[LabelRow] = field(repr=False)
    confusion: Confusion | None = field(repr=False)
    reliability: list[ReliabilityBin] = field(repr=False)
    mistakes: list[Mistake] = field(repr=False)
    signatures: dict[str, str]
    notes: list[str]
    model: str
    seconds: float
    fit_seconds: float
    tallies: dict[str, RowMetric] = field(repr=False)
    row_tally: Tally | None = field(repr=False)
    resampled: dict[str, Floats] = field(repr=False)
    parameters: int | None = None
    size_bytes: int | None = None

    @property
    def seconds_per_1000_rows(self) -> float:
        """Time spent on answering 1,000 rows."""
        return 1_000 * self.seconds / max(self.sample.rows, 1)

    @property
    def headline(self) -> Score | None:
        """The primary metric's score; None where this predictor cannot be measured by it."""
        return self.scores.get(self.primary.name)

    @property
    def tally(self) -> Tally | None:
        """The primary metric's statistics, rows of a group joined; None where not measured."""
        found = self.tallies.get(self.primary.name)
        return found if isinstance(found, Tally) else None
