"""Make a trained model smaller, and show what that costs beside its exports, on one page."""

from __future__ import annotations

import copy
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.export_folder import is_export
from tinyforge.artifacts.files import write_json, write_text
from tinyforge.artifacts.pareto_page import pareto_card, render_pareto
from tinyforge.artifacts.run_folder import RunFolder, open_run
from tinyforge.config.compress import CompressSettings
from tinyforge.config.names import explicit
from tinyforge.errors import ModelError, SettingError
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.save import save_model
from tinyforge.recipes.compress_command import command_of, export_of
from tinyforge.recipes.compress_measure import (
    Measured,
    Source,
    judge_model,
    make_variants,
    measure,
)
from tinyforge.recipes.compress_report import build, describe_recovery
from tinyforge.recipes.compress_result import (
    FIGURES,
    PAGE,
    RECORD,
    Compressed,
    read_compressed,
)
from tinyforge.recipes.compress_rows import Material, read_material
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.prune import (
    CutModel,
    Recovery,
    cut_model,
    recover,
    wish_of,
    with_share,
)
from tinyforge.train.contention import cores_in_use

if TYPE_CHECKING:
    from tinyforge.train.hooks import Listener

log = logging.getLogger("tinyforge")

NOT_USED = {
    "train.epochs": "Set recover.steps (--recover-steps)",
    "train.max_steps": "Set recover.steps (--recover-steps)",
    "data.prefix": "Leave it out: the model brings its own",
    "data.system": "Leave it out: the model brings its own",
}
"""Settings that do nothing here, and what to do instead."""

JUDGING = ("bootstrap_samples", "max_rows", "metrics", "join_references", "window", "stride")
"""What is used of the stage ``evaluate``."""


def compress(
    model: str | Path,
    data: Any = None,
    *,
    settings: CompressSettings,
    output_dir: Path,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
) -> Compressed:
    """Cut what matters least on the rows, let the rest recover, and measure all variants.

    Args:
        model: a run folder, any Hugging Face folder, or a hub id.
        data: rows, as for training; None: those that the model's own run learnt from.
        output_dir: a new folder for the smaller model, which plain ``from_pretrained`` loads, or
            with ``resume`` one that an unfinished call left.
        force: replace what is in ``output_dir``.
        listeners: told of every step of the recovery training.

    Raises:
        TinyForgeError: a mistake in model, rows, settings or folder, in one line.
        Interrupted: a signal came; the recovery training can be resumed.
    """
    _refuse(model, settings)
    with open_run(output_dir, resume=resume, force=force) as folder:
        if folder.finished:
            log.info(f"{output_dir} is finished already; nothing was done")
            return read_compressed(output_dir)
        work = folder.meta / "work"
        shutil.rmtree(work, ignore_errors=True)
        (work / "rows").mkdir(parents=True)
        try:
            done = _compress(str(model), data, settings, folder, work, resume, listeners)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        folder.finish()
    return done


@dataclass(frozen=True)
class _Made:
    """A cut model in its folder.

    Attributes:
        before: its scores before the recovery training; None where there was none.
    """

    source: Source
    cut: CutModel
    recovery: Recovery
    before: Evaluation | None


def _compress(
    model: str,
    data: Any,
    settings: CompressSettings,
    folder: RunFolder,
    work: Path,
    resume: bool,
    listeners: Sequence[Listener],
) -> Compressed:
    whole = TorchModel.load(
        model, trust_remote_code=settings.model.trust_remote_code, settings=settings.generate
    )
    material = read_material(whole, data, settings, work=work / "rows", rejected=folder.rejected)
    write_json(folder.run, _describe_run(model, whole, material))
    save_model(whole.model, whole.tokenizer, work / "full", whole.task.state())
    command = command_of(model, material, settings, str(folder.path))
    target = Source(
        "pruned", folder.path, command, export_of(str(folder.path), material, pruned=True)
    )
    made = [_make(whole, material, target, folder, work / "cut", resume, listeners)]
    _save(made[0], folder.path)
    notes: list[str] = []
    for share in dict.fromkeys(settings.pareto.shares):
        made.append(_further(whole, material, settings, share, model, work, listeners))
    full = Source("full", work / "full", "", export_of(model, material, pruned=False))
    sources = [full, *(each.source for each in made)]
    variants = make_variants(sources, material, work=work / "exports", notes=notes)
    busy = cores_in_use()
    measured = measure(variants, material, whole.tokenizer, notes)
    report = build(
        measured, material, model=model, output_dir=str(folder.path), cuts=made[0].cut.to_json(),
        recovery=_recovery(measured, made[0]), busy=busy,
        notes=[*made[0].cut.cuts.notes, *notes], command=command,
    )  # fmt: skip
    record = _record(model, whole, made[0])
    write_json(folder.meta / RECORD, record)
    write_json(folder.meta / FIGURES, report)
    write_text(folder.meta / PAGE, render_pareto(report))
    write_text(folder.path / "README.md", pareto_card(report))
    return Compressed(folder.path, record, report)


def _make(
    whole: TorchModel,
    material: Material,
    target: Source,
    folder: RunFolder,
    work: Path,
    resume: bool,
    listeners: Sequence[Listener],
    share: float | None = None,
) -> _Made:
    """Cut and recover; the model is not saved yet."""
    work.mkdir(parents=True)
    wish = wish_of(material.settings)
    cut = cut_model(whole, material, wish if share is None else with_share(wish, share), work=work)
    before = None
    if not cut.is_whole and material.settings.recover.steps != 0:
        log.info("judging the cut model before it recovers")
        asked = TorchModel.from_loaded(
            copy.deepcopy(cut.student.model), cut.student.tokenizer, cut.student.task,
            name=target.name, settings=whole.settings,
        )  # fmt: skip
        before = judge_model(asked, material, f"{target.name}, before recovery")
    identity = {
        "model": whole.hash, "data": material.dataset.report.fingerprint,
        "cuts": cut.to_json(), "settings": material.settings.model_dump(
            mode="json", include={"prune", "recover", "train", "data"}
        ),
    }  # fmt: skip
    recovery = recover(
        cut, material, folder, work=work, resume=resume, identity=identity, listeners=listeners
    )
    return _Made(target, cut, recovery, before)


def _further(
    whole: TorchModel,
    material: Material,
    settings: CompressSettings,
    share: float,
    model: str,
    work: Path,
    listeners: Sequence[Listener],
) -> _Made:
    """A model of another share, for the page alone."""
    name = f"pruned {share:.0%}"
    log.info(f"for the page: {name}")
    place = work / name.replace(" ", "-")
    output = f"{Path(model).name}-{share:g}".replace("/", "-")
    command = command_of(model, material, settings, output, share=share)
    export = f"{command} && " + export_of(output, material, pruned=True)
    target = Source(name, place / "model", command, export)
    with open_run(place / "run") as folder:
        made = _make(whole, material, target, folder, place / "cut", False, listeners, share=share)
        _save(made, target.folder)
    return made


def _save(made: _Made, folder: Path) -> None:
    """Write the smaller model, and make sure that what was written is what is in memory.

    Raises:
        ModelError: the folder reads back as another model or another tokenizer.
    """
    import torch

    student = made.cut.student
    save_model(student.model, student.tokenizer, folder, student.task.state())
    back = TorchModel.load(folder)
    same = back.tokenizer.get_vocab() == student.tokenizer.get_vocab()
    ours, read = student.model.state_dict(), back.model.state_dict()
    same = same and ours.keys() == read.keys()
    if not same or not all(torch.equal(ours[name], read[name]) for name in ours):
        raise ModelError(
            "the smaller model does not read back as it was written", where=str(folder),
            fix="Leave --vocabulary out, or report this model's kind as a bug",
        )  # fmt: skip


def _recovery(measured: Sequence[Measured], made: _Made) -> dict[str, Any] | None:
    """What the training after the cut won back; None where there was none."""
    found = {each.variant.name: each.evaluation for each in measured}
    if made.before is None or made.source.name not in found:
        return None
    return describe_recovery(
        measured[0].evaluation, made.before, found[made.source.name], steps=made.recovery.steps,
        seconds=made.recovery.seconds, kept=made.recovery.kept,
    )  # fmt: skip


def _record(model: str, whole: TorchModel, made: _Made) -> dict[str, Any]:
    """What was cut from what, for ``tinyforge/compress.json``."""
    recovery = made.recovery
    return {
        "format": 1, "source": model, "weights": whole.hash, **made.cut.to_json(),
        "recovery": {
            "steps": recovery.steps, "seconds": recovery.seconds, "kept": recovery.kept,
            "validation_before": recovery.before, "validation_after": recovery.after,
            "settings": recovery.settings,
        },
    }  # fmt: skip


def _describe_run(model: str, whole: TorchModel, material: Material) -> dict[str, Any]:
    """The run's record: the same keys as a training run's, so that its split can be made again."""
    settings = material.settings
    return {
        "verb": "compress",
        "data": str(material.data) if isinstance(material.data, str | Path)
        else f"<{type(material.data).__name__}>",
        "data_fingerprint": material.dataset.report.fingerprint,
        "task": whole.task.name,
        "model": model,
        "seed": settings.train.seed,
        "settings": settings.model_dump(mode="json"),
        "machine": describe_machine(),
    }  # fmt: skip


def _refuse(model: str | Path, settings: CompressSettings) -> None:
    """Refuse a setting that the user gave and that does nothing here, and an exported model."""
    for name in explicit(settings):
        if name in NOT_USED:
            raise SettingError("has no effect on compressing", where=name, fix=NOT_USED[name])
        stage, _, tail = name.partition(".")
        if stage == "evaluate" and tail not in JUDGING:
            raise SettingError("has no effect on compressing", where=name, fix="Leave it out")
    for share in settings.pareto.shares:
        if not 0 <= share < 1:
            raise SettingError(
                "a share is from 0 to below 1", where="pareto.shares", value=share,
                fix="Write for example: --set pareto.shares=[0.25,0.5]",
            )  # fmt: skip
    if Path(model).is_dir() and is_export(Path(model)):
        raise ModelError(
            "this is an exported model, whose weights cannot be cut", where=str(model),
            fix="Give the trained model that it was exported from",
        )  # fmt: skip
