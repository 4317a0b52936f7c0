"""Labels that a part of the split lacks: which, why, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tinyforge.config.data import DataSettings
from tinyforge.data.intake import Intake, sort_labels
from tinyforge.data.report import AbsentLabels
from tinyforge.data.split import Indices, Split

_SHOWN = 5


def absent_labels(
    split: Split, intake: Intake, cluster: Indices, settings: DataSettings
) -> Iterator[AbsentLabels]:
    """Labels that are held out and never learnt, then those that are learnt and not in the test.

    Args:
        cluster: of every row; rows of one cluster never stand on two sides.
    """
    learnt = intake.label_counts(split.train)
    left_out = intake.label_counts(split.dropped)
    for part in ("validation", "test"):
        held = intake.label_counts(getattr(split, part))
        given = getattr(settings, part) is not None
        reasons = {
            label: _why_not_learnt(label in left_out, given, settings)
            for label in sort_labels(set(held) - set(learnt))
        }
        for (why, fix), labels in _by_reason(reasons):
            rows = sum(held[label] for label in labels)
            yield AbsentLabels(
                "train", labels, rows,
                f"labels of the {part} rows that never stand in training: {_listed(labels)} "
                f"({rows:,} rows); {why}. {fix}",
            )  # fmt: skip
    if not len(split.test):
        return
    tested = intake.label_counts(split.test)
    clusters = _clusters_of_labels(intake, cluster, np.concatenate([split.train, split.validation]))
    reasons = {
        label: _why_not_tested(learnt[label], clusters[label], settings)
        for label in sort_labels(set(learnt) - set(tested))
    }
    for (why, fix), labels in _by_reason(reasons):
        rows = sum(learnt[label] for label in labels)
        yield AbsentLabels(
            "test", labels, rows,
            f"labels without a row in the test: {_listed(labels)} ({rows:,} training rows); {why}. "
            f"The score says nothing about them. {fix}",
        )  # fmt: skip


Reason = tuple[str, str]
"""Why, and what to do."""


def _by_reason(reasons: Mapping[str, Reason]) -> list[tuple[Reason, list[str]]]:
    found: dict[Reason, list[str]] = {}
    for label, reason in reasons.items():
        found.setdefault(reason, []).append(label)
    return list(found.items())


def _why_not_learnt(left_out: bool, given: bool, settings: DataSettings) -> Reason:
    if left_out and given:
        return (
            "all their training rows are like rows of the given file, and are left out",
            "Give other training rows of them, or keep those: --set data.keep_leaks=true",
        )
    if left_out:
        return (
            "their earlier rows are near-duplicates of later ones, and are left out",
            "Give more varied rows of them, or count only exact repeats: "
            "--set data.near_duplicate=1",
        )
    if given:
        return (
            "no training row has them",
            "Give training rows of them, and see that they are spelt the same in both files",
        )
    return (
        f"they come up in the newest rows only (data.time={settings.time})",
        "Give older rows of them, or leave data.time out",
    )


def _why_not_tested(rows: int, clusters: int, settings: DataSettings) -> Reason:
    if settings.test is not None:
        return "the given test file has none", "Give test rows of them"
    if settings.time is not None:
        return (
            f"none is among the newest rows (data.time={settings.time})",
            "Give newer rows of them, or leave data.time out",
        )
    more = "Give more rows of them, or hold out more: --set data.test_share=0.2"
    if rows * settings.test_share < 1 or rows == 1:
        return "they have too few rows to spare one", more
    alike = "near-duplicates of one another"
    if settings.group is not None:
        alike += f" or share a group (data.group={settings.group})"
    if clusters == 1:
        return (
            f"all rows of such a label are {alike}, and those stay on one side",
            "Give more varied rows of them; --set data.near_duplicate=1 would count only exact "
            "repeats, and make the score too kind",
        )
    return f"their rows are {alike} in few large groups, and none is small enough", more


def _clusters_of_labels(intake: Intake, cluster: Indices, rows: Indices) -> dict[str, int]:
    """In how many clusters each label stands, among some rows."""
    numbers, of_row = intake.label_arrays()
    chosen = np.isin(of_row, rows)
    pairs = np.unique(np.stack([numbers[chosen], cluster[of_row[chosen]]], axis=1), axis=0)
    counts = np.bincount(pairs[:, 0], minlength=len(intake.labels))
    return dict(zip(intake.labels, counts.tolist(), strict=True))


def _listed(labels: Sequence[str]) -> str:
    more = len(labels) - _SHOWN
    return ", ".join(labels[:_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
