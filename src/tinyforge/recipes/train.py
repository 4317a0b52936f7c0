"""The main job: from the user's rows to a trained, judged model in a folder."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.reference import write_reference
from tinyforge.artifacts.report import summary, write_report
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.config.names import explicit, value_of
from tinyforge.config.settings import Settings
from tinyforge.data.batch import evaluation_batches, training_batches
from tinyforge.errors import ConditionError
from tinyforge.evaluate.report import build_report
from tinyforge.inference.validation import classification_validation, loss_validation
from tinyforge.models.lora import merge
from tinyforge.models.save import save_model
from tinyforge.recipes.alarms import check_alarm
from tinyforge.recipes.cost import disk_bytes
from tinyforge.recipes.energy import Energy, EnergyMeter
from tinyforge.recipes.judge import Judged, judge_model
from tinyforge.recipes.learning_curve import announce, learning_curve
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.models import check_rivals
from tinyforge.recipes.reference import reference_of_run
from tinyforge.recipes.setup import Setup, set_up
from tinyforge.train import contention
from tinyforge.train.fit import fit
from tinyforge.train.precision import forward_precision

if TYPE_CHECKING:
    from tinyforge.train.hooks import Listener, Outcome

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

    def require_better(self) -> None:
        """Raises ConditionError unless the verdict is ``better``."""
        if self.verdict != "better":
            raise ConditionError(
                f"the verdict is {self.verdict!r}, and you asked for better",
                where=str(self.output_dir / "tinyforge" / "report.html"),
                fix="Read there what would help",
            )

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
    if require_better:
        run.require_better()
    return run


def _train(
    data: Any,
    settings: Settings,
    folder: RunFolder,
    resume: bool,
    listeners: Sequence[Listener],
    started: float,
) -> Run:
    meter = EnergyMeter()
    work = folder.meta / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        setup = set_up(data, settings, work=work, rejected=folder.rejected)
        for reason in setup.reasons:
            log.info(reason)
        write_json(folder.run, describe_run(setup, data))
        check_rivals(setup.task, setup.settings)
        check_alarm(setup.dataset, setup.settings.evaluate)
        if settings.evaluate.learning_curve:
            announce()
        outcome = learn(setup, folder, resume, [meter, *listeners])
        choose_threshold(setup)
        model, tokenizer = setup.loaded.model, setup.loaded.tokenizer
        save_model(model, tokenizer, folder.path, setup.task.state())
        judged = judge_model(setup, merge(model), folder.path)
        if settings.evaluate.learning_curve:
            judged = _with_curve(judged, data, settings, folder, setup, outcome)
        reference = reference_of_run(setup.dataset, judged.evaluation, tokenizer)
        if reference is not None:
            write_reference(folder.path, reference)
        report = report_run(setup, data, folder, outcome, judged, started, meter.read())
        write_report(folder.path, report)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    folder.finish()
    return Run(folder.path, report)


def _with_curve(
    judged: Judged,
    data: Any,
    settings: Settings,
    folder: RunFolder,
    setup: Setup,
    outcome: Outcome,
) -> Judged:
    """The same with a learning curve among its findings."""
    curve = learning_curve(
        data, settings, folder, setup=setup, evaluation=judged.evaluation,
        seconds=outcome.seconds, identity=identity(setup), learn=_learn_part,
    )  # fmt: skip
    findings = dataclasses.replace(judged.findings, learning_curve=curve)
    return dataclasses.replace(judged, findings=findings)


def _learn_part(setup: Setup, folder: RunFolder) -> None:
    learn(setup, folder, True, ())
    choose_threshold(setup)


def learn(setup: Setup, folder: RunFolder, resume: bool, listeners: Sequence[Listener]) -> Outcome:
    """Run the training loop; afterwards the model holds the best weights."""
    warn_of_other_programs(setup)
    return fit_rows(setup, folder, resume, listeners)


def warn_of_other_programs(setup: Setup) -> None:
    """Say so where other programs use the processor that training is about to use."""
    warning = contention.advice(contention.cores_in_use(), setup.settings.train.threads)
    if warning is not None:
        log.warning(warning)


def fit_rows(
    setup: Setup, folder: RunFolder, resume: bool, listeners: Sequence[Listener]
) -> Outcome:
    """The training loop on what is set up."""
    settings = setup.settings.train
    return fit(
        setup.loaded.model, setup.task,
        training_batches(setup.training, setup.task, settings, max_length=setup.lengths.max_length),
        settings, folder=folder,
        evaluate=(lambda model: validate(setup, model)) if setup.validation else None,
        best_by=settings.best_by or "loss", resume=resume, identity=identity(setup),
        listeners=listeners,
    )  # fmt: skip


def validate(setup: Setup, model: Any) -> dict[str, float]:
    """Loss, and for labels also accuracy and F1, on the validation rows."""
    if setup.validation is None:
        return {}
    measure = classification_validation if setup.task.name == "classify" else loss_validation
    precision = forward_precision(setup.settings.train, model)
    batches = evaluation_batches(setup.validation, setup.task)
    return measure(model, setup.task, batches, precision=precision)


def choose_threshold(setup: Setup) -> None:
    """For several labels: from which probability on a label holds, chosen on validation rows."""
    task: Any = setup.task
    if setup.dataset.multi_label and setup.validation is not None:
        task.threshold = validate(setup, setup.loaded.model)["threshold"]


def identity(setup: Setup) -> dict[str, Any]:
    """What must be the same for a resumed run to go on as if it had never stopped."""
    no_matter: Any = {
        "evaluate": True, "generate": True, "train": {"trackers", "keep_checkpoints"},
        "data": {"licence"},
    }  # fmt: skip
    chosen = setup.settings.model_dump(mode="json", exclude=no_matter)
    return {"settings": chosen, "data": setup.dataset.report.fingerprint}


def describe_run(setup: Setup, data: Any) -> dict[str, Any]:
    """The run's record: all that is needed to repeat it."""
    return {
        "data": name_of(data),
        "data_fingerprint": setup.dataset.report.fingerprint,
        "task": setup.task.name,
        "model": setup.loaded.name,
        "seed": setup.settings.train.seed,
        "settings": setup.settings.model_dump(mode="json"),
        "reasons": setup.reasons,
        "max_length": setup.lengths.max_length,
        "machine": describe_machine(),
    }


def report_run(
    setup: Setup,
    data: Any,
    folder: RunFolder,
    outcome: Outcome,
    judged: Judged,
    started: float,
    energy: Energy,
) -> dict[str, Any]:
    """The content of ``report.json``.

    Args:
        started: the monotonic clock when the work began.
    """
    loaded, train_settings = setup.loaded, setup.settings.train
    training = dataclasses.asdict(outcome) | {"train_examples": len(setup.training)}
    return build_report(
        task=setup.task.name,
        output_dir=str(folder.path),
        model={
            "name": loaded.name, "family": loaded.family, "parameters": loaded.parameters,
            "pretrained": loaded.pretrained, "lora": setup.settings.lora.enabled,
            "max_length": setup.lengths.max_length, "seed": train_settings.seed,
            "disk_bytes": disk_bytes(folder.path),
        },
        settings=setup.settings.model_dump(mode="json"),
        data=setup.dataset.report.as_dict(),
        training=training,
        evaluation=judged.evaluation,
        baselines=judged.baselines,
        verdict=judged.verdict,
        findings=judged.findings.to_json(),
        energy=energy.to_json(),
        timings={"training": outcome.seconds, "total": time.monotonic() - started},
        machine=describe_machine(),
        reasons=setup.reasons,
        command=_command(data, setup.settings),
    )  # fmt: skip


def _command(data: Any, settings: Settings) -> str:
    """The command line that repeats the run."""
    chosen = [f"--set {name}={value_of(settings, name)}" for name in explicit(settings)]
    return " ".join(["tinyforge train", name_of(data), "--output NEW-FOLDER", *chosen])


def name_of(data: Any) -> str:
    """What the user's data are called in a record."""
    return str(data) if isinstance(data, str | Path) else f"<{type(data).__name__}>"
