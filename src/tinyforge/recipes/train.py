"""The main job: from the user's rows to a trained, judged model in a folder."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.manifest import write_manifest
from tinyforge.artifacts.report import write_report
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.config.settings import Settings
from tinyforge.data.batch import evaluation_batches, training_batches
from tinyforge.errors import ConditionError
from tinyforge.evaluate.report import summary
from tinyforge.inference.validation import classification_validation, loss_validation
from tinyforge.models.lora import merge
from tinyforge.models.save import save_model
from tinyforge.recipes.judge import judge_run
from tinyforge.recipes.machine import versions
from tinyforge.recipes.setup import Setup, set_up
from tinyforge.train.fit import fit
from tinyforge.train.precision import forward_precision

if TYPE_CHECKING:
    from tinyforge.train.fit import Outcome
    from tinyforge.train.hooks import Listener

log = logging.getLogger("tinyforge")


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        output_dir: the folder that holds the model and, in ``tinyforge/``, its record.
        report: the verdict with everything behind it, as in ``tinyforge/report.json``.
    """

    output_dir: Path
    report: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """``better``, ``not better`` or ``cannot tell``."""
        return str(self.report["verdict"]["word"])

    def summary(self) -> str:
        """A few lines for a person."""
        return summary(self.report)

    def result(self) -> dict[str, Any]:
        """One flat object for a program; what ``tinyforge train --json`` prints."""
        return dict(self.report["result"])


def train(
    data: Any,
    *,
    settings: Settings,
    output_dir: Path,
    resume: bool = False,
    force: bool = False,
    require_better: bool = False,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Train on the user's rows, judge the result on unseen ones, and save both.

    Args:
        data: a path, a hub id, a pandas or polars frame, a ``datasets.Dataset`` or a list of rows.
        settings: what the user set; the rest is chosen and recorded in ``run.json``.
        output_dir: a new folder, or with ``resume`` one that an unfinished run left.
        force: replace what a former run left in ``output_dir``.
        require_better: raise where the verdict is not "better"; the model is saved all the same.
        listeners: told of every step, validation and event.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
        ConditionError: ``require_better`` does not hold.
        Interrupted: a signal came; the run can be resumed.
    """
    started = time.monotonic()
    with open_run(output_dir, resume=resume, force=force) as folder:
        if folder.finished:
            log.info(f"{output_dir} is finished already; nothing was done")
            run = Run(output_dir, read_json(folder.report))
        else:
            run = _train(data, settings, folder, resume, listeners, started)
    if require_better and run.verdict != "better":
        raise ConditionError(
            f"the verdict is {run.verdict!r}, and you asked for better",
            where=str(folder.report), fix="Read report.html for what would help",
        )  # fmt: skip
    return run


def _train(
    data: Any,
    settings: Settings,
    folder: RunFolder,
    resume: bool,
    listeners: Sequence[Listener],
    started: float,
) -> Run:
    work = folder.meta / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        setup = set_up(data, settings, work=work, rejected=folder.rejected)
        for reason in setup.reasons:
            log.info(reason)
        write_json(folder.run, describe(setup, data))
        outcome = learn(setup, folder, resume, listeners)
        model = merge(setup.loaded.model) if setup.settings.lora.enabled else setup.loaded.model
        save_model(
            setup.loaded.model, setup.loaded.tokenizer, folder.path, task_state=setup.task.state()
        )
        report = judge_run(setup, model, outcome, folder, seconds=time.monotonic() - started)
        write_report(folder.path, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    folder.finish()
    write_manifest(folder.path)
    return Run(folder.path, report)


def learn(setup: Setup, folder: RunFolder, resume: bool, listeners: Sequence[Listener]) -> Outcome:
    """Run the training loop; afterwards the model holds the best weights."""
    settings, task, check = setup.settings.train, setup.task, setup.validation
    batches = training_batches(
        setup.training, task, settings, max_length=setup.lengths.max_length
    )

    def validate(model: Any) -> dict[str, float]:
        assert check is not None  # fit is given no validation where there are no rows
        measure = classification_validation if task.name == "classify" else loss_validation
        with forward_precision(settings, model) if settings else contextlib.nullcontext():
            return measure(model, task, evaluation_batches(check, task))

    return fit(
        setup.loaded.model, task, batches, settings,
        folder=folder, evaluate=validate if check is not None else None,
        best_by=settings.best_by or "loss", resume=resume,
        identity=identity(setup), listeners=listeners,
    )  # fmt: skip


def identity(setup: Setup) -> dict[str, Any]:
    """What must be the same for a resumed run to go on as if it had never stopped."""
    chosen = setup.settings.model_dump(mode="json", exclude={"evaluate", "generate"})
    return {"settings": chosen, "data": setup.dataset.report.fingerprint}


def describe(setup: Setup, data: Any) -> dict[str, Any]:
    """The run's record: all that is needed to repeat it."""
    return {
        "data": str(data) if isinstance(data, str | Path) else f"<{type(data).__name__}>",
        "data_fingerprint": setup.dataset.report.fingerprint,
        "task": setup.task.name,
        "model": setup.loaded.name,
        "seed": setup.settings.train.seed,
        "settings": setup.settings.model_dump(mode="json"),
        "reasons": setup.reasons,
        "versions": versions(),
    }
