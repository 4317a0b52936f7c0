"""Ship what was tested: write a model for others to run, and call it ready only if it holds."""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tinyforge.artifacts.export_folder import GATE, PAGE, is_export, read_record
from tinyforge.artifacts.export_page import readme, render_export, summary
from tinyforge.artifacts.files import write_json, write_text
from tinyforge.artifacts.manifest import covered, write_manifest
from tinyforge.artifacts.reference import REFERENCE
from tinyforge.artifacts.thresholds import ABSTENTION, ALARM
from tinyforge.config.export import ExportRunSettings, check_export
from tinyforge.errors import ConditionError, FolderError, ModelError
from tinyforge.export.gate.files import changed_since
from tinyforge.export.gate.questions import MADE_UP
from tinyforge.inference.torch_model import TorchModel
from tinyforge.models.save import TASK_FILE
from tinyforge.recipes.evaluate import writable
from tinyforge.recipes.export_gate import Gate
from tinyforge.recipes.export_place import Place, check_room, open_place
from tinyforge.recipes.export_plain import write_plain
from tinyforge.recipes.export_rows import rows_for
from tinyforge.recipes.export_search import Found, search
from tinyforge.recipes.machine import describe_machine
from tinyforge.text.prompts import PROMPT_FILE

log = logging.getLogger("tinyforge")

Tell = Callable[[str], None]

FORMAT = 1


@dataclass(frozen=True)
class Export:
    """What an export came to.

    Attributes:
        output_dir: the folder; it is there only where ``ready``.
        ready: whether the gate passed.
        gate: what it found, as in ``tinyforge/gate.json``.
    """

    output_dir: Path
    ready: bool
    gate: dict[str, Any] = field(repr=False)

    def require_ready(self) -> None:
        """Raise ConditionError where the gate refused."""
        if not self.ready:
            raise ConditionError(
                f"not exported: {self.gate['sentence']}", where=str(self.output_dir),
                fix=self.gate["advice"],
            )  # fmt: skip

    def summary(self) -> str:
        """A few lines for a person."""
        return summary(self.gate, str(self.output_dir))

    def result(self) -> dict[str, Any]:
        """One object for a program; what ``tinyforge export --json`` prints."""
        return {"output_dir": str(self.output_dir), **self.gate}


def export(
    model: str | Path,
    output_dir: str | Path,
    *,
    settings: ExportRunSettings,
    data: Any = None,
    force: bool = False,
    report: Path | None = None,
    tell: Tell | None = None,
) -> Export:
    """Write a model for others to run, and take it through the gate.

    Nothing is left in ``output_dir`` unless everything held.

    Args:
        model: a run folder, any Hugging Face folder or a hub id.
        output_dir: a folder that does not exist yet.
        settings: format, precision and what has to hold.
        data: rows with answers to judge on; default: the test rows of the run.
        force: replace the export in ``output_dir``.
        report: an HTML file to write, also where the gate refuses.
        tell: told what is done, a line at a time; default: the library's notes.

    Returns:
        what the gate found; ``require_ready`` raises where it refused.

    Raises:
        TinyForgeError: a mistake in model, data, settings or folder, in one line.
    """
    check_export(settings)
    writable(report)
    say = tell or log.info
    path = Path(model)
    _refuse_models_that_cannot(path)
    with open_place(Path(output_dir), path if path.is_dir() else None, force=force) as place:
        source = TorchModel.load(model, settings=settings.generate)
        check_room(place, source.parameters)
        with tempfile.TemporaryDirectory(prefix="tinyforge-") as work:
            judging = rows_for(source, data, settings, Path(work))
            gate = Gate(source, judging, settings.export)
            if judging.expected:
                _ = gate.evaluation  # better now than after the work: the rows may be others
            (place.work / "candidates").mkdir()
            found = _find(gate, place.work / "candidates", say)
            plain = _outcome(gate, found)
        if found.folder is not None:
            plain = _seal(found, plain, source, place)
    if report is not None:
        write_text(report, render_export(plain))
    return Export(Path(output_dir), found.folder is not None, plain)


def _refuse_models_that_cannot(path: Path) -> None:
    if path.is_dir() and is_export(path):
        raise ModelError(
            "is an export already", where=str(path), fix="Give the model that it was made from"
        )
    if (path / PROMPT_FILE).is_file():
        raise ModelError(
            "this model answers by a prompt, which an export could not carry", where=str(path),
            fix="Train it for the task, or export the model itself and give it whole prompts",
        )  # fmt: skip


def _find(gate: Gate, work: Path, say: Tell) -> Found:
    """The candidate that passes; what the gate refuses is thrown away."""
    if gate.settings.format == "onnx":
        return search(gate, work, say)
    return write_plain(gate, work, say)


def _outcome(gate: Gate, found: Found) -> dict[str, Any]:
    """What ``gate.json`` holds. No times and no dates: the same model gives the same bytes."""
    source, settings = gate.source, gate.settings
    ready = found.folder is not None
    problem = found.passage.problem
    precision = found.tried[-1].precision if found.tried else settings.precision
    return {
        "format": FORMAT,
        "ready": ready,
        "sentence": _sentence(found, precision, settings.format),
        "advice": "" if ready else _advice(gate, problem.name if problem else ""),
        "kind": settings.format,
        "precision": precision,
        "asked": settings.precision,
        "scheme": found.tried[-1].to_json() if found.tried else {},
        "source": {
            "name": Path(source.name).name, "task": source.task.name, "family": source.task.family,
            "model": source.hash, "parameters": source.parameters, "labels": len(source.labels),
        },
        "judged_on": gate.judging.where,
        "max_drop": settings.max_drop,
        "strict": settings.strict,
        "checks": [check.to_json() for check in found.passage.checks],
        "tried": [each.to_json() for each in found.tried],
        "golden": len(found.passage.golden),
        "golden_rows": sum(each.input not in MADE_UP for each in found.passage.golden),
        "versions": _versions(),
    }  # fmt: skip


def _sentence(found: Found, precision: str, kind: str) -> str:
    problem = found.passage.problem
    if problem is not None:
        several = len(found.tried)
        tried = f"none of {several} forms of the model holds; the last: " if several > 1 else ""
        return f"{tried}{problem.sentence}"
    metric = found.passage.checks[-1].sentence
    what = f"{precision} {'graphs' if kind == 'onnx' else kind}"
    return f"Ready: {what}. {metric[:1].upper()}{metric[1:]}."


def _advice(gate: Gate, failed: str) -> str:
    """What to do about a refusal."""
    chosen = gate.settings
    if failed not in ("metric", "logits"):
        return "Nothing was written; this is a fault of the export, please report it"
    if chosen.precision == "fp32":
        return "Nothing was written; this is a fault of the export, please report it"
    if chosen.precision == "auto" or chosen.format != "onnx":
        return "Nothing was written. Allow more with --max-drop, or export in fp32"
    return (
        "Nothing was written. Try --precision auto, which ends with fp32, or allow more with "
        "--max-drop"
    )


def _seal(
    found: Found, plain: Mapping[str, Any], source: TorchModel, place: Place
) -> dict[str, Any]:
    """Write what the gate found, mark the folder ready, and put it in its place."""
    folder = found.folder
    if folder is None:
        raise ValueError("nothing passed the gate")
    changed = changed_since(found.made, folder)
    if changed:
        raise FolderError(changed, where=str(place.target), fix="Export it again")
    _carry(source, folder)
    if is_export(folder):
        replace(read_record(folder), ready=True).write(folder)
    (folder / GATE).parent.mkdir(parents=True, exist_ok=True)
    size = sum((folder / name).stat().st_size for name in covered(folder))
    full = {**plain, "size_bytes": size}
    write_text(folder / "README.md", readme(full, place.target.name))
    write_json(folder / GATE, full)
    write_text(folder / PAGE, render_export(full))
    write_manifest(folder)
    place.publish(folder)
    return full


def _carry(source: TorchModel, folder: Path) -> None:
    """What was chosen for the run's answers, and what its rows were like, holds for its export."""
    for name in (ABSTENTION, ALARM, REFERENCE):
        if source.path is not None and (source.path / name).is_file():
            (folder / TASK_FILE).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source.path / name, folder / name)


def _versions() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    found = dict(describe_machine().get("versions", {}))
    for name in ("onnx", "onnxruntime", "onnxruntime-genai", "onnxscript", "gguf"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
