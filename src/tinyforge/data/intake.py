"""All rows of all sources into one store, with the few numbers a row that the split needs."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tinyforge.config.data import DataSettings
from tinyforge.data.columns import Columns
from tinyforge.data.examples import example_maker, time_key
from tinyforge.data.read import read_rows
from tinyforge.data.report import DataReport, FileCount
from tinyforge.data.similar import compared_text, normal_form, short_hash
from tinyforge.data.store import ExampleStore, StoreWriter
from tinyforge.data.survey import name_of, no_rows
from tinyforge.errors import DataError
from tinyforge.records.examples import Example
from tinyforge.records.rows import Rejected

PARTS = ("train", "validation", "test")
_SHOWN_PER_REASON = 3
_MOST_LABELS = 5_000


class Intake:
    """Takes rows in and keeps count.

    Attributes:
        texts: uint64 hash of each kept row's compared text, filled by ``finish``.
        rows: uint64 hash of the row as a whole.
        part: 0 for the training source, 1 for the validation file, 2 for the test file.
        labels: the names of the label numbers, in order of appearance.
        label_of: int64, each row's label number (a multi-label row's rarest), or 0.
        file: int32, the number of the file that each row comes from.
        group: int64, the number of each row's group, -1 for none; empty without a group column.
        time: float64, each row's time, 0 for none; empty without a time column.
    """

    def __init__(
        self,
        task: str,
        settings: DataSettings,
        work: Path,
        report: DataReport,
        *,
        check_labels: bool = True,
    ) -> None:
        self.task, self.settings, self.report = task, settings, report
        self.check_labels = check_labels
        self.characters = 0
        self.digest = hashlib.sha256()
        self.reasons: Counter[str] = Counter()
        self.first_bad: Rejected | None = None
        self._numbers: dict[str, int] = {}
        self._groups: dict[str, int] = {}
        self._text_hashes, self._row_hashes = array("Q"), array("Q")
        self._part, self._label_counts, self._labels = array("b"), array("i"), array("i")
        self._group, self._time = array("q"), array("d")
        self._files: dict[str, int] = {}
        self._file = array("i")
        self._writer = StoreWriter(work / "examples.bin")

    def add_source(self, source: Any, columns: Columns, part: int, rejected: IO[bytes]) -> None:
        """Read one source to its end.

        Raises:
            DataError: too few of its rows can be used.
        """
        count = FileCount(name_of(source), PARTS[part])
        self.report.files.append(count)
        if part > 0:
            roles = {k: v for k, v in columns.roles.items() if k not in ("group", "time")}
            columns = replace(columns, roles=roles)
        convert = example_maker(columns, self.task, self.settings, where=count.source)
        reasons: Counter[str] = Counter()
        first: Rejected | None = None
        for item in read_rows(source, self.settings):
            count.read += 1
            made = item if isinstance(item, Rejected) else convert(item)
            if isinstance(made, Rejected):
                count.rejected += 1
                reasons[made.reason] += 1
                first = first or made
                self._reject(made, reasons[made.reason], rejected)
            else:
                count.kept += 1
                self._keep(made, part)
        self.reasons += reasons
        self._check(count, source, reasons, first, part)

    def _keep(self, example: Example, part: int) -> None:
        self.digest.update(self._writer.append(example))
        text = compared_text(example)
        learnt = normal_form(f"{example.output or ''} {example.rejected or ''}")
        self.characters += len(text)
        self._text_hashes.append(short_hash(text))
        self._row_hashes.append(short_hash(f"{text}\n\n{learnt}"))
        self._part.append(part)
        self._file.append(self._files.setdefault(example.source.file, len(self._files)))
        if self.task == "classify":
            labels = example.labels
            names = labels if labels is not None else (example.output or "",)
            self._label_counts.append(len(names))
            for name in names:
                self._labels.append(self._numbers.setdefault(name, len(self._numbers)))
            if self.check_labels and len(self._numbers) > 10 * _MOST_LABELS:
                raise self._too_many_labels()
        if self.settings.group is not None:
            group = example.group
            number = -1 if group is None else self._groups.setdefault(group, len(self._groups))
            self._group.append(number)
        if self.settings.time is not None:
            self._time.append(0.0 if example.time is None else time_key(example.time))

    def _reject(self, bad: Rejected, nth: int, file: IO[bytes]) -> None:
        line = {
            "file": bad.source.file,
            "line": bad.source.line,
            "reason": bad.reason,
            "detail": bad.detail,
            "excerpt": bad.excerpt,
        }
        try:
            data = orjson.dumps(line)
        except TypeError:  # a lone surrogate in a file name or excerpt
            line = {k: _clean(v) if isinstance(v, str) else v for k, v in line.items()}
            data = orjson.dumps(line)
        file.write(data + b"\n")
        if nth <= _SHOWN_PER_REASON:
            self.report.first_rejected.append(line)

    def _check(
        self,
        count: FileCount,
        source: Any,
        reasons: Counter[str],
        first: Rejected | None,
        part: int,
    ) -> None:
        if not count.kept:
            raise no_rows(source, reasons, first)
        settings = self.settings
        share = count.rejected / count.read
        if share > settings.max_rejected_share and first is not None:
            reason, times = reasons.most_common(1)[0]
            hint = "Mend the rows, or allow it with --set data.max_rejected_share=1"
            if reason == "not valid UTF-8":
                hint = "Name the encoding, for example --set data.encoding=cp1252"
            raise DataError(
                f"{count.rejected:,} of {count.read:,} rows cannot be used, "
                f"{times:,} of them: {reason}",
                where=str(first.source),
                value=first.excerpt or None,
                fix=hint,
            )
        if part == 0 and count.kept < settings.min_rows:
            raise DataError(
                f"only {count.kept:,} of {count.read:,} rows can be used, "
                f"and at least {settings.min_rows:,} are needed",
                where=str(first.source) if first else count.source,
                fix="Give more rows, or set data.min_rows",
            )

    def finish(self) -> ExampleStore:
        """Close the store and make the numbers ready."""
        self.texts: NDArray[np.uint64] = np.frombuffer(self._text_hashes, dtype=np.uint64)
        self.rows: NDArray[np.uint64] = np.frombuffer(self._row_hashes, dtype=np.uint64)
        self.part: NDArray[np.int8] = np.frombuffer(self._part, dtype=np.int8)
        self.group: NDArray[np.int64] = np.frombuffer(self._group, dtype=np.int64)
        self.file: NDArray[np.int32] = np.frombuffer(self._file, dtype=np.int32)
        self.time: NDArray[np.float64] = np.frombuffer(self._time, dtype=np.float64)
        self.labels = list(self._numbers)
        if self.task == "classify":
            if self.check_labels:
                self._check_labels()
            self.label_of = self._strata()
        else:
            self.label_of = np.zeros(len(self.part), dtype=np.int64)
        report = self.report
        report.read = sum(file.read for file in report.files)
        report.kept = sum(file.kept for file in report.files)
        report.rejected = sum(file.rejected for file in report.files)
        report.reasons = dict(self.reasons.most_common())
        return self._writer.close()

    def _check_labels(self) -> None:
        rows, labels = len(self.part), len(self.labels)
        if labels > _MOST_LABELS or (rows > 100 and labels > rows / 2):
            raise self._too_many_labels()

    def _too_many_labels(self) -> DataError:
        return DataError(
            f"{len(self._numbers):,} different outputs in {len(self._part):,} rows are "
            "too many to be labels",
            where=self.report.files[0].source,
            fix="If the outputs are free text, use --task text2text",
        )

    def label_arrays(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """All label numbers one behind the other, and the row of each."""
        counts = np.frombuffer(self._label_counts, dtype=np.int32)
        numbers = np.frombuffer(self._labels, dtype=np.int32).astype(np.int64)
        return numbers, np.repeat(np.arange(len(counts), dtype=np.int64), counts)

    def _strata(self) -> NDArray[np.int64]:
        """Each row's label; of several the rarest; of none a number of its own."""
        numbers, rows = self.label_arrays()
        frequency = np.bincount(numbers, minlength=len(self.labels))
        strata = np.full(len(self.part), len(self.labels), dtype=np.int64)
        order = np.argsort(-frequency[numbers], kind="stable")  # the rarest is written last
        strata[rows[order]] = numbers[order]
        return strata

    def label_counts(self, indices: NDArray[np.int64]) -> dict[str, int]:
        """How often each label stands in these rows."""
        numbers, rows = self.label_arrays()
        chosen = np.zeros(len(self.part), dtype=bool)
        chosen[indices] = True
        counts = np.bincount(numbers[chosen[rows]], minlength=len(self.labels))
        return {self.labels[i]: int(counts[i]) for i in np.flatnonzero(counts)}


def take_in(
    sources: Sequence[tuple[Any, int]], columns: Columns, intake: Intake, rejected: Path | None
) -> ExampleStore:
    """Read all sources, given with their part, and write ``rejected`` as JSON Lines."""
    with ExitStack() as stack:
        path = rejected or Path(os.devnull)
        file = stack.enter_context(path.open("wb"))
        for source, part in sources:
            intake.add_source(source, columns, part, file)
    return intake.finish()


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def sort_labels(labels: Iterable[str]) -> tuple[str, ...]:
    """Labels in order; numbers by their value."""
    names = list(labels)
    if all(name.lstrip("-").isdecimal() for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names))
