"""The rows that an export is judged on, and those that a smaller model is adjusted to."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tinyforge.artifacts.files import read_json
from tinyforge.config.export import ExportRunSettings
from tinyforge.config.names import explicit
from tinyforge.config.settings import Settings
from tinyforge.corpus.parts import open_parts, passages
from tinyforge.corpus.prepared import is_prepared
from tinyforge.data.some_rows import Rows
from tinyforge.errors import DataError, FolderError, TinyForgeError
from tinyforge.export.gate.questions import spread_out
from tinyforge.recipes.exam import Exam, read_exam
from tinyforge.recipes.models import knows_some, labels_of
from tinyforge.recipes.pretrain_judge import PASSAGE, unseen_passages
from tinyforge.recipes.run_rows import dataset_of_run
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source

log = logging.getLogger("tinyforge")

JUDGED_AS = ("max_rows", "join_references", "metrics", "window", "stride", "bootstrap_samples")
"""Settings of ``evaluate`` that a run was judged with, and that its export is judged with too."""


@dataclass(frozen=True)
class Judging:
    """What an export is judged on.

    Attributes:
        exam: the rows, and how answers to them are scored.
        calibration: rows that the judged ones are not among; maybe none.
        where: the judged rows, in words.
        expected: fingerprint that the judged rows have to have, where it is still to be seen
            whether they are those of the run's verdict; else empty.
    """

    exam: Exam
    calibration: Sequence[Example]
    where: str
    expected: str = ""


def rows_for(source: Any, data: Any, settings: ExportRunSettings, work: Path) -> Judging:
    """The run's own test rows, or the user's.

    Args:
        source: the model; a ``TorchModel``.
        data: as for ``evaluate``; None: the test rows of the run that the model is from.
        work: an empty folder that outlives the rows.

    Raises:
        DataError: there are no rows, or not the ones that the run was judged on.
    """
    record = _record(source.path)
    if data is not None:
        return _given(source, data, settings, record, work)
    if record is None:
        raise DataError(
            "this model is not from a run of TinyForge, so there are no test rows to judge its "
            "export on", where=str(source.name),
            fix="Give rows with their answers that it has not learnt from: --data FILE",
        )  # fmt: skip
    if record.get("verb") == "pretrain":
        return _unseen_text(source, record, settings)
    return _own(source, record, settings, work)


def _record(folder: Path | None) -> Mapping[str, Any] | None:
    path = None if folder is None else folder / "tinyforge" / "run.json"
    if path is None or not path.is_file():
        return None
    found = read_json(path)
    return found if isinstance(found, dict) else None


def _own(
    source: Any, record: Mapping[str, Any], settings: ExportRunSettings, work: Path
) -> Judging:
    """The test part of the rows that the run was made from, split as it was."""
    with _silent():
        try:
            dataset = dataset_of_run(record, work / "own", any_version=True)
        except (KeyError, TypeError, ValueError, TinyForgeError) as error:
            raise gone(source, record, str(error)) from error
    same = dataset is not None and dataset.report.fingerprint == record["data_fingerprint"]
    expected = "" if same else _of_verdict(source.path)
    if dataset is None or not (same or expected):
        raise gone(source, record, None)
    if not len(dataset.test):
        raise DataError(
            "the run kept no test rows", where=str(source.path),
            fix="Give rows with their answers that it has not learnt from: --data FILE",
        )  # fmt: skip
    exam = Exam(
        Rows(dataset.store, dataset.test), dataset.task, None, dataset.multi_label,
        dataset.labels, dataset.report.as_dict(), _as_judged(settings, record),
    )  # fmt: skip
    calibration = spread_out(Rows(dataset.store, dataset.train), settings.export.calibration_rows)
    where = f"the run's own {len(dataset.test):,} test rows"
    return Judging(exam, calibration, where, expected)


def _of_verdict(folder: Path) -> str:
    """The fingerprint of the rows that a run's verdict was reached on; empty where unknown."""
    try:
        report = read_json(folder / "tinyforge" / "report.json")
        return str(report["evaluation"]["sample"]["fingerprint"])
    except (FolderError, KeyError, TypeError):
        return ""


def _given(
    source: Any, data: Any, settings: ExportRunSettings, record: Mapping[str, Any] | None,
    work: Path,
) -> Judging:  # fmt: skip
    judging = settings.judging()
    exam = read_exam(data, source.task, judging, work / "given")
    if exam.kind is None:
        knows_some(str(source.name), labels_of(source.task), exam.found)
    calibration = _training_rows(record, settings, work)
    rows = exam.rows
    if not calibration and exam.kind is None and _adjusts(settings):
        rows, calibration = _apart(rows, settings.export.calibration_rows)
    if not len(rows):
        raise DataError("there are no rows to judge on", where=str(data)[:200])
    # Of a path only its end: where it lies here says nothing elsewhere, where the export will be.
    named = Path(data).name if isinstance(data, str | Path) else f"<{type(data).__name__}>"
    exam = Exam(rows, exam.task, exam.kind, exam.multi_label, exam.found, exam.report, judging)
    return Judging(exam, calibration, f"{len(rows):,} rows of {named}")


def _adjusts(settings: ExportRunSettings) -> bool:
    """Whether what is made may be adjusted to rows."""
    chosen = settings.export
    return chosen.format == "onnx" and chosen.precision in ("int8", "int4", "auto")


def _training_rows(
    record: Mapping[str, Any] | None, settings: ExportRunSettings, work: Path
) -> list[Example]:
    """Rows that the run learnt from, where they are still there."""
    if record is None or "data_fingerprint" not in record or record.get("verb") == "pretrain":
        return []
    with _silent():
        try:
            dataset = dataset_of_run(record, work / "learnt")
        except (KeyError, TypeError, ValueError, TinyForgeError):
            return []
    if dataset is None:
        return []
    return spread_out(Rows(dataset.store, dataset.train), settings.export.calibration_rows)


def _apart(rows: Sequence[Example], most: int) -> tuple[Sequence[Example], list[Example]]:
    """Every fifth row, at most so many, to adjust to; the others to judge on."""
    numbers = np.arange(len(rows))
    chosen = numbers[4::5]
    if len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(int)]
    judged = np.setdiff1d(numbers, chosen)
    return Rows(rows, judged), [rows[int(place)] for place in chosen]


def _unseen_text(source: Any, record: Mapping[str, Any], settings: ExportRunSettings) -> Judging:
    """The test part of the corpus that a run was pretrained on."""
    from tinyforge.config.pretrain import PretrainRunSettings

    own = source.path / "tinyforge" / "corpus"
    try:
        asked = record["asked"]
        chosen = PretrainRunSettings.model_validate(asked["settings"])
        sources = [str(own)] if is_prepared(own) else list(asked["corpus"])
        corpus, held_out = open_parts(
            sources, chosen.prepare.read, held_share=chosen.pretrain.held_share
        )
    except (KeyError, TypeError, ValueError, TinyForgeError) as error:
        raise gone(source, record, str(error)) from error
    if corpus.fingerprint != record.get("data_fingerprint"):
        raise gone(source, record, None)
    examples, _ = unseen_passages(corpus, chosen.pretrain.test_characters)
    if not examples:
        raise DataError(
            "the run kept no text to test on", where=str(source.path),
            fix="Give text that it has not learnt from: --data FILE",
        )  # fmt: skip
    exam = Exam(
        examples, "language-model", None, False, (), {"kept": len(examples)},
        _as_judged(settings, record),
    )  # fmt: skip
    found = passages(
        lambda: islice(corpus.documents("train"), 200), characters=PASSAGE,
        limit=PASSAGE * settings.export.calibration_rows,
    )  # fmt: skip
    learnt = [
        Example(output=text, source=Source(document.id, number))
        for number, (document, text) in enumerate(found, start=1)
    ]
    where = f"{len(examples):,} passages of the run's own test part ({held_out})"
    return Judging(exam, learnt, where)


def _as_judged(settings: ExportRunSettings, record: Mapping[str, Any]) -> Settings:
    """The settings that the run was judged with; what the user gives now wins."""
    judging = settings.judging()
    saved = record.get("settings", {}).get("evaluate", {})
    given = {name.partition(".")[2] for name in explicit(settings) if name.startswith("evaluate.")}
    kept = {
        name: tuple(saved[name]) if isinstance(saved[name], list) else saved[name]
        for name in JUDGED_AS
        if name in saved and name not in given
    }
    seed = record.get("seed")
    train = judging.train.model_copy(update={} if seed is None else {"seed": int(seed)})
    return judging.model_copy(
        update={"evaluate": judging.evaluate.model_copy(update=kept), "train": train}
    )


def gone(source: Any, record: Mapping[str, Any], why: str | None) -> DataError:
    """What to raise where a run's rows cannot be had."""
    data = record.get("data") or ", ".join(record.get("asked", {}).get("corpus", ()))
    return DataError(
        "the rows that this run was made from are gone, or are no longer the same",
        where=str(source.path), value=f"{data}: {why}" if why else data or None,
        fix="Call it from the folder where it was trained, or give rows with their answers that "
        "the model has not learnt from: --data FILE",
    )  # fmt: skip


@contextmanager
def _silent() -> Iterator[None]:
    """What is to be said of the rows was said in training."""
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
