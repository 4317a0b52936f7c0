"""Whether an exported folder is what it says, looked at before anything in it is loaded.

An ONNX file can name weights anywhere on the disk, operators that other libraries bring, and sizes
that no memory holds. So the graphs are read here as plain bytes first; ONNX Runtime sees only a
folder that passed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from tinyforge.artifacts import manifest
from tinyforge.artifacts.export_folder import (
    HIDDEN,
    RECORD,
    ROLES,
    STATES,
    ExportRecord,
    read_record,
)
from tinyforge.artifacts.files import read_json
from tinyforge.errors import FolderError
from tinyforge.inference.onnx.graph_file import read_graph

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".msgpack", ".h5", ".joblib", ".npy",
           ".npz", ".so", ".dll", ".dylib", ".pyd", ".py", ".pyc")  # fmt: skip
"""Endings of files that can run code when they are opened; an export has none."""

LARGEST_TEXT = 2**28
"""Bytes of a JSON file, at most. The largest real one is a tokenizer of some 40 MB."""


def check_export(folder: Path) -> ExportRecord:
    """The record of an exported folder that is safe to load.

    Refused are: symbolic links and other things that are no plain files, files that can hold code,
    files that the manifest does not list or whose size it does not give, graphs that the record
    does not name, graphs that are damaged, too large or have operators from elsewhere, and weights
    outside the folder or longer than their file. The bytes themselves are not hashed: that is
    ``tinyforge verify``.

    Raises:
        FolderError: it is not; the first reason found, in one line.
    """
    folder = Path(folder)
    files = _plain_files(folder)
    _check_listed(folder, files)
    if str(RECORD) not in files:
        raise FolderError(
            "there is no export in this folder", where=str(folder),
            fix="Give a folder that tinyforge export made",
        )  # fmt: skip
    record = read_record(folder)
    _check_record(record, folder)
    known = set(record.graphs.values())
    extra = [name for name in files if name.endswith((".onnx", ".ort")) and name not in known]
    if extra:
        raise FolderError("is a graph that the export does not name", where=str(folder / extra[0]))
    for role in sorted(ROLES[record.family]):
        path = record.graph(folder, role)
        if path.name not in files:
            raise FolderError("the graph is missing", where=str(path), fix="Export the model again")
        seen = read_graph(path, files)
        for kind, wanted, found in zip(
            ("inputs", "outputs"), ports(record, role), (seen.inputs, seen.outputs), strict=True
        ):
            more = {HIDDEN} if kind == "outputs" and role in STATES else set()
            if wanted != set(found) - more:
                odd = sorted(wanted ^ (set(found) - more))
                raise FolderError(
                    f"the graph's {kind} are not those of its role", where=str(path),
                    value=", ".join(odd[:4]), fix="Export the model again",
                )  # fmt: skip
    return record


def ports(record: ExportRecord, role: str) -> tuple[set[str], set[str]]:
    """The inputs and the outputs of a role's graph; see ``artifacts.export_folder``."""
    if record.cache is None or role == "model":
        return {"input_ids", "attention_mask"}, {"logits"}
    layers = range(record.cache.layers)
    pairs = {f"{i}.{part}" for i in layers for part in ("key", "value")}
    cross = {f"cross.{pair}" for pair in pairs}
    if role == "encoder":
        return {"input_ids", "attention_mask"}, cross
    inputs = {"input_ids", "attention_mask", "keep", *(f"past_key_values.{p}" for p in pairs)}
    if record.cache.positions:
        inputs.add("position_ids")
    if record.family == "encoder-decoder":
        inputs |= {"encoder_attention_mask", *cross}
    return inputs, {"logits", *(f"present.{p}" for p in pairs)}


def _plain_files(folder: Path) -> dict[str, int]:
    """The files below a folder, relative name to size.

    Raises:
        FolderError: one of them, or a folder, is a link or something else, or may hold code.
    """
    if not folder.is_dir():
        raise FolderError("no such folder", where=str(folder))
    found: dict[str, int] = {}
    for entry in _entries(folder):
        status = entry.stat(follow_symlinks=False)
        path = Path(entry.path)
        if stat.S_ISLNK(status.st_mode):
            raise FolderError(
                "is a symbolic link, which an export may not have", where=str(path),
                fix="Copy the file itself into the folder",
            )  # fmt: skip
        if stat.S_ISDIR(status.st_mode):
            continue
        if not stat.S_ISREG(status.st_mode):
            raise FolderError("is no plain file", where=str(path))
        if path.suffix.lower() in PICKLES:
            raise FolderError(
                "is a kind of file that can run code when it is opened", where=str(path),
                fix="An export has none: take it out",
            )  # fmt: skip
        if path.suffix in (".json", ".jinja") and status.st_size > LARGEST_TEXT:
            raise FolderError(
                "is too large to be what it says", where=str(path), value=f"{status.st_size:,}"
            )
        found[path.relative_to(folder).as_posix()] = status.st_size
    return found


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder; links are given and not followed."""
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda e: e.name):
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    yield from _entries(Path(entry.path))
    except OSError as error:
        raise FolderError("cannot be read", where=str(folder), value=error.strerror) from error


def _check_listed(folder: Path, files: dict[str, int]) -> None:
    """Compare names and sizes with the manifest, where there is one."""
    where = folder / manifest.MANIFEST
    if str(manifest.MANIFEST) not in files:
        return
    listed = manifest.files_in(read_json(where), where)
    advice = "Copy or export the model again; tinyforge verify names everything that changed"
    for name, entry in listed.items():
        if name not in files:
            raise FolderError("is missing", where=str(folder / name), fix=advice)
        if files[name] != entry["bytes"]:
            raise FolderError(
                "has not the size that the manifest gives", where=str(folder / name),
                value=f"{files[name]:,} bytes", fix=advice,
            )  # fmt: skip
    for found in manifest.covered(folder):
        if str(found) not in listed:
            raise FolderError("is not in the manifest", where=str(folder / found), fix=advice)


def _check_record(record: ExportRecord, folder: Path) -> None:
    """Sizes that memory is set aside for are numbers, and no absurd ones."""
    cache = record.cache
    if cache is None:
        return
    sizes = (cache.layers, cache.heads, cache.head_size)
    sound = all(type(size) is int and 0 < size <= 65_536 for size in sizes)
    kinds = ("float32", "float16", "bfloat16", "int8")
    if not sound or cache.dtype not in kinds or cache.kind not in ("in-place", "growing"):
        raise FolderError(
            "is damaged: a cache that cannot be", where=str(folder / RECORD), value=str(cache)
        )
