"""The manifest: SHA-256 and size of every file of a folder, so that any change is seen.

``tinyforge/manifest.json`` covers all files below the folder except itself, the lock, checkpoints
and what a run keeps only while it works.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from tinyforge.artifacts.files import disk_errors, read_json, sha256, write_json
from tinyforge.errors import FolderError

MANIFEST = PurePosixPath("tinyforge/manifest.json")
NOT_COVERED = (
    MANIFEST,
    PurePosixPath("tinyforge/lock"),
    PurePosixPath("tinyforge/checkpoints"),
    PurePosixPath("tinyforge/work"),
    PurePosixPath("tinyforge/corpus"),  # it has a manifest of its own
    PurePosixPath("tinyforge/tokens"),
    PurePosixPath("tinyforge/tokenizer"),
    PurePosixPath("tinyforge/tuning"),
    PurePosixPath("tinyforge/replaced"),
    PurePosixPath("tinyforge/replaced.moving"),
)


def write_manifest(folder: Path) -> None:
    """Write ``tinyforge/manifest.json`` for what lies in ``folder`` now, durable and all at once.

    Raises:
        FolderError: a file cannot be read, or the manifest cannot be written.
    """
    folder = Path(folder)
    with disk_errors(folder):
        files = {str(name): describe(folder / name) for name in sorted(covered(folder))}
        (folder / MANIFEST).parent.mkdir(exist_ok=True)
    write_json(folder / MANIFEST, {"format": 1, "algorithm": "sha256", "files": files})


def verify(folder: Path) -> list[str]:
    """What differs from the manifest: one line for each missing, changed or extra file.

    Raises:
        FolderError: there is no manifest, or it is damaged.
    """
    folder = Path(folder)
    listed = files_in(read_json(folder / MANIFEST), folder / MANIFEST)
    found = [check(folder, name, entry) for name, entry in listed.items()]
    extra = {str(name) for name in covered(folder)} - set(listed)
    lines = [f"{name}: extra, not in the manifest" for name in sorted(extra)]
    return [line for line in found if line] + lines


def describe(path: Path) -> dict[str, Any]:
    """A file's entry in a manifest."""
    return {"bytes": path.stat().st_size, "sha256": sha256(path)}


def files_in(manifest: Any, where: Path) -> dict[str, dict[str, Any]]:
    """The entries of a manifest by relative path.

    Raises:
        FolderError: it has not the form of a manifest, or names a file outside its folder.
    """
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, dict) or not all(
        isinstance(entry, dict) and {"bytes", "sha256"} <= entry.keys() for entry in files.values()
    ):
        raise FolderError("is damaged: not a manifest", where=str(where))
    for name in files:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise FolderError("names a file outside its folder", where=str(where), value=name)
    return files


def check(folder: Path, name: str, entry: dict[str, Any]) -> str | None:
    """What is wrong with one file, in a line; None where it is as it was."""
    path = folder / name
    if not path.is_file():
        return f"{name}: missing"
    size = path.stat().st_size
    if size != entry["bytes"]:
        return f"{name}: changed, {size:,} bytes instead of {entry['bytes']:,}"
    if sha256(path) != entry["sha256"]:
        return f"{name}: changed, its SHA-256 is not the one in the manifest"
    return None


def covered(folder: Path) -> Iterator[PurePosixPath]:
    """The files below ``folder`` that a manifest lists, as relative paths."""
    for root, folders, files in os.walk(folder):
        base = PurePosixPath(Path(root).relative_to(folder).as_posix())
        folders[:] = sorted(name for name in folders if base / name not in NOT_COVERED)
        yield from (base / name for name in files if base / name not in NOT_COVERED)
