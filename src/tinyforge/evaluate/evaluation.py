"""What came out when a predictor was judged on some rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from tinyforge.metrics import Primary
from tinyforge.metrics.classification import Confusion, LabelRow
from tinyforge.metrics.tally import Floats, Tally
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

    Attributes:
        name: what was judged, for people.
        primary: the headline metric.
        scores: metric name -> value with its 95 % interval; the headline is first.
        sample: which rows.
        predictions: one a row, in order, without the texts and scores that the caller has anyway.
        label_table: precision, recall and F1 by label; empty where there are no labels.
        confusion: None where a row may carry several labels, or none at all.
        mistakes: the worst answers, the worst first.
        signatures: how others can repeat BLEU and chrF.
        notes: what a reader should know about the rows.
        model: the weights' hash, as the predictions name it.
        seconds: time spent on answering.
        fit_seconds: time spent on training, where that belongs to the predictor (a baseline).
        tally: the headline metric's per-row statistics, rows of a group joined.
        resampled: every metric on every resample, shape (draws,).
    """

    name: str
    task: str
    multi_label: bool
    primary: Primary
    scores: dict[str, Score]
    sample: Sample
    predictions: list[Prediction] = field(repr=False)
    label_table: list[LabelRow] = field(repr=False)
    confusion: Confusion | None = field(repr=False)
    mistakes: list[Mistake] = field(repr=False)
    signatures: dict[str, str]
    notes: list[str]
    model: str
    seconds: float
    fit_seconds: float
    tally: Tally | None = field(repr=False)
    resampled: dict[str, Floats] = field(repr=False)

    @property
    def headline(self) -> Score | None:
        """The primary metric's score; None where this predictor cannot be measured by it."""
        return self.scores.get(self.primary.name)
