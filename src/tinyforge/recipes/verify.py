"""Check a run folder or an export: every byte against its manifest, and an export's answers."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import orjson

from tinyforge.artifacts import manifest
from tinyforge.artifacts.export_folder import GATE, GOLDEN, is_export
from tinyforge.artifacts.files import read_json
from tinyforge.errors import ConditionError, FolderError

Kind = Literal["run", "export"]


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
        FolderError: there is no such folder, or it has no manifest.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FolderError("no such folder", where=str(folder), fix="Give a run folder or an export")
    path = folder / manifest.MANIFEST
    export = is_export(folder) or (folder / GATE).is_file()
    if not path.is_file():
        raise _no_manifest(folder, export)
    try:
        files = manifest.files_in(read_json(path), path)
        problems = manifest.verify(folder)
    except FolderError as error:
        return Verification(folder, 0, [f"{manifest.MANIFEST}: {error.what}"], _kind(export))
    if not export:
        return Verification(folder, len(files), problems)
    if not problems and path.read_bytes() != _canonical(files):
        problems = [f"{manifest.MANIFEST}: changed"]
    if problems:
        return Verification(folder, len(files), problems, "export")
    return _ask_again(folder, len(files))


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
    if gate.get("kind") == "gguf":
        note = "and llama.cpp, which could answer the golden texts, is no part of TinyForge"
        return Verification(folder, files, [], "export", note=note)
    needs_torch = not is_export(folder)
    if needs_torch and not (find_spec("torch") and find_spec("transformers")):
        note = "and the golden texts were not asked, as torch is not installed"
        return Verification(folder, files, [], "export", note=note)
    try:
        problems = ask_afresh(folder, needs_torch=needs_torch)
        golden = len(read_golden(folder))
    except FolderError as error:
        return Verification(folder, files, [str(error)], "export")
    return Verification(folder, files, problems, "export", golden)


def _canonical(files: dict[str, dict[str, Any]]) -> bytes:
    """A manifest's bytes as ``write_manifest`` writes them: a flipped bit in it is seen too."""
    content = {"format": 1, "algorithm": "sha256", "files": files}
    return orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _kind(export: bool) -> Kind:
    return "export" if export else "run"


def _no_manifest(folder: Path, export: bool) -> FolderError:
    if export:
        return FolderError(
            "has no manifest, so the export was never finished, or not all of it was copied",
            where=str(folder), fix="Copy it again, or export the model again",
        )  # fmt: skip
    unfinished = (folder / "tinyforge").is_dir()
    return FolderError(
        "has no manifest" + (", as the run is not finished" if unfinished else ""),
        where=str(folder),
        fix="Finish it with --resume" if unfinished else "Give the folder of a finished run",
    )
