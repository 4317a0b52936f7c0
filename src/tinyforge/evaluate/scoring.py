"""From answers to tallies, tables and the worst rows, by kind of task."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from tinyforge.errors import DataError
from tinyforge.metrics import (
    METRICS,
    Primary,
    primary_for_answers,
    primary_for_label_sets,
    primary_for_labels,
    primary_for_likelihoods,
)
from tinyforge.metrics.calibration import calibration_tally
from tinyforge.metrics.classification import (
    Confusion,
    LabelRow,
    confusion,
    label_set_tallies,
    label_table,
    label_tallies,
    right_rows,
)
from tinyforge.metrics.generation import generation_tallies
from tinyforge.metrics.likelihood import likelihood_tallies
from tinyforge.metrics.tally import Floats, Tally, percentile_interval, widest_unseen
from tinyforge.records.predictions import Likelihood, Prediction
from tinyforge.records.scores import Score

WORST = 20


@dataclass
class Scoring:
    """The metrics of some answers, before any resampling.

    Attributes:
        worst: (row, score) of the worst answers, the worst first.
    """

    primary: Primary
    tallies: dict[str, Tally]
    worst: list[tuple[int, float]]
    label_table: list[LabelRow] = field(default_factory=list)
    confusion: Confusion | None = None
    signatures: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def score_labels(
    gold: Sequence[str] | Sequence[tuple[str, ...]],
    predictions: Sequence[Prediction],
    known: Sequence[str],
    multi_label: bool,
) -> Scoring:
    """Classification: one label a row, or a set of them."""
    wanted = [(row,) if isinstance(row, str) else row for row in gold]
    counts = Counter(label for row in wanted for label in row)
    notes = _check_labels(counts, known)
    labels = tuple(sorted({*known, *counts}))
    if multi_label:
        given = [_label_set(prediction) for prediction in predictions]
        tallies = label_set_tallies(wanted, given, labels)
        return Scoring(
            primary_for_label_sets(),
            tallies,
            _worst_sets(wanted, given, predictions),
            label_table=label_table(tallies, labels),
            notes=notes,
        )
    single = [row[0] for row in wanted]
    answered = [_label(prediction) for prediction in predictions]
    tallies = label_tallies(single, answered, labels)
    right = right_rows(tallies)
    confidences = [p.confidence for p in predictions if p.confidence is not None]
    if len(confidences) == len(predictions):
        tallies["ece"] = calibration_tally(confidences, right)
    return Scoring(
        primary_for_labels(single),
        tallies,
        _worst_labels(right, predictions),
        label_table=label_table(tallies, labels),
        confusion=confusion(single, answered, labels),
        notes=notes,
    )


def score_answers(
    gold: Sequence[str],
    predictions: Sequence[Prediction],
    inputs: Sequence[str],
    likelihoods: Sequence[Likelihood],
) -> Scoring:
    """Written answers; with likelihoods of the expected ones where they are known."""
    answers = [prediction.output for prediction in predictions]
    scored = generation_tallies(gold, answers)
    statistics = scored.tallies["chrf"].statistics
    quality = scored.tallies["chrf"].score(statistics) / 100
    exact = scored.tallies["exact_match"].statistics[:, 0]
    quality = np.where(exact > 0, 1.0, np.minimum(quality, 0.999))
    worst = [(int(i), float(quality[i])) for i in np.argsort(quality, kind="stable")[:WORST]]
    empty = sum(not answer.strip() for answer in answers)
    return Scoring(
        primary_for_answers(inputs, gold[: len(inputs)]),
        scored.tallies | likelihood_tallies(likelihoods),
        [row for row in worst if row[1] < 1],
        signatures=scored.signatures,
        notes=[f"{empty:,} of {len(answers):,} answers are empty"] if empty else [],
    )


def score_text(likelihoods: Sequence[Likelihood]) -> Scoring:
    """Raw text, by how likely it is to the model."""
    tallies = likelihood_tallies(likelihoods)
    bits = np.array([row.nll / max(row.bytes, 1) / np.log(2) for row in likelihoods])
    worst = [(int(i), float(bits[i])) for i in np.argsort(-bits, kind="stable")[:WORST]]
    return Scoring(primary_for_likelihoods(), tallies, worst)


def interval(name: str, tally: Tally, resampled: Floats, rows: int) -> Score:
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


def _check_labels(counts: Counter[str], known: Sequence[str]) -> list[str]:
    unseen = sorted(set(counts) - set(known))
    if not known or not unseen:
        return []
    if len(unseen) == len(counts):
        raise DataError(
            "none of the labels of these rows was seen in training", value=_some(unseen),
            fix=f"The model knows: {_some(sorted(known))}",
        )  # fmt: skip
    rows = sum(counts[label] for label in unseen)
    return [f"{rows:,} rows carry labels that training never saw: {_some(unseen)}"]


def _some(labels: Sequence[str], limit: int = 8) -> str:
    more = f" and {len(labels) - limit:,} more" if len(labels) > limit else ""
    return ", ".join(labels[:limit]) + more


def _label(prediction: Prediction) -> str:
    return prediction.labels[0] if prediction.labels else prediction.output.strip()


def _label_set(prediction: Prediction) -> tuple[str, ...]:
    if prediction.labels or prediction.finish_reason == "label":
        return prediction.labels
    return tuple(part.strip() for part in prediction.output.split(",") if part.strip())


def _worst_labels(
    right: NDArray[np.bool_], predictions: Sequence[Prediction]
) -> list[tuple[int, float]]:
    """The mistakes the predictor was surest of."""
    wrong = [int(row) for row in np.flatnonzero(~right)]
    wrong.sort(key=lambda row: -(predictions[row].confidence or 0.0))
    return [(row, 0.0) for row in wrong[:WORST]]


def _worst_sets(
    gold: Sequence[tuple[str, ...]],
    given: Sequence[tuple[str, ...]],
    predictions: Sequence[Prediction],
) -> list[tuple[int, float]]:
    """The rows whose label sets overlap least (F1 of the two sets)."""
    scored = []
    for row, (true, chosen) in enumerate(zip(gold, given, strict=True)):
        if set(true) != set(chosen):
            shared = len(set(true) & set(chosen))
            scored.append((row, 2 * shared / (len(set(true)) + len(set(chosen)))))
    scored.sort(key=lambda pair: (pair[1], -(predictions[pair[0]].confidence or 0.0)))
    return scored[:WORST]
