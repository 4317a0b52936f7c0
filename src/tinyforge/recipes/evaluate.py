"""Score any model on the user's rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.artifacts.files import write_text
from tinyforge.artifacts.report import render
from tinyforge.config.settings import Settings
from tinyforge.errors import FolderError, SettingError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.report import build_report, describe
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.recipes.exam import read_exam
from tinyforge.recipes.findings import findings_of_file
from tinyforge.recipes.lm_eval import Benchmarks, is_benchmark, run_benchmarks
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.models import knows_some, labels_of, open_model, score_rivals
from tinyforge.recipes.prompting import ask_for


@dataclass(frozen=True)
class Judgement:
    """A model's scores on some rows, and how they compare with other models'.

    Attributes:
        baselines: name -> another model's scores on the same rows.
        verdict: whether the model beats them all; None where there is nothing to compare with.
        report: everything as plain data; what ``--report`` shows.
    """

    evaluation: Evaluation
    baselines: Mapping[str, Evaluation]
    verdict: Verdict | None
    report: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        plain: dict[str, Any] = describe(self.evaluation)
        plain["metrics"] = {name: s.value for name, s in self.evaluation.scores.items()}
        plain["baselines"] = {name: describe(other) for name, other in self.baselines.items()}
        if self.verdict is not None:
            plain["verdict"] = self.verdict.word
            plain["sentence"] = self.verdict.sentence
        return plain | {"findings": self.report["findings"]}

    def summary(self) -> str:
        """A few lines for a person."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        ours = self.evaluation
        if self.verdict is not None:
            yield self.verdict.sentence
        yield f"{ours.name} on {ours.sample.rows:,} rows:"
        for name, value in ours.scores.items():
            line = f"  {name:22} {value.value:8.4f}   95 % {value.low:.4f} to {value.high:.4f}"
            for other in self.baselines.values():
                if name in other.scores:
                    line += f"   {other.name}: {other.scores[name].value:.4f}"
            yield line
        yield from (f"  note: {note}" for note in ours.notes)


def evaluate(
    model: str | Path,
    data: Any,
    *,
    settings: Settings,
    baseline: str | Path | Sequence[str | Path] | None = None,
    prompt: Any = None,
    report: Path | None = None,
) -> Judgement | Benchmarks:
    """Score a model on all rows of ``data``; with ``baseline``, next to others on the same rows.

    Args:
        model: a run folder, any Hugging Face folder or a hub id.
        data: as for training; every good row is judged, bad ones are counted and named. Or
            ``lm-eval:TASK``, tasks of the lm-evaluation-harness; see ``run_benchmarks``.
        baseline: another model, or several, beside those in ``evaluate.baseline_models``.
        prompt: how to put the rows to the model; see ``load``.
        report: an HTML file to write.

    Raises:
        TinyForgeError: the model cannot be read, or the rows do not fit it.
    """
    if is_benchmark(data):
        _refuse_beside_benchmark(baseline=baseline, prompt=prompt, report=report)
        return run_benchmarks(model, data, settings)
    writable(report)
    started = time.monotonic()
    ours = open_model(model, settings, prompt)
    names = _several(baseline) + list(settings.evaluate.baseline_models)
    with tempfile.TemporaryDirectory(prefix="tinyforge-") as work:
        exam = read_exam(data, ours.task, settings, Path(work))
        task = None if exam.kind is not None else ours.task
        if task is not None:
            ours = ask_for(ours, task, exam.found)
            knows_some(str(model), labels_of(ours.task), exam.found)
        labels = labels_of(ours.task)
        scored = exam.score(ours, str(model), labels)
        others = score_rivals(
            names, task, settings, lambda rival, name: exam.score(rival, name, labels)
        )
        verdict = judge(scored, others, unseen=False)
        findings = findings_of_file(
            ours, scored, exam.rows, others, verdict if others else None,
            settings=settings, work=Path(work),
        )  # fmt: skip
        content = build_report(
            task=scored.task, output_dir="",
            model={**ours.info(), "name": str(model)},
            settings=settings.model_dump(mode="json"), data=exam.report, training={},
            evaluation=scored, baselines=others, verdict=verdict,
            timings={"judging": scored.seconds, "total": time.monotonic() - started},
            machine=describe_machine(), findings=findings.to_json(),
            command=_command(model, data, names),
        )  # fmt: skip
    if report is not None:
        write_text(report, render(content))
    return Judgement(scored, others, verdict if others else None, content)


def writable(*files: Path | None) -> None:
    """Raise FolderError for a file whose folder is not there: better now than after the work."""
    for file in files:
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            what = "is a folder" if file.is_dir() else "lies in a folder that does not exist"
            raise FolderError(what, where=str(file), fix="Give the name of a file to write")


def _refuse_beside_benchmark(**options: Any) -> None:
    for name, value in options.items():
        if value:
            raise SettingError(
                "has no effect on tasks of lm-eval, which have prompts and metrics of their own",
                where=name, value=str(value), fix="Leave it out",
            )  # fmt: skip


def _several(baseline: str | Path | Sequence[str | Path] | None) -> list[str]:
    if baseline is None:
        return []
    return [str(baseline)] if isinstance(baseline, str | Path) else [str(b) for b in baseline]


def _command(model: str | Path, data: Any, baselines: Sequence[str]) -> str:
    rows = str(data) if isinstance(data, str | Path) else f"<{type(data).__name__}>"
    more = [f"--baseline {name}" for name in baselines]
    return " ".join(["tinyforge evaluate", str(model), rows, *more])
