"""Can the model tell a row that none of its labels fits?

Three scores of how much a row looks like the ones that were learnt: the largest probability
(Hendrycks and Gimpel 2017), minus the entropy of the probabilities, and minus the energy, which is
the log of the summed exponentials of the logits (Liu et al. 2020). Area under the ROC curve with
the interval of DeLong, DeLong and Clarke-Pearson 1988 on the logit scale; share of out-of-scope
rows accepted where 95 % of the others are (FPR95).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.intervals import share_interval
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example

NAMES = {"oos", "ood", "out_of_scope", "out-of-scope", "out of scope", "outofscope"}
"""Labels that mean: none of the others."""

ACCEPTED = 0.95
_TITLES = {
    "probability": "largest probability",
    "entropy": "low entropy of the probabilities",
    "energy": "low energy",
    "label": "low probability of the out-of-scope label",
}
_Z = 1.959964


@dataclass(frozen=True, slots=True)
class Detector:
    """One score as a detector of rows that are out of scope.

    Attributes:
        auroc, low, high: chance that a row in scope scores higher than one out of scope.
        fpr95, fpr95_low, fpr95_high: share of rows out of scope that are accepted by the
            threshold that accepts 95 % of those in scope; exact interval for a fixed threshold.
        threshold: rows of lower score would be turned away.
    """

    name: str
    title: str
    auroc: float
    low: float
    high: float
    fpr95: float
    fpr95_low: float
    fpr95_high: float
    threshold: float


@dataclass(frozen=True, slots=True)
class OutOfScope:
    """How well rows out of scope are told from the others.

    Attributes:
        inside, outside: rows of each kind.
        best: name of the detector with the highest AUROC; that it is the best of several makes
            it look a little better than it is.
        scores: every detector.
    """

    inside: int
    outside: int
    best: str
    scores: tuple[Detector, ...]
    sentence: str


def scope_scores(
    probabilities: NDArray[Any],
    logits: NDArray[Any] | None = None,
    *,
    outside_label: int | None = None,
) -> dict[str, Floats]:
    """How much each row looks in scope, higher is more: name -> shape (rows,).

    Args:
        probabilities: shape (rows, labels).
        logits: the same shape; gives the energy.
        outside_label: column of the label that means out of scope, where the model has one.
    """
    safe = np.maximum(probabilities.astype(np.float64), 1e-12)
    found = {
        "probability": safe.max(axis=1),
        "entropy": (safe * np.log(safe)).sum(axis=1),
    }
    if logits is not None:
        top = logits.max(axis=1)
        found["energy"] = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    if outside_label is not None:
        found["label"] = 1 - safe[:, outside_label]
    return found


def is_outside_name(label: str) -> bool:
    """Whether a label means that none of the others fits."""
    return label.strip().casefold() in NAMES


def detect(inside: Mapping[str, Floats], outside: Mapping[str, Floats]) -> OutOfScope | None:
    """Measure every score that both kinds of rows have; None without rows of both kinds."""
    shared = [name for name in inside if name in outside]
    if not shared or not all(len(side[shared[0]]) for side in (inside, outside)):
        return None
    scores = tuple(_detector(name, inside[name], outside[name]) for name in shared)
    best = max(scores, key=lambda score: score.auroc)
    return OutOfScope(
        inside=len(inside[shared[0]]), outside=len(outside[shared[0]]), best=best.name,
        scores=scores, sentence=_sentence(best),
    )  # fmt: skip


def out_of_scope_rows(evaluation: Evaluation, examples: Sequence[Example]) -> OutOfScope | None:
    """The same by the labels of the judged rows, such as "oos"; None where no row has one."""
    table = evaluation.probabilities
    if table is None or evaluation.multi_label:
        return None
    given = (examples[int(row)].output or "" for row in evaluation.rows)
    outside = np.fromiter(map(is_outside_name, given), bool, len(evaluation.rows))
    if not outside.any():
        return None
    answered = {i for i, label in enumerate(evaluation.labels) if is_outside_name(label)}
    known = [i for i in answered if table[:, i].max() > 0]
    scores = scope_scores(table, outside_label=known[0] if known else None)
    return detect(
        {name: values[~outside] for name, values in scores.items()},
        {name: values[outside] for name, values in scores.items()},
    )


def auroc(inside: Floats, outside: Floats) -> tuple[float, float, float]:
    """Area under the ROC curve, ties counting half, with its 95 % interval (DeLong)."""
    from scipy.stats import rankdata

    n, m = len(inside), len(outside)
    ranks = rankdata(np.concatenate([inside, outside]))
    within_in, within_out = rankdata(inside), rankdata(outside)
    above = (ranks[:n] - within_in) / m
    below = 1 - (ranks[n:] - within_out) / n
    area = float(above.mean())
    if n < 2 or m < 2 or area in (0.0, 1.0):
        unseen = share_interval(area * min(n, m), min(n, m))
        return area, unseen[0], unseen[1]
    error = math.sqrt(above.var(ddof=1) / n + below.var(ddof=1) / m)
    centre, width = math.log(area / (1 - area)), _Z * error / (area * (1 - area))
    return area, _logistic(centre - width), _logistic(centre + width)


def _logistic(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 700.0), -700.0)))


def _detector(name: str, inside: Floats, outside: Floats) -> Detector:
    area, low, high = auroc(inside, outside)
    threshold = float(np.quantile(inside, 1 - ACCEPTED, method="lower"))
    accepted = int((outside >= threshold).sum())
    least, most = share_interval(accepted, len(outside))
    return Detector(
        name, _TITLES[name], area, low, high, accepted / len(outside), least, most, threshold
    )


def _sentence(best: Detector) -> str:
    return (
        f"Rows out of scope are told from the others by {best.title} with an AUROC of "
        f"{best.auroc:.3f} (95 % interval {best.low:.3f} to {best.high:.3f}); where 95 % of the "
        f"rows in scope are accepted, {100 * best.fpr95:.0f} % of those out of scope are too."
    )
