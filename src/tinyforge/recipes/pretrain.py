"""From raw text to a model of one's own: prepare, tokenise, plan, learn, judge."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.report import write_report
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.config import prepare as prepare_settings
from tinyforge.config.names import explicit
from tinyforge.config.pretrain import PretrainRunSettings
from tinyforge.errors import FolderError, SettingError
from tinyforge.models.save import save_model
from tinyforge.recipes.energy import EnergyMeter
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.pretrain_cost import Cost, costs, table
from tinyforge.recipes.pretrain_judge import judge_text
from tinyforge.recipes.pretrain_model import (
    Pretraining,
    make_ready,
    measurer,
    train_settings,
    validate,
)
from tinyforge.recipes.pretrain_plan import Plan, Wish, make_plan
from tinyforge.recipes.pretrain_report import Ended, command, make_report
from tinyforge.recipes.pretrain_setup import Text, forget_text, get_text
from tinyforge.recipes.train import Run
from tinyforge.train import contention
from tinyforge.train.fit import fit
from tinyforge.train.resume import plain_json

if TYPE_CHECKING:
    from tinyforge.config.train import TrainSettings
    from tinyforge.train.hooks import Listener, Outcome

log = logging.getLogger("tinyforge")

NOT_USED = {
    "train.epochs": "Set pretrain.max_tokens, train.max_minutes or train.max_steps instead",
    "train.pack": "Windows are always full",
    "train.bucket": "Windows are all of one length",
    "train.best_by": "The validation loss decides",
    "train.micro_batch_size": "Set train.micro_batch_tokens instead",
}
"""Settings of the training loop that pretraining has no use for, and what there is instead."""

JUDGING = {"bootstrap_samples", "max_rows", "window", "stride", "baselines"}
"""Settings of judging that raw text has a use for."""

ONLY_FOR = {
    "pretrain.span_tokens": ("t5",),
    "pretrain.whole_words": ("bert",),
    "pretrain.hidden_share": ("t5", "bert"),
}
"""Settings of one objective to the architectures that have it."""

NO_MATTER: Any = {
    "evaluate": True, "cost": True, "train": {"trackers", "keep_checkpoints"},
    "prepare": prepare_settings.NO_MATTER,
}  # fmt: skip
"""Settings that a resumed run may have other values of."""


@dataclass(frozen=True)
class Planned:
    """A plan that was made and not carried out; ``--resume`` does that."""

    output_dir: Path
    plan: Plan
    costs: list[Cost]

    def summary(self) -> str:
        """For the terminal."""
        lines = [f"{self.plan.architecture} {self.plan.size}: {self.plan.parameters:,} weights, "
                 f"{self.plan.tokens:,} tokens in {self.plan.steps:,} steps", ""]  # fmt: skip
        lines += [f"- {reason}" for reason in self.plan.reasons]
        lines += ["", *table(self.costs)]
        lines += ["", *(f"Note: {line}" for line in self.plan.advice)] if self.plan.advice else []
        lines += ["", f"Carry it out: the same command with --resume ({self.output_dir})"]
        return "\n".join(lines)

    def result(self) -> dict[str, Any]:
        """One flat object for a program."""
        return {
            "output_dir": str(self.output_dir),
            "plan": self.plan.to_json(),
            "costs": [cost.to_json() for cost in self.costs],
        }


@dataclass(frozen=True)
class _Job:
    """A run that is ready for its first step."""

    sources: list[str]
    settings: PretrainRunSettings
    folder: RunFolder
    text: Text
    plan: Plan
    train: TrainSettings
    ready: Pretraining
    costs: list[Cost]


def pretrain(
    corpus: Sequence[str | Path],
    *,
    settings: PretrainRunSettings,
    output_dir: Path,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
) -> Run:
    """Make a model from nothing that has learnt the corpus, and judge it on unseen text.

    Args:
        corpus: a folder that ``prepare`` made, or raw files and folders, which are prepared first.
        settings: what the user set; the rest is planned and recorded in ``run.json``.
        output_dir: a new folder, or with ``resume`` one that an unfinished run left.
        force: replace what a former run left in ``output_dir``.
        listeners: told of every step, validation and event.

    Raises:
        TinyForgeError: a mistake in corpus, settings or folder, in one line.
        Interrupted: a signal came; the run can be resumed.
    """
    started = time.monotonic()
    sources = [str(source) for source in corpus]
    _refuse(settings)
    _refuse_own_folder(sources, output_dir)
    with open_run(output_dir, resume=resume, force=force) as folder:
        if folder.finished:
            log.info(f"{output_dir} is finished already; nothing was done")
            return Run(output_dir, read_json(folder.report))
        meter = EnergyMeter()
        text, plan = _choose(sources, settings, folder)
        job = _get_ready(sources, settings, folder, text, plan)
        outcome = _learn(job, resume, [meter, *listeners])
        return _end(job, outcome, meter, started)


def plan_pretraining(
    corpus: Sequence[str | Path],
    *,
    settings: PretrainRunSettings,
    output_dir: Path,
    resume: bool = False,
) -> Planned:
    """Prepare, tokenise, measure and choose as ``pretrain`` does, and stop before the first step.

    All of it is kept in ``output_dir``, where ``pretrain`` with ``resume`` goes on.

    Raises:
        TinyForgeError: as ``pretrain``.
    """
    sources = [str(source) for source in corpus]
    _refuse(settings)
    _refuse_own_folder(sources, output_dir)
    with open_run(output_dir, resume=resume) as folder:
        if folder.finished:
            raise FolderError(
                "the run is finished, so there is nothing to plan", where=str(output_dir),
                fix="Its plan is in tinyforge/report.html; give another --output for a new one",
            )  # fmt: skip
        _, plan = _choose(sources, settings, folder)
        return Planned(output_dir, plan, costs(plan, settings.cost))


def _choose(
    sources: list[str], settings: PretrainRunSettings, folder: RunFolder
) -> tuple[Text, Plan]:
    _begin(folder, sources, settings)
    text = get_text(sources, settings, folder)
    return text, _plan(text, settings, folder)


def _begin(folder: RunFolder, sources: list[str], settings: PretrainRunSettings) -> None:
    """Write down what was asked for; refuse to go on with a run that was asked for otherwise."""
    asked = plain_json(
        {"corpus": sources, "settings": settings.model_dump(mode="json", exclude=NO_MATTER)}
    )
    if folder.run.is_file():
        before = read_json(folder.run).get("asked", {})
        names = _differing(before, asked)
        if names:
            raise SettingError(
                "this is not the run that was started here: it was asked for with another value",
                where=names[0],
                fix="Give the same corpus and settings as before, or start anew with --force",
            )
        return
    write_json(folder.run, {"verb": "pretrain", "asked": asked, "machine": describe_machine()})


def _plan(text: Text, settings: PretrainRunSettings, folder: RunFolder) -> Plan:
    """The plan that an earlier part of the run has made, or a new one."""
    path = folder.meta / "plan.json"
    if path.is_file():
        return Plan.from_json(read_json(path))
    chosen, train = settings.pretrain, settings.train
    wish = Wish(
        chosen.architecture, chosen.size, train.max_minutes, chosen.max_tokens,
        text.unique_tokens, train.max_steps, train.batch_size, frozenset(train.model_fields_set),
    )  # fmt: skip
    plan = make_plan(
        wish, measurer(text, settings), short_rows=chosen.short_rows,
        small_batches=chosen.small_batches,
    )  # fmt: skip
    write_json(path, plan.to_json())
    return plan


def _get_ready(
    sources: list[str], settings: PretrainRunSettings, folder: RunFolder, text: Text, plan: Plan
) -> _Job:
    """Say what was chosen, make the model, and write down all that is needed to repeat the run."""
    found = costs(plan, settings.cost)
    for line in (*text.reasons, *plan.reasons, *table(found)):
        log.info(line)
    for line in plan.advice:
        log.warning(line)
    train = train_settings(plan, settings)
    ready = make_ready(plan, text, settings)
    record = read_json(folder.run)
    write_json(
        folder.run,
        {
            **record,
            "task": ready.task.name,
            "model": f"{plan.architecture}-{plan.size}",
            "seed": train.seed,
            "data_fingerprint": text.corpus.fingerprint,
            "settings": {**record["asked"]["settings"], "train": train.model_dump(mode="json")},
            "plan": plan.to_json(),
            "reasons": [*text.reasons, *plan.reasons, *ready.notes],
        },
    )
    return _Job(sources, settings, folder, text, plan, train, ready, found)


def _learn(job: _Job, resume: bool, listeners: Sequence[Listener]) -> Outcome:
    """Run the training loop; afterwards the model holds the best weights."""
    warning = contention.advice(contention.cores_in_use(), job.train.threads)
    if warning is not None:
        log.warning(warning)
    first = next(iter(job.text.corpus.documents("validation")))
    batches: Any = job.ready.batches  # the same protocol as the batches of rows
    return fit(
        job.ready.model, job.ready.task, batches, job.train, folder=job.folder,
        evaluate=validate(job.ready, job.text, job.settings, job.train, first.text),
        best_by="loss", resume=resume, listeners=listeners,
        identity={
            "corpus": job.text.corpus.fingerprint,
            "plan": job.plan.to_json(),
            "train": job.train.model_dump(mode="json", exclude=NO_MATTER["train"]),
            "pretrain": job.settings.pretrain.model_dump(mode="json"),
        },
    )  # fmt: skip


def _end(job: _Job, outcome: Outcome, meter: EnergyMeter, started: float) -> Run:
    """Save, judge and report."""
    ready, text, folder = job.ready, job.text, job.folder
    if ready.context:
        text.tokenizer.model_max_length = ready.context
    save_model(ready.model, text.tokenizer, folder.path, ready.task.state())
    judged = judge_text(
        ready.model, ready.task, text.corpus, text.training, job.settings,
        window=job.plan.window, held_out=text.held_out, folder=folder.path,
    )  # fmt: skip
    ended = Ended(
        text=text, plan=job.plan, train=job.train, ready=ready, outcome=outcome, judged=judged,
        energy=meter.read(), costs=job.costs, seconds=time.monotonic() - started,
    )  # fmt: skip
    report = make_report(ended, job.settings, folder, command(job.sources, job.settings))
    write_report(folder.path, report)
    forget_text(folder)
    folder.finish()
    return Run(folder.path, report)


def _refuse(settings: PretrainRunSettings) -> None:
    """Refuse a setting that the user gave and that does nothing here."""
    architecture = settings.pretrain.architecture
    for name in explicit(settings):
        if name in NOT_USED:
            raise SettingError("has no effect on pretraining", where=name, fix=NOT_USED[name])
        stage, _, tail = name.partition(".")
        if stage == "evaluate" and tail not in JUDGING:
            raise SettingError("has no effect on raw text", where=name, fix="Leave it out")
        if architecture not in ONLY_FOR.get(name, (architecture,)):
            raise SettingError(f"has no effect on a {architecture}", where=name, fix="Leave it out")
    given = explicit(settings)
    for name in ("model.vocab_size", "pretrain.tokenizer_kind"):
        if settings.pretrain.tokenizer is not None and name in given:
            raise SettingError(
                "has no effect: no tokenizer is trained, as one was given", where=name,
                fix="Leave it out, or leave pretrain.tokenizer (--tokenizer) out",
            )  # fmt: skip
    if (settings.pretrain.context or 1024) % 4 and settings.pretrain.short_rows:
        raise SettingError(
            "rows of a quarter need a context that is a multiple of four",
            where="pretrain.short_rows", value=settings.pretrain.context,
            fix="Leave it out, or change pretrain.context",
        )  # fmt: skip


def _refuse_own_folder(sources: list[str], output: Path) -> None:
    """The run's own files would become part of what it learns from."""
    for source in sources:
        if Path(source).is_dir() and output.resolve().is_relative_to(Path(source).resolve()):
            raise SettingError(
                "lies within the corpus", where="--output", value=str(output),
                fix="Give a folder outside of it",
            )  # fmt: skip


def _differing(before: Any, now: Any, name: str = "") -> list[str]:
    """The names of what differs, in order."""
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            found
            for key in sorted(before.keys() | now.keys())
            for found in _differing(before.get(key), now.get(key), f"{name}.{key}" if name else key)
        ]
    return [] if before == now else [name.removeprefix("settings.")]
