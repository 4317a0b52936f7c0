"""Score any model on the user's rows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.config.settings import Settings
from tinyforge.data.dataset import Dataset, load_dataset
from tinyforge.data.survey import survey
from tinyforge.errors import DataError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.report import describe
from tinyforge.evaluate.run import evaluate as score
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.inference.torch_model import TorchModel
from tinyforge.recipes.judge import every_ten_seconds
from tinyforge.recipes.rows import Rows

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Judgement:
    """A model's scores on some rows, and how they compare with another model's.

    Attributes:
        baseline: the other model's scores; None where none was given.
        verdict: which is better; None where there is nothing to compare with.
    """

    evaluation: Evaluation
    baseline: Evaluation | None
    verdict: Verdict | None

    def to_json(self) -> dict[str, Any]:
        """Everything, as plain data."""
        plain: dict[str, Any] = describe(self.evaluation)
        plain["metrics"] = {name: s.value for name, s in self.evaluation.scores.items()}
        if self.baseline is not None and self.verdict is not None:
            plain["baseline"] = describe(self.baseline)
            plain["verdict"] = self.verdict.word
            plain["sentence"] = self.verdict.sentence
        return plain

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
            if self.baseline is not None and name in self.baseline.scores:
                line += f"   {self.baseline.name}: {self.baseline.scores[name].value:.4f}"
            yield line
        yield from (f"  note: {note}" for note in ours.notes)


def evaluate(
    model: str | Path,
    data: Any,
    *,
    settings: Settings,
    baseline: str | Path | None = None,
) -> Judgement:
    """Score a model on all rows of ``data``; with ``baseline``, next to another on the same rows.

    Args:
        model: a run folder, any Hugging Face folder or a hub id.
        data: as for training; every good row is judged, bad ones are counted and named.

    Raises:
        TinyForgeError: the model cannot be read, or the rows do not fit it.
    """
    trust = settings.model.trust_remote_code
    load = partial(TorchModel.load, trust_remote_code=trust, settings=settings.generate)
    ours = load(model)
    theirs = load(baseline) if baseline is not None else None
    with tempfile.TemporaryDirectory(prefix="tinyforge-") as work:
        dataset = read_all(data, ours.task, settings, Path(work))
        rows = Rows(dataset.store, dataset.train)
        how: dict[str, Any] = {
            "task": ours.task.name, "multi_label": dataset.multi_label,
            "labels": getattr(ours, "labels", ()),
            "settings": settings.evaluate, "seed": settings.train.seed,
            "progress": every_ten_seconds(),
        }  # fmt: skip
        scored = score(ours, rows, name=str(model), **how)
        if theirs is None:
            return Judgement(scored, None, None)
        if theirs.task.name != ours.task.name:
            raise DataError(
                f"the baseline is a {theirs.task.name} model, the model a {ours.task.name} one",
                where=str(baseline), fix="Compare models of one task",
            )  # fmt: skip
        other = score(theirs, rows, name=str(baseline), **how)
        return Judgement(scored, other, judge(scored, {"baseline": other}))


def read_all(data: Any, task: Any, settings: Settings, work: Path) -> Dataset:
    """All good rows of ``data``, unsplit, read for a model's task."""
    chosen: dict[str, Any] = {"validation_share": 0.0, "test_share": 0.0, "min_rows": 1}
    if task.name == "classify" and settings.data.multi_label is None:
        chosen["multi_label"] = task.multi_label
    whole = settings.data.model_copy(update=chosen)
    seen = survey(data, whole)
    return load_dataset(
        data, seen.columns, task.name, whole, seed=settings.train.seed, work=work, training=False,
    )  # fmt: skip
