"""The user's rows, checked, deduplicated, split and stored."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.data import DataSettings
from tinyforge.data.absent_labels import absent_labels
from tinyforge.data.columns import Columns
from tinyforge.data.duplicates import Clusters, find_clusters, join_groups
from tinyforge.data.intake import PARTS, Intake, sort_labels, take_in
from tinyforge.data.read import is_plain_text
from tinyforge.data.report import DataReport, Leaks
from tinyforge.data.similar import compared_text
from tinyforge.data.split import (
    SMALLEST,
    Indices,
    Split,
    merge,
    nowhere,
    ordered_split,
    random_split,
    without_repeats,
)
from tinyforge.data.store import ExampleStore
from tinyforge.errors import DataError
from tinyforge.records.examples import Example

_log = logging.getLogger("tinyforge")
_SHOWN = 3
_ENOUGH_TO_VALIDATE = 500
"""Rows that tell well enough when to stop."""


@dataclass(frozen=True)
class Dataset:
    """Examples on disk and which part each belongs to.

    Attributes:
        store: all kept examples.
        train, validation, test: int64 numbers of examples in the store, sorted; no two parts
            share an example, an exact or a near-duplicate.
        labels: labels of the training and validation rows, in order (classify only).
        multi_label: whether an example may carry several labels.
        columns: how the columns were understood.
        task: what the examples were made for.
        report: all counts.
    """

    store: ExampleStore
    train: Indices
    validation: Indices
    test: Indices
    labels: tuple[str, ...]
    multi_label: bool
    columns: Columns
    task: str
    report: DataReport

    def part(self, name: str) -> Indices:
        """The numbers of ``train``, ``validation`` or ``test``."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[name]

    def examples(self, name: str) -> Iterator[Example]:
        """The examples of a part, read one by one."""
        return (self.store[int(index)] for index in self.part(name))


def load_dataset(
    source: Any,
    columns: Columns,
    task: str,
    settings: DataSettings,
    *,
    seed: int,
    work: Path,
    rejected: Path | None = None,
    training: bool = True,
) -> Dataset:
    """Read all rows, turn bad ones away, find duplicates and split leak-safe.

    Args:
        source: what ``read_rows`` takes; ``settings.validation`` and ``settings.test`` name more.
        columns: from ``survey``.
        task: classify, text2text, instruct, language-model or preference.
        seed: equal seeds give equal splits.
        work: folder for the store; it is made, and must stay as long as the result is used.
        rejected: where rejected rows are written as JSON Lines.
        training: False takes all rows as they are, for judging a model on them: labels are not
            checked, near-duplicates are not looked for, other files that the settings name are
            left alone, and all rows come as ``train``.

    Raises:
        DataError: too few rows are left, or they do not fit the task.
    """
    work.mkdir(parents=True, exist_ok=True)
    report = DataReport(task, {**asdict(columns), "unused": list(columns.unused)})
    sources: list[tuple[Any, int]] = [(source, 0)]
    for part, path in enumerate((settings.validation, settings.test), 1):
        if training and path is not None:
            sources.append((path, part))
    intake = Intake(task, settings, work, report, check_labels=training)
    store = take_in(sources, columns, intake, rejected)
    threshold = settings.near_duplicate if training else 1.0
    clusters = _clusters(intake, store, threshold, work / "duplicates")
    _count_duplicates(report, intake, clusters, store)
    report.notes += clusters.notes
    plain = task == "language-model" and is_plain_text(source, settings)
    if training:
        split = _split(intake, clusters, settings, report, store, seed=seed, plain=plain)
    else:
        split = Split(np.arange(len(store)), nowhere(), nowhere(), nowhere())
    if not len(split.train):
        raise _nothing_to_train_on(settings, report)
    labels = _labels(intake, split, report) if task == "classify" else ()
    if training and task == "classify":
        _check_labels(labels, report)
    report.notes += split.notes
    report.split = {part: len(getattr(split, part)) for part in (*PARTS, "dropped")}
    report.fingerprint = _fingerprint(intake, split, settings, report, seed)
    for note in report.notes:
        _log.info(note)
    return Dataset(
        store, split.train, split.validation, split.test, labels,
        columns.multi_label and task == "classify", columns, task, report,
    )  # fmt: skip


def _clusters(intake: Intake, store: ExampleStore, threshold: float, scratch: Path) -> Clusters:
    found = find_clusters(
        intake.texts,
        lambda row: compared_text(store[row]),
        intake.characters,
        threshold,
        scratch,
    )
    shutil.rmtree(scratch, ignore_errors=True)
    return found


def _nothing_to_train_on(settings: DataSettings, report: DataReport) -> DataError:
    where = report.files[0].source
    if settings.test is not None or settings.validation is not None:
        return DataError(
            "no training rows are left: all of them repeat rows of the given files", where=where,
            fix="Give other rows, or keep them with --set data.keep_leaks=true",
        )  # fmt: skip
    return DataError(
        "no training rows are left: each has a near-duplicate in the part that is held out",
        where=where,
        fix="Give more varied rows, or count only exact repeats: --set data.near_duplicate=1",
    )


def _count_duplicates(
    report: DataReport, intake: Intake, clusters: Clusters, store: ExampleStore
) -> None:
    rows = len(intake.texts)
    report.duplicate_inputs = rows - len(np.unique(intake.texts))
    report.duplicate_rows = rows - len(np.unique(intake.rows))
    report.near_duplicates = clusters.near
    if report.task != "classify":
        return
    pairs = np.unique(np.stack([clusters.exact.astype(np.uint64), intake.rows], axis=1), axis=0)
    versions = np.bincount(pairs[:, 0].astype(np.int64))
    conflicting = versions[clusters.exact] > 1
    found = report.conflicts
    found.inputs, found.rows = int((versions > 1).sum()), int(conflicting.sum())
    texts = np.unique(clusters.exact[conflicting], return_index=True)[1]
    for first in np.sort(np.flatnonzero(conflicting)[texts])[:_SHOWN]:
        same = np.flatnonzero(clusters.exact == clusters.exact[first])
        examples = [store[int(row)] for row in same[:20]]
        found.examples.append(
            {
                "input": examples[0].input[:200],
                "labels": sorted({example.output or "" for example in examples}),
                "where": [str(example.source) for example in examples[:5]],
            }
        )


def _split(
    intake: Intake,
    clusters: Clusters,
    settings: DataSettings,
    report: DataReport,
    store: ExampleStore,
    *,
    seed: int,
    plain: bool,
) -> Split:
    """Split the training source, and put the given files in place of the parts they are for."""
    cluster = clusters.cluster
    if settings.group is not None:
        cluster = join_groups(cluster, intake.group)
    pool, validation, test = (np.flatnonzero(intake.part == part) for part in range(3))
    dropped = nowhere()
    for part, rows in ((1, validation), (2, test)):
        if len(rows):
            report.leaks.append(_leaks(PARTS[part], rows, pool, clusters, store))
            report.notes.append(report.leaks[-1].sentence())
    if not settings.keep_leaks:
        kept = without_repeats(pool, validation, test, cluster)
        pool, validation, dropped = kept.train, kept.validation, kept.dropped
        if len(dropped):
            who = "training" if settings.validation is None else "training and validation"
            report.notes.append(f"{len(dropped):,} {who} rows like them are left out")
    shares = {
        "validation_share": _validation_share(settings, len(pool)),
        "test_share": 0.0 if settings.test is not None else settings.test_share,
    }
    if not len(pool) or not any(shares.values()):
        split = Split(pool, nowhere(), nowhere(), nowhere())
    elif settings.time is not None:
        keys = [pool.astype(np.float64), intake.time[pool]]
        split = ordered_split(pool, keys, cluster, **shares)
    elif plain:
        split = _contiguous(pool, intake, cluster, shares)
    else:
        split = random_split(
            pool, cluster, intake.label_of, seed=seed, labels=_labels_of_rows(intake), **shares
        )
    if len(split.dropped):
        split.notes.append(
            f"{len(split.dropped):,} rows are left out: a near-duplicate stands in a later part"
        )
    if settings.validation is not None:
        split.validation = validation
    if settings.test is not None:
        split.test = test
    split.dropped = np.sort(np.concatenate([split.dropped, dropped]))
    if report.task == "classify" and len(split.train):
        report.absent_labels = list(absent_labels(split, intake, cluster, settings))
        split.notes += [absent.sentence for absent in report.absent_labels]
    return split


def _labels_of_rows(intake: Intake) -> Indices | None:
    """Row and label of each; None where there are no labels."""
    if intake.task != "classify":
        return None
    numbers, rows = intake.label_arrays()
    return np.stack([rows, numbers], axis=1)


def _validation_share(settings: DataSettings, rows: int) -> float:
    """As the user said, else the usual share of a few rows, and of many rows no more than enough:
    each that is held out is one less to learn from."""
    if settings.validation is not None:
        return 0.0
    share = settings.validation_share
    if "validation_share" in settings.model_fields_set or not rows:
        return share
    return min(share, _ENOUGH_TO_VALIDATE / rows)


def _contiguous(
    pool: Indices, intake: Intake, cluster: NDArray[np.int64], shares: dict[str, float]
) -> Split:
    """The end of each text file is held out; small files are taken together."""
    files = intake.file[pool].astype(np.int64)
    sizes = np.bincount(files)
    files[sizes[files] < SMALLEST] = -1
    return merge(
        ordered_split(rows, [rows], cluster, **shares)
        for file in np.unique(files)
        if len(rows := pool[files == file])
    )


def _leaks(
    part: str, rows: Indices, pool: Indices, clusters: Clusters, store: ExampleStore
) -> Leaks:
    exact = np.isin(clusters.exact[rows], clusters.exact[pool])
    near = np.isin(clusters.cluster[rows], clusters.cluster[pool]) & ~exact
    shown = [str(store[int(row)].source) for row in rows[exact | near][:_SHOWN]]
    return Leaks(part, len(rows), int(exact.sum()), int(near.sum()), shown)


def _labels(intake: Intake, split: Split, report: DataReport) -> tuple[str, ...]:
    counts = {part: intake.label_counts(getattr(split, part)) for part in PARTS}
    labels = sort_labels({*counts["train"], *counts["validation"]})
    report.labels = {part: {k: counts[part].get(k, 0) for k in labels} for part in PARTS}
    return labels


def _check_labels(labels: tuple[str, ...], report: DataReport) -> None:
    if len(labels) >= (1 if report.columns["multi_label"] else 2):
        return
    raise DataError(
        f"there is only one label, {labels[0]!r}" if labels else "no row has a label",
        where=report.files[0].source,
        fix="Give rows with at least two labels, or name the label column with "
        "--set data.output=NAME",
    )


def _fingerprint(
    intake: Intake, split: Split, settings: DataSettings, report: DataReport, seed: int
) -> str:
    digest = intake.digest.copy()
    for part in PARTS:
        digest.update(np.ascontiguousarray(getattr(split, part)).tobytes() + b"|")
    settings_text = settings.model_dump_json(exclude={"validation", "test", "licence"})
    digest.update(f"{report.task} {seed} {report.columns['roles']} {settings_text}".encode())
    return digest.hexdigest()
