"""Whether an exported folder is whole and opens: its files, its graphs' inputs and outputs."""

from __future__ import annotations

from pathlib import Path

from tinyforge.artifacts.export_folder import read_record
from tinyforge.artifacts.manifest import covered, describe
from tinyforge.export.gate.check import NOT_THE_EXPORT, Check, failed
from tinyforge.export.gate.graphs import wrong_names
from tinyforge.inference.onnx.safety import check_export

NAME = "files"

Hashes = dict[str, str]


def check_files(folder: Path) -> Check:
    """Refuse unsafe files, graphs that do not open, and inputs or outputs that nobody knows."""
    try:
        check_export(folder)
        record = read_record(folder)
        problem = wrong_names(record, folder)
    except NOT_THE_EXPORT:
        raise
    except Exception as error:  # a damaged file may raise anything
        text = " ".join(str(error).split())[:400] or type(error).__name__
        return failed(NAME, f"the exported folder cannot be opened: {text}")
    if problem:
        return failed(NAME, problem)
    size = sum((folder / name).stat().st_size for name in covered(folder))
    count = len(record.graphs)
    opened = "its graph opens" if count == 1 else f"its {count} graphs open"
    sentence = f"{opened}, with the inputs and outputs that there should be"
    return Check(NAME, True, sentence, {"bytes": size})


def hashes(folder: Path) -> Hashes:
    """The SHA-256 of every file of a folder, by relative path."""
    return {str(name): str(describe(folder / name)["sha256"]) for name in sorted(covered(folder))}


def changed_since(before: Hashes, folder: Path) -> str:
    """The first file that is no longer as it was, as a clause; empty: none."""
    now = hashes(folder)
    for name, digest in before.items():
        if now.get(name) != digest:
            return f"{name} changed on the disk while it was judged"
    return ""
