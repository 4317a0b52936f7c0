"""Check a run folder or an export: every byte against its manifest, and an export's answers."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import orjson

from tinyforge.artifacts import manifest
from tinyforge.artifacts.export_folder import GATE, GOLDEN, RECORD, is_export
from tinyforge.artifacts.files import read_json
from tinyforge.errors import ConditionError, FolderError

Kind = Literal["run", "export"]

_CLOSE = 1e-6
"""How far a difference of two figures may be from the figure that is given for it."""


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Attributes:
        folder: what was checked.
        files: how many files the manifest names.
        problems: one line for each file that is changed, missing or extra, and for each golden
            answer that is no longer given.
        kind: ``run`` or ``export``.
        golden: golden texts that were asked again; None where they were not.
        note: why they were not, for an export.
    """

    folder: Path
    files: int
    problems: list[str]
    kind: Kind = "run"
    golden: int | None = None
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "folder": str(self.folder),
            "kind": self.kind,
            "files": self.files,
            "golden": self.golden,
            "sound": not self.problems,
            "problems": self.problems,
            "note": self.note,
        }

    def summary(self) -> str:
        """For the terminal: the problems, or that there are none."""
        if self.problems:
            return "\n".join(self.problems)
        if self.kind == "run":
            return f"{self.folder}: all {self.files:,} files are as the run left them"
        asked = f"and all {self.golden} golden answers are given again in a fresh process"
        return f"{self.folder}: all {self.files:,} files are as they were exported, " + (
            self.note if self.golden is None else asked
        )

    def require_sound(self) -> None:
        """Raise ConditionError where there is a problem."""
        if not self.problems:
            return
        count = len(self.problems)
        if self.kind == "export":
            raise ConditionError(
                f"this is not the export that passed the gate: {self.problems[0]}"
                + (f", and {count - 1} more" if count > 1 else ""),
                where=str(self.folder), fix="Copy it again, or export the model again",
            )  # fmt: skip
        raise ConditionError(
            f"{count} {'file is' if count == 1 else 'files are'} not as the run left "
            f"{'it' if count == 1 else 'them'}",
            where=str(self.folder),
            fix="Train again, or put the files back from a copy",
        )


def verify(folder: Path) -> Verification:
    """Compare every file with the manifest; ask an export its golden texts in a fresh process.

    Neither torch nor transformers is needed, nor the model that an export was made from. What is
    damaged is not opened.

    Raises:
        FolderError: there is no such folder, or a run has no manifest.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FolderError("no such folder", where=str(folder), fix="Give a run folder or an export")
    path = folder / manifest.MANIFEST
    export = is_export(folder) or (folder / GATE).is_file()
    if not path.is_file():
        if export:
            why = "missing, so the export was never finished, or not all of it was copied"
            return Verification(folder, 0, [f"{manifest.MANIFEST}: {why}"], "export")
        raise _no_manifest(folder)
    try:
        files = manifest.files_in(read_json(path), path)
        problems = manifest.verify(folder)
    except FolderError as error:
        return Verification(folder, 0, [f"{manifest.MANIFEST}: {error.what}"], _kind(export))
    if not export:
        return Verification(folder, len(files), problems)
    problems += _unlisted(folder)
    if not problems and path.read_bytes() != _canonical(files):
        problems = [f"{manifest.MANIFEST}: changed"]
    if problems:
        return Verification(folder, len(files), problems, "export")
    return _ask_again(folder, len(files))


def _unlisted(folder: Path) -> Iterator[str]:
    """What no manifest lists, and an export has none of: links, and what a run keeps for itself."""
    kept = [each for each in manifest.NOT_COVERED if each != manifest.MANIFEST]
    for root, folders, files in os.walk(folder):
        for name in sorted([*folders, *files]):
            path = Path(root, name)
            there = PurePosixPath(path.relative_to(folder).as_posix())
            if path.is_symlink():
                yield f"{there}: a symbolic link, which an export may not have"
            elif name in files and any(each in (there, *there.parents) for each in kept):
                yield f"{there}: extra, not in the manifest"


def _ask_again(folder: Path, files: int) -> Verification:
    from tinyforge.export.gate.fresh import ask_afresh
    from tinyforge.export.gate.golden import read_golden

    gate = read_json(folder / GATE) if (folder / GATE).is_file() else {}
    if not isinstance(gate, dict) or gate.get("ready") is not True:
        return Verification(folder, files, [f"{GATE}: it never passed the gate"], "export")
    if not (folder / GOLDEN).is_file():
        note = "and this format has no golden answers that TinyForge could ask for"
        if is_export(folder):
            return Verification(folder, files, [f"{GOLDEN}: missing"], "export")
        return Verification(folder, files, [], "export", note=note)
    try:
        golden = len(read_golden(folder))
    except FolderError as error:
        return Verification(folder, files, [str(error)], "export")
    problems = list(_at_odds(folder, gate, golden))
    if problems:
        return Verification(folder, files, problems, "export")
    if gate.get("kind") == "gguf":
        note = "and llama.cpp, which could answer the golden texts, is no part of TinyForge"
        return Verification(folder, files, [], "export", note=note)
    needs_torch = not is_export(folder)
    if needs_torch and not (find_spec("torch") and find_spec("transformers")):
        note = "and the golden texts were not asked, as torch is not installed"
        return Verification(folder, files, [], "export", note=note)
    problems = ask_afresh(folder, needs_torch=needs_torch)
    return Verification(folder, files, problems, "export", golden)


def _at_odds(folder: Path, gate: Mapping[str, Any], golden: int) -> Iterator[str]:
    """What the gate's result says otherwise than the folder, or than itself.

    Whoever edits a file and writes the manifest anew has not edited all of it.
    """
    if gate.get("golden") != golden or not golden:
        yield f"{GOLDEN}: {golden} golden answers, and the gate kept {gate.get('golden')}"
    checks = gate.get("checks")
    if not isinstance(checks, list) or not checks:
        yield f"{GATE}: it has no checks"
        return
    for check in checks:
        if not isinstance(check, dict) or check.get("passed") is not True:
            yield f"{GATE}: a check that did not pass"
        elif check.get("name") == "metric" and not _adds_up(check.get("figures")):
            yield f"{GATE}: the figures of the metric contradict each other"
    if not is_export(folder):
        return
    record, source = read_json(folder / RECORD), gate.get("source", {})
    for name, ours, theirs in (
        ("ready", record.get("ready"), True),
        ("precision", record.get("precision"), gate.get("precision")),
        ("weights", record.get("weights"), source.get("model")),
        ("parameters", record.get("parameters"), source.get("parameters")),
    ):
        if ours != theirs:
            yield f"{RECORD}: says {name} {ours}, and {GATE.name} {theirs}"


def _adds_up(figures: Any) -> bool:
    """Whether a metric's difference is that of its two values, and no more than was allowed."""
    names = ("exported", "source", "difference", "allowed", "low", "high")
    if not isinstance(figures, dict) or not all(name in figures for name in names):
        return False
    if any(figures[name] is None for name in names):
        return True  # JSON has no word for infinity
    try:
        found, source, difference, allowed, low, high = (float(figures[name]) for name in names)
    except (TypeError, ValueError):
        return False
    slack = _CLOSE * max(1.0, abs(found), abs(source))
    apart = abs(abs(found - source) - abs(difference)) <= slack
    return apart and difference >= -allowed - slack and low - slack <= difference <= high + slack


def _canonical(files: dict[str, dict[str, Any]]) -> bytes:
    """A manifest's bytes as ``write_manifest`` writes them: a flipped bit in it is seen too."""
    content = {"format": 1, "algorithm": "sha256", "files": files}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _kind(export: bool) -> Kind:
    return "export" if export else "run"


def _no_manifest(folder: Path) -> FolderError:
    unfinished = (folder / "tinyforge").is_dir()
    return FolderError(
        "has no manifest" + (", as the run is not finished" if unfinished else ""),
        where=str(folder),
        fix="Finish it with --resume" if unfinished else "Give the folder of a finished run",
    )
