"""Which of several models is best on the user's rows, what changed between them, at what cost."""

from __future__ import annotations

import json
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.artifacts.compare_page import render_comparison
from tinyforge.artifacts.files import write_text
from tinyforge.artifacts.words import bytes_text, duration_text
from tinyforge.config.settings import Settings
from tinyforge.errors import SettingError
from tinyforge.evaluate.compared import build_comparison, changed_rows
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.pairs import Ranking, rank
from tinyforge.evaluate.run import BY_LIKELIHOOD
from tinyforge.recipes.cost import Cost, MemoryMeter, disk_bytes, measure_speed
from tinyforge.recipes.evaluate import writable
from tinyforge.recipes.exam import Exam, read_exam
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.models import knows_some, labels_of, open_model, same_task


@dataclass(frozen=True)
class Compared:
    """Several models beside each other.

    Attributes:
        evaluations: name -> scores, in the order in which the models were given.
        costs: name -> size, time and memory.
        ranking: which is better than which.
        report: all of it as plain data; what ``tinyforge compare --json`` prints.
    """

    evaluations: dict[str, Evaluation]
    costs: dict[str, Cost]
    ranking: Ranking
    report: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """What the best of the others is beside the first model: ``better``, ``worse``, ``alike``
        or ``cannot tell``."""
        return self.ranking.word

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        return dict(self.report)

    def summary(self) -> str:
        """A few lines for a person."""
        lines = textwrap.wrap(self.ranking.sentence, 100)
        return "\n".join([*lines, "", *self._table(), "", *self._changes()])

    def _table(self) -> Iterator[str]:
        rows = [("", self.report["metrics"][self.ranking.metric]["title"], "95 % interval",
                 "size", "one row", "rows/s", "memory")]  # fmt: skip
        shown = {model["name"]: model for model in self.report["models"]}
        for name in self.ranking.order:
            value, cost = shown[name]["scores"][self.ranking.metric], self.costs[name]
            rows.append((
                f"{self.ranking.ranks[name]}. {name}", value["text"], value["interval"],
                bytes_text(cost.disk_bytes), duration_text(cost.speed.median),
                f"{cost.speed.rows_per_second:,.0f}", bytes_text(cost.peak_memory),
            ))  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        for row in rows:
            cells = [row[0].ljust(widths[0])]
            cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
            yield "  " + "  ".join(cells).rstrip()

    def _changes(self) -> Iterator[str]:
        for pair in self.ranking.pairs:
            flips = pair.flips
            gained, lost = ("right", "wrong") if flips.right_or_wrong else ("better", "worse")
            yield (
                f"{pair.after} beside {pair.before}: {pair.word}; {len(flips.gained):,} rows now "
                f"{gained}, {len(flips.lost):,} now {lost}, {flips.same:,} as before; p = "
                f"{pair.adjusted_p:.3g}" + (" (Holm)" if len(self.ranking.pairs) > 1 else "")
            )


def compare(
    models: Sequence[str | Path],
    data: Any,
    *,
    settings: Settings,
    report: Path | None = None,
    changes: Path | None = None,
) -> Compared:
    """Score every model on all rows of ``data`` and compare every two of them.

    Each model is loaded alone, so that its memory can be seen.

    Args:
        models: at least two run folders, Hugging Face folders or hub ids of one task; the first
            is what the others are shown against.
        data: as for training; every good row is judged.
        report: an HTML file to write.
        changes: a JSON-lines file to write: every row that one model answers better than the
            first one, or worse, with both answers.

    Raises:
        TinyForgeError: fewer than two models, models of different tasks, labels that a model
            does not know, or what ``evaluate`` raises.
    """
    if len(models) < 2:
        raise SettingError(
            "one model alone cannot be compared", value=", ".join(map(str, models)) or None,
            fix="Give two or more models, then the rows; evaluate scores a single one",
        )  # fmt: skip
    writable(report, changes)
    names = _names(models)
    tasks = {
        name: open_model(path, settings).task for name, path in zip(names, models, strict=True)
    }
    evaluations: dict[str, Evaluation] = {}
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory(prefix="tinyforge-") as work:
        exam = read_exam(data, tasks[names[0]], settings, Path(work))
        labels = _common_labels(tasks, exam)
        for name, path in zip(names, models, strict=True):
            evaluations[name], costs[name] = _measure(path, name, exam, settings, labels)
        ranking = rank(evaluations)
        content = build_comparison(
            evaluations, ranking, exam.rows, costs={n: c.to_json() for n, c in costs.items()},
            data=exam.report, machine=describe_machine(),
            command=" ".join(["tinyforge compare", *map(str, models), str(data)[:500]]),
        )  # fmt: skip
        if changes is not None:
            _write_changes(changes, ranking, evaluations, exam)
    if report is not None:
        write_text(report, render_comparison(content))
    return Compared(evaluations, costs, ranking, content)


def _common_labels(tasks: Mapping[str, Any], exam: Exam) -> tuple[str, ...]:
    """The labels of all models together, sorted.

    Raises:
        DataError: the models cannot be asked the same things, or one knows no label of the rows.
    """
    if exam.kind is not None:
        return ()
    first, *others = tasks
    for name in others:
        same_task(tasks[first], tasks[name], name)
    for name, task in tasks.items():
        knows_some(name, labels_of(task), exam.found)
    return tuple(sorted({label for task in tasks.values() for label in labels_of(task)}))


def _measure(
    path: str | Path, name: str, exam: Exam, settings: Settings, labels: Sequence[str]
) -> tuple[Evaluation, Cost]:
    """One model's scores and costs; it is gone from memory afterwards."""
    meter = MemoryMeter()
    model = open_model(path, settings)
    found = exam.score(model, name, labels)
    by_likelihood = exam.kind is not None or exam.task in BY_LIKELIHOOD
    asked = getattr(model, "log_likelihoods" if by_likelihood else "predict_examples")
    return found, Cost(
        parameters=model.info()["parameters"], disk_bytes=disk_bytes(model.path),
        speed=measure_speed(asked, exam.rows), peak_memory=meter.peak(),
        device=model.device, threads=model.threads,
    )  # fmt: skip


def _names(models: Sequence[str | Path]) -> list[str]:
    """The models' names; one that comes twice is numbered."""
    names: list[str] = []
    for model in map(str, models):
        name, count = model, 1
        while name in names:
            count += 1
            name = f"{model} ({count})"
        names.append(name)
    return names


def _write_changes(
    path: Path, ranking: Ranking, evaluations: dict[str, Evaluation], exam: Exam
) -> None:
    lines = []
    first = next(iter(evaluations))
    for pair in ranking.pairs:
        if pair.before == first:
            for row in changed_rows(pair, evaluations, exam.rows):
                named = {"models": [pair.before, pair.after], **row}
                lines.append(json.dumps(named, ensure_ascii=False) + "\n")
    write_text(path, "".join(lines))
