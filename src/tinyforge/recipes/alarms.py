"""The probability from which on some labels raise an alarm: toxic text, spam."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.evaluate import EvaluateSettings
from tinyforge.data.dataset import Dataset
from tinyforge.data.some_rows import Rows
from tinyforge.errors import SettingError
from tinyforge.evaluate.findings.alarms import Alarm, measure_alarm
from tinyforge.evaluate.run import gold_of
from tinyforge.metrics.tally import Floats
from tinyforge.records.examples import Example
from tinyforge.registry import suggest
from tinyforge.safety.toxicity import alarm_shares

log = logging.getLogger("tinyforge")


def check_alarm(dataset: Dataset, settings: EvaluateSettings) -> None:
    """See that the rows have the labels that are to raise an alarm, before anything is learnt.

    Raises:
        SettingError: they have not, or all labels are among them.
    """
    for label in settings.alarm_labels:
        if label not in dataset.labels:
            raise SettingError(
                "no row has this label", where="evaluate.alarm_labels", value=label,
                fix=suggest(label, dataset.labels[:50]),
            )  # fmt: skip
    if settings.alarm_labels and not set(dataset.labels) - set(settings.alarm_labels):
        raise SettingError(
            "all labels raise an alarm", where="evaluate.alarm_labels",
            value=list(settings.alarm_labels), fix="Leave the harmless ones out",
        )  # fmt: skip


def alarm_of_run(
    predictor: Any, dataset: Dataset, settings: EvaluateSettings, folder: Path
) -> Alarm | None:
    """Choose the threshold of ``evaluate.alarm_labels``, and write it into the run folder.

    Returns:
        None where no labels are named, or there are no rows to choose it on.
    """
    labels = settings.alarm_labels
    if not labels or not len(dataset.validation):
        return None
    log.info("choosing from which probability on an alarm is raised")
    found = measure_alarm(
        labels, settings.alarm_rate,
        _shares(predictor, Rows(dataset.store, dataset.validation), labels, dataset.multi_label),
        _shares(predictor, Rows(dataset.store, dataset.test), labels, dataset.multi_label),
    )  # fmt: skip
    if found is None:
        log.warning("no validation row has another label than those of evaluate.alarm_labels")
        return None
    found.save(folder)
    log.info(found.sentence)
    return found


def _shares(
    predictor: Any, rows: Sequence[Example], labels: Sequence[str], multi_label: bool
) -> tuple[Floats, NDArray[np.bool_]]:
    """The labels' probability of each row that has an answer, and whether it has one of them."""
    texts, truth = [], []
    for row in rows:
        gold = gold_of(row, "classify", multi_label)
        if gold is not None:
            texts.append(row.input)
            truth.append(bool(set(gold) & set(labels)))
    shares = np.array(alarm_shares(predictor, texts, labels), dtype=np.float64)
    return shares, np.array(truth, dtype=np.bool_)
