"""From answers to tallies and tables, by kind of task; answers come part by part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.evaluate.probabilities import Probabilities
from tinyforge.metrics import (
    METRICS,
    TASK_METRICS,
    Primary,
    primary_for_answers,
    primary_for_label_sets,
    primary_for_labels,
    primary_for_likelihoods,
    primary_for_numbers,
)
from tinyforge.metrics.calibration import Calibration, ReliabilityBin
from tinyforge.metrics.classification import (
    Confusion,
    LabelRow,
    LabelSets,
    confusion_of,
    count,
    label_table,
    set_tallies,
    single_tallies,
)
from tinyforge.metrics.generation import Writing
from tinyforge.metrics.likelihood import Surprise
from tinyforge.metrics.ranking import rank_tallies
from tinyforge.metrics.simplification import looks_simplified
from tinyforge.metrics.spill import Column
from tinyforge.metrics.tally import Floats, Means, RowMetric, percentile_interval, widest_unseen
from tinyforge.metrics.words import mostly_unspaced
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.scores import Score

MOST_LABELS = 100_000
"""Different answers that are told apart; further ones are labels that nobody knows."""

_LOOKED_AT = 2_000
"""Rows whose texts choose the headline metric of written answers."""

_SHORT = 40
"""Up to so many words a reference, on average, translation edit rate is measured unasked."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows and what was said to them.

    Attributes:
        gold: the expected label, labels (sorted), or texts (the first is the one of training).
        predictions: empty for raw text. likelihoods: empty where they are not known.
        rejected: likelihoods of the rejected answers (preference pairs).
    """

    examples: Sequence[Example]
    gold: Sequence[tuple[str, ...]]
    predictions: Sequence[Prediction]
    likelihoods: Sequence[Likelihood]
    rejected: Sequence[Likelihood] = ()


@dataclass
class Scoring:
    """The metrics of some answers, before any resampling."""

    primary: Primary
    tallies: dict[str, RowMetric]
    labels: tuple[str, ...] = ()
    probabilities: NDArray[np.float32] | None = None
    label_table: list[LabelRow] = field(default_factory=list)
    confusion: Confusion | None = None
    reliability: list[ReliabilityBin] = field(default_factory=list)
    signatures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


class Scorer(Protocol):
    """Takes in answers part by part."""

    def add(self, part: Part) -> Floats:
        """How good these answers are, higher is better, shape (rows,); see ``Evaluation``."""
        ...

    def close(self) -> Scoring:
        """The metrics of all of them."""
        ...


class LabelScorer:
    """Classification: one label a row, or a set of them.

    Args:
        known: the labels that count; gold labels count too.
        rows: how many rows will come, at most.
    """

    def __init__(self, known: Sequence[str], *, multi_label: bool, rows: int) -> None:
        self._known, self._multi = tuple(known), multi_label
        self._counts: Counter[str] = Counter()
        self._codes: dict[str, int] = {}
        self._wanted, self._given = _Sets(), _Sets()
        self._jaccard = Means(["jaccard"])
        self._calibration: Calibration | None = None if multi_label else Calibration()
        self._probabilities = Probabilities(multi_label=multi_label, rows=rows)
        for label in self._known:
            self._code(label)

    def _code(self, label: str) -> int:
        if label not in self._codes and len(self._codes) >= MOST_LABELS:
            return -1
        return self._codes.setdefault(label, len(self._codes))

    def add(self, part: Part) -> Floats:
        """Right or wrong (one label), or the F1 of the two sets."""
        given = [_label_set(p) if self._multi else (_label(p),) for p in part.predictions]
        self._counts.update(label for row in part.gold for label in row)
        self._wanted.extend([[self._code(label) for label in row] for row in part.gold])
        self._given.extend([[self._code(a) for a in dict.fromkeys(row)] for row in given])
        pairs = [(set(a), set(b)) for a, b in zip(part.gold, given, strict=True)]
        self._probabilities.add(part.gold, part.predictions)
        if self._multi:
            shared = [len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]
            self._jaccard.add({"jaccard": shared})
            return np.array([_set_f1(a, b) for a, b in pairs])
        right = np.array([a == b for a, b in pairs])
        confidences = [p.confidence for p in part.predictions]
        if self._calibration is not None and None not in confidences:
            self._calibration.add(np.array(confidences, dtype=np.float64)[:, None], right[:, None])
        else:
            self._calibration = None
        return right.astype(np.float64)

    def close(self) -> Scoring:
        """Counts by label, and what the probabilities tell."""
        labels = tuple(sorted({*self._known, *self._counts}))
        place = {label: i for i, label in enumerate(labels)}
        new = np.array([place.get(label, -1) for label in self._codes] + [-1], dtype=np.int32)
        wanted, given = self._wanted.close(new), self._given.close(new)
        counts = count(wanted, given, len(labels))
        tallies = set_tallies(counts) | self._jaccard.close() if self._multi else single_tallies(
            counts
        )  # fmt: skip
        table = label_table(tallies, labels)
        found = self._probabilities.close(labels)
        tallies |= found.tallies
        calibration = found.calibration if self._multi else self._calibration
        reliability: list[ReliabilityBin] = []
        if calibration is not None:
            tallies["ece"], reliability = calibration.close()
        if found.table is not None:
            tallies |= self._ranked(found.table, wanted, labels)
        notes = _unseen(self._counts, self._known) + found.notes
        return Scoring(
            primary_for_label_sets() if self._multi else primary_for_labels(self._counts),
            _in_order(tallies, "classify-multi-label" if self._multi else "classify"),
            labels=labels,
            probabilities=found.table,
            label_table=table,
            confusion=None if self._multi else confusion_of(wanted.codes, given.codes, labels),
            reliability=reliability,
            notes=notes,
        )

    def _ranked(
        self, table: NDArray[np.float32], wanted: LabelSets, labels: Sequence[str]
    ) -> dict[str, RowMetric]:
        truth = wanted.truth(len(labels))
        if not self._multi and len(labels) == 2:
            rarer = min((1, 0), key=lambda column: self._counts[labels[column]])
            table, truth = table[:, rarer : rarer + 1], truth[:, rarer : rarer + 1]
        return rank_tallies(table, truth)


class AnswerScorer:
    """Written answers; with likelihoods of the expected ones where they are known.

    Translation edit rate is measured where references are short, since it takes long for long
    texts, and SARI where answers look like their inputs made simpler; either also on request.
    """

    def __init__(self, task: str, settings: EvaluateSettings) -> None:
        self._task, self._settings = task, settings
        self._writing: Writing | None = None
        self._surprise = Surprise()
        self._inputs: list[str] = []
        self._gold: list[str] = []
        self._rows = self._empty = 0
        self._several = 0

    def add(self, part: Part) -> Floats:
        """1 where exact, else chrF / 100, at most 0.999."""
        inputs = [example.input for example in part.examples]
        first = [texts[0] for texts in part.gold]
        if self._writing is None:
            asked = self._settings.metrics
            short = sum(len(text.split()) for text in first) <= _SHORT * len(first)
            self._writing = Writing(
                unspaced=mostly_unspaced(first),
                ter=short or "ter" in asked,
                sari="sari" in asked or looks_simplified(inputs, first),
            )
        room = max(_LOOKED_AT - len(self._gold), 0)
        self._inputs += inputs[:room]
        self._gold += first[:room]
        answers = [prediction.output for prediction in part.predictions]
        self._rows += len(answers)
        self._empty += sum(not answer.strip() for answer in answers)
        self._several += sum(len(texts) > 1 for texts in part.gold)
        if part.likelihoods:
            self._surprise.add(part.likelihoods)
        return self._writing.add(part.gold, answers, inputs)

    def close(self) -> Scoring:
        """All metrics, and the headline that suits the expected answers."""
        if self._writing is None:
            raise TypeError("there are no answers to score")
        scored = self._writing.close()
        tallies = scored.tallies | self._surprise.close()
        notes = []
        if self._empty:
            notes.append(f"{self._empty:,} of {self._rows:,} answers are empty")
        if self._several:
            notes.append(f"{self._several:,} rows have several references; the best one counts")
        primary = (
            primary_for_numbers()
            if "numeric_match" in tallies
            else primary_for_answers(self._inputs, self._gold)
        )
        return Scoring(
            primary, _in_order(tallies, self._task), signatures=scored.signatures, notes=notes
        )


class TextScorer:
    """Raw text, by how likely it is to the model."""

    def __init__(self) -> None:
        self._surprise = Surprise()

    def add(self, part: Part) -> Floats:
        """Minus bits per byte."""
        return -self._surprise.add(part.likelihoods)

    def close(self) -> Scoring:
        """Bits per byte, bits per character and perplexity."""
        tallies = _in_order(self._surprise.close(), "language-model")
        return Scoring(primary_for_likelihoods(), tallies)


class _Sets:
    """Label numbers of each row, on their way to ``LabelSets``."""

    def __init__(self) -> None:
        self._codes, self._starts = Column(np.int32), Column(np.int64)
        self._starts.extend([0])
        self._size = 0

    def extend(self, rows: Sequence[Sequence[int]]) -> None:
        self._codes.extend([code for row in rows for code in row])
        ends = self._size + np.cumsum([len(row) for row in rows], dtype=np.int64)
        self._starts.extend(ends)
        self._size = int(ends[-1])

    def close(self, new: NDArray[np.int32]) -> LabelSets:
        """With every number replaced by its place in ``new``; the last place is for -1."""
        codes, changed = self._codes.close(), Column(np.int32)
        for start in range(0, len(codes), 100_000):
            changed.extend(new[codes[start : start + 100_000]])
        return LabelSets(changed.close(), self._starts.close())


def interval(name: str, tally: RowMetric, resampled: Floats, rows: int) -> Score:
    """A score with its 95 % percentile interval, which always holds the score itself.

    Where every row is right, or every row wrong, resampling shows no doubt at all; then the exact
    (Clopper-Pearson) limit for the number of independent rows stands in.
    """
    value = tally.value()
    low, high = percentile_interval(resampled)
    low, high = min(low, value), max(high, value)
    if METRICS[name].proportion and low == high and value in (0.0, 1.0):
        unseen = widest_unseen(tally.rows)
        low, high = (1 - unseen, 1.0) if value else (0.0, unseen)
    return Score(name, value, low, high, rows, METRICS[name].higher_is_better)


def _in_order(tallies: dict[str, RowMetric], task: str) -> dict[str, RowMetric]:
    return {name: tallies[name] for name in TASK_METRICS[task] if name in tallies}


def _unseen(counts: Counter[str], known: Sequence[str]) -> list[str]:
    unseen = sorted(set(counts) - set(known))
    if not known or not unseen:
        return []
    rows = sum(counts[label] for label in unseen)
    return [f"{rows:,} rows carry labels that training never saw: {some(unseen)}"]


def some(labels: Sequence[str], limit: int = 8) -> str:
    """The first labels, and how many more there are."""
    more = f" and {len(labels) - limit:,} more" if len(labels) > limit else ""
    return ", ".join(labels[:limit]) + more


def _label(prediction: Prediction) -> str:
    return prediction.labels[0] if prediction.labels else prediction.output.strip()


def _label_set(prediction: Prediction) -> tuple[str, ...]:
    if prediction.labels or prediction.finish_reason == "label":
        return prediction.labels
    return tuple(part.strip() for part in prediction.output.split(",") if part.strip())


def _set_f1(true: set[str], chosen: set[str]) -> float:
    size = len(true) + len(chosen)
    return 2 * len(true & chosen) / size if size else 1.0
