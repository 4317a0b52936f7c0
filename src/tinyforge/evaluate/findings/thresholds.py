"""From which confidence on an answer is worth giving: coverage bought with errors, and back.

The curve of error against coverage and the area under it: Geifman, Uziel and El-Yaniv 2019. The
threshold for a wanted accuracy: selection with guaranteed risk (Geifman and El-Yaniv 2017) by exact
binomial limits; instead of their binary search, whose tries share the doubt among them, thresholds
are tried in a fixed order until the first one fails, which costs nothing (Learn then Test,
Angelopoulos et al. 2021) and finds a threshold on far fewer rows. It is chosen on validation rows
and then measured on test rows, which had no part in the choice.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.thresholds import ABSTENTION
from tinyforge.errors import FolderError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.intervals import share_interval, upper_limit
from tinyforge.metrics.tally import Floats

DOUBT = 0.05
"""Chance that a guaranteed accuracy does not hold on rows like the validation rows."""

COVERAGES = (1.0, 0.95, 0.9, 0.8, 0.7, 0.5)
FILE = ABSTENTION
_FEWEST = 20
_STARTS = (1.5, 3.0, 6.0)
"""Where the walks begin: times the rows that, all of them right, would just do."""
_STEP = 1.02
_CURVE = 100


@dataclass(frozen=True, slots=True)
class Threshold:
    """The least confidence with which an answer is given.

    Attributes:
        value: answers of lower confidence are withheld.
        target: the accuracy wanted of the answers that are given.
        guaranteed: whether, but for a chance of 5 %, the accuracy of the answers given is at least
            the target on rows like the validation rows; else it is so on the validation rows only.
        validation_rows: independent rows that it was chosen on.
    """

    value: float
    target: float
    guaranteed: bool
    validation_rows: int

    def save(self, folder: Path) -> None:
        """Write ``folder/tinyforge/threshold.json``.

        Raises:
            FolderError: it cannot be written.
        """
        write_json(Path(folder) / FILE, asdict(self))

    @classmethod
    def load(cls, folder: Path) -> Threshold | None:
        """The threshold saved with a model; None where there is none.

        Raises:
            FolderError: the file is damaged.
        """
        path = Path(folder) / FILE
        if not path.is_file():
            return None
        saved = read_json(path)
        try:
            return cls(
                float(saved["value"]), float(saved["target"]), bool(saved["guaranteed"]),
                int(saved["validation_rows"]),
            )  # fmt: skip
        except (KeyError, TypeError, ValueError) as error:
            raise FolderError("is damaged", where=str(path), value=str(error)) from error


@dataclass(frozen=True, slots=True)
class AtCoverage:
    """What comes of answering only the surest rows.

    Attributes:
        coverage: share of the test rows answered.
        accuracy, low, high: of those, with the exact 95 % interval.
        threshold: the least confidence that is answered.
        answered: rows.
    """

    coverage: float
    accuracy: float
    low: float
    high: float
    threshold: float
    answered: int


@dataclass(frozen=True, slots=True)
class Chosen:
    """A ``Threshold`` chosen on other rows, and what comes of it on the test rows."""

    target: float
    value: float
    guaranteed: bool
    validation_rows: int
    coverage: float
    accuracy: float
    low: float
    high: float
    answered: int


@dataclass(frozen=True, slots=True)
class Abstention:
    """Answering only where the model is sure.

    Attributes:
        aurc: mean error over all coverages, the surest rows first; 0 is best.
        aurc_of_chance: the same if confidence said nothing, which is the error of all rows.
        curve: (coverage, error), at most 100 points.
        chosen: None without a threshold for a wanted accuracy.
    """

    aurc: float
    aurc_of_chance: float
    accuracy: float
    rows: int
    curve: tuple[tuple[float, float], ...]
    table: tuple[AtCoverage, ...]
    chosen: Chosen | None
    sentence: str


def choose_threshold(validation: Evaluation, target: float) -> Threshold | None:
    """The lowest threshold whose answers have the wanted accuracy, by the validation rows.

    Args:
        validation: the model on rows that it did not learn from.
        target: accuracy wanted, below 1.

    Returns:
        None where answers are not simply right or wrong, confidences are missing, or no threshold
        reaches the target even on these rows.
    """
    sure, right, scale = _outcomes(validation)
    if sure is None or len(sure) < _FEWEST:
        return None
    rows = int(len(sure) * scale)
    value = guaranteed_threshold(sure, right, 1 - target, scale=scale)
    if value is not None:
        return Threshold(value, target, True, rows)
    value = _empirical(sure, right, 1 - target)
    return None if value is None else Threshold(value, target, False, rows)


def guaranteed_threshold(
    sure: Floats, right: NDArray[np.bool_], risk: float, *, doubt: float = DOUBT, scale: float = 1.0
) -> float | None:
    """Selection with guaranteed risk: a threshold whose error is at most ``risk``.

    From the surest rows on, thresholds are lowered step by step while the exact limit of the error
    of the rows above them, at ``doubt``, is within the risk; the first that is not ends the walk.
    There are three walks, which begin with more and more rows and share the doubt, since one that
    begins with few rows may end at once by a single unlucky row.

    Args:
        sure, right: confidence and correctness, shape (rows,).
        risk: error allowed among the answers given.
        scale: independent rows a row, where some are not independent.

    Returns:
        None where all walks end at once.
    """
    order = np.argsort(-sure, kind="stable")
    ranked, wrong = sure[order], np.cumsum(~right[order])
    tail = doubt / len(_STARTS)
    fewest = math.log(tail) / math.log(1 - risk) / scale
    found = None
    for start in _STARTS:
        place = math.ceil(fewest * start)
        while place <= len(ranked):
            value = float(ranked[place - 1])
            taken = int(np.searchsorted(-ranked, -value, side="right"))
            if upper_limit(wrong[taken - 1] * scale, taken * scale, tail) > risk:
                break
            found = value if found is None else min(found, value)
            place = max(taken + 1, math.floor(taken * _STEP))
    return found


def _empirical(sure: Floats, right: NDArray[np.bool_], risk: float) -> float | None:
    """The lowest threshold with that error on the rows themselves, at least 20 of them."""
    order = np.argsort(-sure, kind="stable")
    ranked = sure[order]
    error = np.cumsum(~right[order]) / np.arange(1, len(sure) + 1)
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)
    good = last_of_ties & (error <= risk) & (np.arange(len(sure)) >= _FEWEST - 1)
    return float(ranked[np.flatnonzero(good)[-1]]) if good.any() else None


def measure_abstention(test: Evaluation, threshold: Threshold | None = None) -> Abstention | None:
    """What answering only the surest rows gives on test rows.

    Args:
        threshold: chosen on other rows.

    Returns:
        None where answers are not simply right or wrong, or confidences are missing.
    """
    sure, right, scale = _outcomes(test)
    if sure is None or len(sure) < _FEWEST:
        return None
    order = np.argsort(-sure, kind="stable")
    ranked, error = sure[order], _expected_error(sure[order], right[order])
    rows = len(sure)
    places = np.unique(np.linspace(1, rows, min(rows, _CURVE)).astype(np.int64))
    table = [_at(sure, right, scale, float(ranked[math.ceil(c * rows) - 1])) for c in COVERAGES]
    chosen = None
    if threshold is not None:
        seen = _at(sure, right, scale, threshold.value)
        chosen = Chosen(
            **asdict(threshold), coverage=seen.coverage, accuracy=seen.accuracy, low=seen.low,
            high=seen.high, answered=seen.answered,
        )  # fmt: skip
    return Abstention(
        aurc=float(error.mean()),
        aurc_of_chance=float(1 - right.mean()),
        accuracy=float(right.mean()),
        rows=rows,
        curve=tuple((int(place) / rows, float(error[place - 1])) for place in places),
        table=tuple(dict.fromkeys(table)),
        chosen=chosen,
        sentence=_sentence(float(right.mean()), chosen, table),
    )


def _outcomes(evaluation: Evaluation) -> Any:
    """Confidence and correctness of each row, and independent rows a row; (None, None, 1) else."""
    quality, sure = evaluation.quality, evaluation.confidences
    nothing = (None, None, 1.0)
    if sure is None or not len(quality) or not np.isfinite(sure).all():
        return nothing
    if not np.isin(quality, (0, 1)).all():
        return nothing
    return sure.astype(np.float64), quality > 0.5, evaluation.sample.groups / len(quality)


def _expected_error(ranked: Floats, right: NDArray[np.bool_]) -> Floats:
    """Error of the first 1, 2, ... rows; rows of equal confidence count by their mean."""
    _, start, group = np.unique(-ranked, return_index=True, return_inverse=True)
    sizes = np.diff(np.append(start, len(ranked)))
    mean = np.add.reduceat((~right).astype(np.float64), start) / sizes
    errors: Floats = np.cumsum(mean[group]) / np.arange(1, len(ranked) + 1)
    return errors


def _at(sure: Floats, right: NDArray[np.bool_], scale: float, value: float) -> AtCoverage:
    given = sure >= value
    answered, hits = int(given.sum()), int(right[given].sum())
    low, high = share_interval(hits * scale, answered * scale)
    accuracy = hits / answered if answered else float("nan")
    return AtCoverage(answered / len(sure), accuracy, low, high, value, answered)


def _sentence(accuracy: float, chosen: Chosen | None, table: list[AtCoverage]) -> str:
    if chosen is not None:
        why = (
            "guaranteed but for a chance of 5 %" if chosen.guaranteed
            else "reached on the validation rows, which are too few for a guarantee"
        )  # fmt: skip
        if not chosen.answered:
            return (
                f"For {100 * chosen.target:g} % accuracy ({why}) the model would answer none of "
                "these rows."
            )
        return (
            f"Answering from confidence {chosen.value:.2f} on, chosen on validation rows for "
            f"{100 * chosen.target:g} % accuracy ({why}), gives {100 * chosen.coverage:.0f} % of "
            f"the test rows an answer, {100 * chosen.accuracy:.1f} % of them right (95 % interval "
            f"{100 * chosen.low:.1f} to {100 * chosen.high:.1f})."
        )
    surest = next((row for row in table if row.coverage <= 0.85), table[-1])
    return (
        f"Of the {100 * surest.coverage:.0f} % of the rows with the highest confidence, "
        f"{100 * surest.accuracy:.1f} % are right, against {100 * accuracy:.1f} % of all."
    )
