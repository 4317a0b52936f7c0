"""The rows to read first: the worst answers, and the mistakes the model was surest of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation, Mistake
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example

SHOWN = 20
_WRONG = 0.5
"""A written answer of lower quality than this counts as wrong."""
_EXCERPT = 1_000


@dataclass(frozen=True, slots=True)
class Errors:
    """Two lists of bad answers; a row may stand in both.

    Attributes:
        worst: lowest quality first; for labels, least probability given to the true label first.
        confident: wrong answers with the highest confidence first; empty without confidences.
    """

    worst: tuple[Mistake, ...]
    confident: tuple[Mistake, ...]


def find_errors(evaluation: Evaluation, examples: Sequence[Example]) -> Errors:
    """The worst and the most confident errors.

    Args:
        examples: those that were judged.
    """
    quality = evaluation.quality
    raw = evaluation.task == "language-model"
    wrong = np.arange(len(quality)) if raw else np.flatnonzero(quality < 1)
    second = _true_probability(evaluation, examples, wrong)
    worst = wrong[np.lexsort((second, quality[wrong]))][:SHOWN]
    sure = wrong[:0]
    confidences = evaluation.confidences
    if confidences is not None and not raw:
        bad = np.flatnonzero(quality < _WRONG)
        bad = bad[np.isfinite(confidences[bad])]
        sure = bad[np.argsort(-confidences[bad], kind="stable")][:SHOWN]
    return Errors(
        tuple(_mistake(evaluation, examples, int(row)) for row in worst),
        tuple(_mistake(evaluation, examples, int(row)) for row in sure),
    )


def _true_probability(
    evaluation: Evaluation, examples: Sequence[Example], wrong: NDArray[np.int64]
) -> Floats:
    """What the model gave to the true label of these rows; 0 where nobody knows."""
    found = np.zeros(len(wrong))
    table = evaluation.probabilities
    if table is None or evaluation.multi_label:
        return found
    place = {label: column for column, label in enumerate(evaluation.labels)}
    for position, row in enumerate(wrong.tolist()):
        true = place.get(examples[int(evaluation.rows[row])].output or "")
        if true is not None:
            found[position] = table[row, true]
    return found


def _mistake(evaluation: Evaluation, examples: Sequence[Example], row: int) -> Mistake:
    example = examples[int(evaluation.rows[row])]
    answer = evaluation.predictions[row] if evaluation.predictions else None
    raw = evaluation.task == "language-model"
    expected: Any = example.output if example.labels is None else ", ".join(example.labels)
    return Mistake(
        source=str(example.source),
        input=_excerpt(example.input),
        expected=_excerpt(expected or ""),
        answered=_excerpt(answer.output) if answer else "",
        confidence=answer.confidence if answer else None,
        score=-float(evaluation.quality[row]) if raw else float(evaluation.quality[row]),
    )


def _excerpt(text: str) -> str:
    return text if len(text) <= _EXCERPT else text[: _EXCERPT - 1] + "…"
