"""Check a run folder: every byte against its manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.artifacts import manifest
from tinyforge.artifacts.files import read_json
from tinyforge.errors import ConditionError, FolderError


@dataclass(frozen=True)
class Verification:
    """What a check found.

    Attributes:
        folder: what was checked.
        files: how many files the manifest names.
        problems: one line for each file that is changed, missing or extra.
    """

    folder: Path
    files: int
    problems: list[str]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "folder": str(self.folder),
            "files": self.files,
            "sound": not self.problems,
            "problems": self.problems,
        }

    def summary(self) -> str:
        """For the terminal: the problems, or that there are none."""
        if self.problems:
            return "\n".join(self.problems)
        return f"{self.folder}: all {self.files:,} files are as the run left them"

    def require_sound(self) -> None:
        """Raise ConditionError where there is a problem."""
        if self.problems:
            count = len(self.problems)
            raise ConditionError(
                f"{count} {'file is' if count == 1 else 'files are'} not as the run left "
                f"{'it' if count == 1 else 'them'}",
                where=str(self.folder),
                fix="Train again, or put the files back from a copy",
            )


def verify(folder: Path) -> Verification:
    """Compare every file of a run folder with its manifest.

    Raises:
        FolderError: there is no such folder, or it has no manifest that can be read.
    """
    if not folder.is_dir():
        raise FolderError("no such folder", where=str(folder), fix="Give a run folder")
    path = folder / manifest.MANIFEST
    if not path.is_file():
        unfinished = (folder / "tinyforge").is_dir()
        raise FolderError(
            "has no manifest" + (", as the run is not finished" if unfinished else ""),
            where=str(folder),
            fix="Finish it with --resume" if unfinished else "Give the folder of a finished run",
        )
    files = manifest.files_in(read_json(path), path)
    return Verification(folder, len(files), manifest.verify(folder))
