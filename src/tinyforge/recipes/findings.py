"""Find out where a model fails and how sure its judgement is, with the model at hand."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from tinyforge.artifacts.files import read_json
from tinyforge.config.settings import Settings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.some_rows import Rows
from tinyforge.data.survey import survey
from tinyforge.errors import DataError, TinyForgeError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings import Findings, find
from tinyforge.evaluate.findings.forgetting import find_forgetting, probe
from tinyforge.evaluate.findings.label_errors import FEWEST_ROWS, LabelErrors
from tinyforge.evaluate.findings.out_of_scope import (
    OutOfScope,
    detect,
    is_outside_name,
    scope_scores,
)
from tinyforge.evaluate.findings.thresholds import Threshold, choose_threshold
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict
from tinyforge.recipes.alarms import alarm_of_run
from tinyforge.recipes.label_errors import label_errors_of, write_suspects
from tinyforge.recipes.questions import read_questions
from tinyforge.recipes.run_rows import dataset_of_run
from tinyforge.records.examples import Example

if TYPE_CHECKING:
    from tinyforge.recipes.setup import Setup

log = logging.getLogger("tinyforge")

TRAINING_ROWS = 1_000
"""Training rows that are judged, to compare them with the test rows."""

_SCOPE_ROWS = 1_000
_QUICK = 100_000
"""Rows times labels up to which wrong labels are looked for unasked."""
SUSPECTS = Path("tinyforge") / "label_errors.jsonl"


def findings_of_run(
    setup: Setup,
    predictor: Any,
    evaluation: Evaluation,
    baselines: Mapping[str, Evaluation],
    verdict: Verdict,
    *,
    how: Mapping[str, Any],
    folder: Path,
    untuned: Any = None,
) -> Findings:
    """What can be found out about a model that was just trained and judged on its test rows.

    Thresholds for ``evaluate.target_accuracy`` and ``evaluate.alarm_labels``, and suspected label
    errors, are written into the run folder.

    Args:
        predictor: the trained model, an ``AnsweringModel``.
        how: the keywords that it was judged with (``evaluate.run.evaluate``).
        folder: the run folder.
        untuned: the model as it was before training, where it could answer.
    """
    dataset, settings = setup.dataset, setup.settings
    test, train = Rows(dataset.store, dataset.test), Rows(dataset.store, dataset.train)
    labelled = evaluation.task == "classify" and not dataset.multi_label
    validation = threshold = trained = None
    if evaluation.task == "classify":
        few = min(TRAINING_ROWS, settings.evaluate.max_rows or TRAINING_ROWS)
        less = settings.evaluate.model_copy(update={"max_rows": few})
        trained = evaluate(predictor, train, **{**how, "settings": less})
    if labelled and len(dataset.validation) and _needs_validation(settings):
        # Only its rows are needed, and no interval.
        quick = settings.evaluate.model_copy(update={"bootstrap_samples": 100})
        rows = Rows(dataset.store, dataset.validation)
        validation = evaluate(predictor, rows, **{**how, "settings": quick})
    if validation is not None and settings.evaluate.target_accuracy is not None:
        threshold = choose_threshold(validation, settings.evaluate.target_accuracy)
        if threshold is None:
            log.warning("no confidence gives the accuracy of evaluate.target_accuracy")
        else:
            threshold.save(folder)
    suspects = None
    if labelled and _wants_label_errors(settings, dataset):
        suspects = _label_errors(dataset, settings, evaluation, validation, folder)
    return find(
        evaluation, test, baselines=baselines, verdict=verdict, train=train,
        near_duplicate=settings.data.near_duplicate, trained=trained, threshold=threshold,
        label_errors=suspects, out_of_scope=out_of_scope(predictor, evaluation, test, settings),
        forgetting=find_forgetting(probe(untuned), probe(predictor))
        if untuned is not None
        else None,
        alarm=alarm_of_run(predictor, dataset, settings.evaluate, folder),
        seed=settings.train.seed,
    )  # fmt: skip


def findings_of_file(
    predictor: Any,
    evaluation: Evaluation,
    rows: Sequence[Example],
    baselines: Mapping[str, Evaluation],
    verdict: Verdict | None,
    *,
    settings: Settings,
    work: Path,
) -> Findings:
    """What can be found out about any model that was judged on the rows of a file.

    The rows it learnt from are those of ``evaluate.training_rows``, or of its own run where they
    are still as they were; without them no row can be called seen.

    Args:
        predictor: an ``AnsweringModel``; its folder may hold a threshold.
        work: for temporary files.
    """
    folder = getattr(predictor, "path", None)
    train = training_rows(folder, predictor.task, settings, work / "training-rows")
    threshold = None
    if folder is not None:
        threshold = Threshold.load(folder)
    return find(
        evaluation, rows, baselines=baselines, verdict=verdict, train=train,
        near_duplicate=settings.data.near_duplicate, threshold=threshold,
        out_of_scope=out_of_scope(predictor, evaluation, rows, settings),
        seed=settings.train.seed,
    )  # fmt: skip


def _needs_validation(settings: Settings) -> bool:
    return settings.evaluate.target_accuracy is not None or bool(settings.evaluate.label_errors)


def _wants_label_errors(settings: Settings, dataset: Dataset) -> bool:
    """As the user said; else where the quick models take seconds: one for each label and fold."""
    if settings.evaluate.label_errors is not None:
        return settings.evaluate.label_errors
    rows = len(dataset.train) + len(dataset.validation) + len(dataset.test)
    return rows >= FEWEST_ROWS and rows * len(dataset.labels) <= _QUICK


def _label_errors(
    dataset: Dataset,
    settings: Settings,
    test: Evaluation,
    validation: Evaluation | None,
    folder: Path,
) -> LabelErrors | None:
    judged = [("test", test)] + ([("validation", validation)] if validation is not None else [])
    log.info("looking for wrong labels")
    work = dataset.store.data.path.parent / "label-errors"
    try:
        found = label_errors_of(
            dataset, settings, work, vectors=bool(settings.evaluate.label_errors), judged=judged
        )
    except DataError as error:
        log.warning(f"wrong labels were not looked for: {error}")
        return None
    write_suspects(found.suspects, folder / SUSPECTS)
    return found


def out_of_scope(
    predictor: Any, evaluation: Evaluation, rows: Sequence[Example], settings: Settings
) -> OutOfScope | None:
    """How well a classifier tells rows that no label fits; None where there are no such rows.

    They come from ``evaluate.out_of_scope``, and from judged rows with a label such as "oos".
    """
    task = cast("Any", getattr(predictor, "task", None))
    if evaluation.task != "classify" or evaluation.multi_label or not hasattr(predictor, "logits"):
        return None
    judged = [rows[int(row)] for row in evaluation.rows[: 2 * _SCOPE_ROWS]]
    outside = [row for row in judged if is_outside_name(row.output or "")]
    if settings.evaluate.out_of_scope is not None:
        asked = read_questions(settings.evaluate.out_of_scope, settings.data).examples("classify")
        outside += [row for row in islice(asked, _SCOPE_ROWS) if isinstance(row, Example)]
    inside = [row for row in judged if not is_outside_name(row.output or "")][:_SCOPE_ROWS]
    if not inside or not outside:
        return None
    own = [i for i, label in enumerate(task.labels) if is_outside_name(label)]
    label = own[0] if own else None
    return detect(_scores(predictor, inside, label), _scores(predictor, outside, label))


def _scores(
    predictor: Any, rows: Sequence[Example], outside_label: int | None
) -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    logits = predictor.logits(rows).astype(np.float64)
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return scope_scores(shares, logits, outside_label=outside_label)


def training_rows(
    folder: Path | None, task: Any, settings: Settings, work: Path
) -> Sequence[Example] | None:
    """The rows that a model learnt from, where they can still be had; read into ``work``.

    Raises:
        TinyForgeError: the file that ``evaluate.training_rows`` names cannot be read.
    """
    given = settings.evaluate.training_rows
    if given is not None:
        chosen = {"validation_share": 0.0, "test_share": 0.0, "min_rows": 1}
        if task.name == "classify" and settings.data.multi_label is None:
            chosen["multi_label"] = task.multi_label
        data = settings.data.model_copy(update=chosen)
        dataset = load_dataset(
            given, survey(given, data).columns, task.name, data, seed=settings.train.seed,
            work=work, training=False,
        )  # fmt: skip
        return Rows(dataset.store, dataset.train)
    if folder is None or not (folder / "tinyforge" / "run.json").is_file():
        return None
    level = log.level
    log.setLevel(logging.WARNING)  # what is to be said of these rows was said in training
    try:
        with suppress(TinyForgeError, KeyError, TypeError, ValueError):
            return _rows_of_run(read_json(folder / "tinyforge" / "run.json"), work)
    finally:
        log.setLevel(level)
    return None


def _rows_of_run(record: Mapping[str, Any], work: Path) -> Sequence[Example] | None:
    """The training rows of a run's record; None where the file is gone or has changed."""
    dataset = dataset_of_run(record, work)
    return None if dataset is None else Rows(dataset.store, dataset.train)
