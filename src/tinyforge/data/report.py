"""What happened to the user's rows, as plain values that go into the run's report."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass
class FileCount:
    """Rows of one source. ``read`` is ``kept`` plus ``rejected``."""

    source: str
    part: str
    read: int = 0
    kept: int = 0
    rejected: int = 0


@dataclass
class Conflicts:
    """Inputs that stand with different labels.

    Attributes:
        inputs: how many such inputs.
        rows: how many rows they make.
        examples: for the first of them, the input, its labels and where they stand.
    """

    inputs: int = 0
    rows: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Leaks:
    """Rows of a given test or validation file that also stand in the training data.

    Attributes:
        part: ``test`` or ``validation``.
        rows: rows of that file.
        exact: those whose text also stands in the training data.
        near: those with only a near-duplicate there.
        examples: ``file:line`` of the first of them.
    """

    part: str
    rows: int
    exact: int
    near: int
    examples: list[str] = field(default_factory=list)

    def sentence(self) -> str:
        """The finding in words."""
        found = self.exact + self.near
        return (
            f"{found:,} of {self.rows:,} {self.part} rows also stand in the training data "
            f"({self.exact:,} exactly, {self.near:,} nearly)"
        )


@dataclass(frozen=True)
class AbsentLabels:
    """Labels that one part of the split lacks for one reason.

    Attributes:
        part: ``train``, where they are held out and never learnt, or ``test``, where they are
            learnt and not asked for.
        labels: their names, in order.
        rows: those with them that are held out, or learnt.
        sentence: all of it in words, with the reason and what to do.
    """

    part: str
    labels: list[str]
    rows: int
    sentence: str


@dataclass
class DataReport:
    """All counts about the rows. ``read`` is ``kept`` plus ``rejected``.

    Attributes:
        task: the task the rows were read for.
        columns: convention, roles, unused columns and the sentence that says why.
        reasons: rejected rows by reason, the commonest first.
        first_rejected: the first rejected rows of each reason.
        duplicate_inputs: rows whose compared text stood in an earlier row.
        duplicate_rows: rows that repeat an earlier row as a whole.
        near_duplicates: rows with a near-duplicate that is not the same text.
        labels: rows by label, in each part of the split.
        absent_labels: labels that training or the test has no row of, and why.
        split: rows of train, validation and test, and ``dropped`` ones left out of training
            because a like row is held out.
        notes: sentences for the user.
        fingerprint: SHA-256 over the kept rows, the split and the data settings.
    """

    task: str
    columns: dict[str, Any]
    files: list[FileCount] = field(default_factory=list)
    read: int = 0
    kept: int = 0
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    first_rejected: list[dict[str, Any]] = field(default_factory=list)
    duplicate_inputs: int = 0
    duplicate_rows: int = 0
    near_duplicates: int = 0
    conflicts: Conflicts = field(default_factory=Conflicts)
    leaks: list[Leaks] = field(default_factory=list)
    labels: dict[str, dict[str, int]] = field(default_factory=dict)
    absent_labels: list[AbsentLabels] = field(default_factory=list)
    split: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    fingerprint: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Plain dictionaries and lists, fit for JSON."""
        return asdict(self)
