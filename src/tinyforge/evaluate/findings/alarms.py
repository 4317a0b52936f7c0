"""From which probability of some labels on an alarm is raised: few false alarms, said beforehand.

The threshold is the lowest one whose share of false alarms among the rows of other labels is, by
the exact binomial limit on validation rows and but for a chance of 5 %, within what is allowed: the
order statistic of Neyman-Pearson classification (Tong, Feng and Li 2018, Science Advances 4(2)).
How many of the true alarms it raises is then measured on test rows.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import write_json
from tinyforge.artifacts.thresholds import ALARM
from tinyforge.evaluate.findings.intervals import share_interval, upper_limit
from tinyforge.evaluate.findings.thresholds import DOUBT
from tinyforge.metrics.tally import Floats


@dataclass(frozen=True, slots=True)
class Share:
    """A share of independent rows, with its exact 95 % interval."""

    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A threshold, and what comes of it on test rows.

    Attributes:
        labels: that raise the alarm.
        value: probability of these labels above which they do.
        rate: false alarms allowed, of the rows of other labels.
        guaranteed: whether, but for a chance of 5 %, no more come on rows like the validation rows;
            else it is so on the validation rows only, since there are too few.
        validation_rows: rows of other labels that it was chosen on.
        recall: of the test rows with these labels, those that raise the alarm.
        precision: of the test rows that raise it, those with these labels.
        false_alarms: of the test rows with other labels, those that raise it.
    """

    labels: tuple[str, ...]
    value: float
    rate: float
    guaranteed: bool
    validation_rows: int
    recall: Share | None
    precision: Share | None
    false_alarms: Share | None
    sentence: str

    def save(self, folder: Path) -> None:
        """Write ``folder/tinyforge/alarm.json``.

        Raises:
            FolderError: it cannot be written.
        """
        write_json(Path(folder) / ALARM, asdict(self))


def choose_alarm(shares: Floats, rate: float) -> tuple[float, bool] | None:
    """The lowest threshold with no more than a share of false alarms.

    Args:
        shares: the labels' probability for rows of other labels, shape (rows,).
        rate: false alarms allowed, between 0 and 1.

    Returns:
        The threshold (alarms are strictly above it), and whether it is guaranteed; None without
        rows.
    """
    rows = len(shares)
    if not rows:
        return None
    ranked = np.sort(shares)[::-1]
    allowed = -1
    while allowed + 1 < rows and upper_limit(allowed + 1, rows, DOUBT) <= rate:
        allowed += 1
    guaranteed = allowed >= 0
    if not guaranteed:
        allowed = math.floor(rate * rows)
    return float(ranked[min(allowed, rows - 1)]), guaranteed


def measure_alarm(
    labels: tuple[str, ...],
    rate: float,
    validation: tuple[Floats, NDArray[np.bool_]],
    test: tuple[Floats, NDArray[np.bool_]],
) -> Alarm | None:
    """Choose on validation rows, measure on test rows.

    Args:
        validation, test: the labels' probability, and whether the row has one of them.

    Returns:
        None where no validation row has another label.
    """
    shares, meant = validation
    chosen = choose_alarm(shares[~meant], rate)
    if chosen is None:
        return None
    value, guaranteed = chosen
    tested, truth = test
    raised = tested > value
    recall, false_alarms = _share(raised[truth]), _share(raised[~truth])
    precision = _share(truth[raised])
    return Alarm(
        labels, value, rate, guaranteed, int((~meant).sum()), recall, precision, false_alarms,
        _sentence(labels, value, rate, guaranteed, recall, precision, false_alarms),
    )  # fmt: skip


def _share(hits: NDArray[np.bool_]) -> Share | None:
    if not len(hits):
        return None
    low, high = share_interval(int(hits.sum()), len(hits))
    return Share(float(hits.mean()), low, high, len(hits))


def _sentence(
    labels: tuple[str, ...],
    value: float,
    rate: float,
    guaranteed: bool,
    recall: Share | None,
    precision: Share | None,
    false_alarms: Share | None,
) -> str:
    why = (
        "guaranteed but for a chance of 5 %" if guaranteed
        else "reached on the validation rows, which are too few for a guarantee"
    )  # fmt: skip
    measured = [
        f"{name} {_text(share)}"
        for name, share in (
            ("finds", recall), ("is right in", precision), ("false alarms", false_alarms)
        )
        if share is not None
    ]  # fmt: skip
    return (
        f"An alarm above a probability of {value:.3f} of {', '.join(labels)}, chosen on validation "
        f"rows for {100 * rate:g} % false alarms ({why}); on the test rows: {'; '.join(measured)}."
    )


def _text(share: Share) -> str:
    return (
        f"{100 * share.value:.1f} % ({100 * share.low:.1f} to {100 * share.high:.1f}, "
        f"{share.rows:,} rows)"
    )
