"""Rows that models are asked, read once, and how their answers are scored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.config.settings import Settings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.some_rows import Rows
from tinyforge.data.survey import survey
from tinyforge.evaluate.choices import Kind, find_kind, read_choices, score_choices
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.recipes.judge import every_ten_seconds
from tinyforge.records.examples import Example


@dataclass(frozen=True)
class Exam:
    """Rows, and what to make of the answers to them.

    Attributes:
        rows: the rows to judge on.
        kind: multiple choice or minimal pairs, which are judged by likelihood and ask nothing of a
            model's task; None for all other rows.
        found: labels that the rows carry.
        report: the data report; plain data.
    """

    rows: Sequence[Example]
    task: str
    kind: Kind | None
    multi_label: bool
    found: tuple[str, ...]
    report: dict[str, Any]
    settings: Settings

    def score(self, model: Any, name: str, labels: Sequence[str]) -> Evaluation:
        """A model's scores.

        Args:
            labels: all labels that count; the same for all models that are compared.
        """
        chosen, seed = self.settings.evaluate, self.settings.train.seed
        if self.kind is not None:
            return score_choices(
                model, self.rows, settings=chosen, seed=seed, name=name,
                progress=every_ten_seconds(),
            )  # fmt: skip
        return evaluate(
            model, self.rows, task=self.task, multi_label=self.multi_label, labels=labels,
            settings=chosen, seed=seed, name=name, progress=every_ten_seconds(),
        )  # fmt: skip


def read_exam(data: Any, task: Any, settings: Settings, work: Path) -> Exam:
    """The good rows of ``data`` for models of one task.

    Columns of multiple choice or of minimal pairs are taken as such, unless the model gives
    labels, or other columns are named.

    Args:
        work: an empty folder that outlives the rows.
    """
    named = settings.data.input is not None or settings.data.output is not None
    if task.name != "classify" and not named:
        kind = find_kind(data, settings.data)
        if kind is not None:
            rows = read_choices(data, settings.data, work / "choices")
            report = {"task": kind, "kept": len(rows)}
            return Exam(rows, kind, kind, False, (), report, settings)
    dataset = read_all(data, task, settings, work)
    return Exam(
        Rows(dataset.store, dataset.train), dataset.task, None, dataset.multi_label,
        dataset.labels, dataset.report.as_dict(), settings,
    )  # fmt: skip


def read_all(data: Any, task: Any, settings: Settings, work: Path) -> Dataset:
    """All good rows of ``data``, unsplit, read for a model's task.

    Preference pairs are read as such for every model that writes.
    """
    chosen: dict[str, Any] = {"validation_share": 0.0, "test_share": 0.0, "min_rows": 1}
    if task.name == "classify" and settings.data.multi_label is None:
        chosen["multi_label"] = task.multi_label
    whole = settings.data.model_copy(update=chosen)
    columns = survey(data, whole).columns
    pairs = "chosen" in columns.roles and task.name != "classify"
    return load_dataset(
        data, columns, "preference" if pairs else task.name, whole, seed=settings.train.seed,
        work=work, training=False,
    )  # fmt: skip
