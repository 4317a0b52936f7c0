"""Checkpoints: a training's whole state, written so that a kill or a full disk cannot spoil it.

A checkpoint is a folder ``step-00001234`` of safetensors and JSON files, no pickle. It is written
under a temporary name, every file synced to the disk, then a manifest with sizes and SHA-256, then
one rename makes it visible. Whatever has the final name is whole, or its manifest says otherwise.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from tinyforge.artifacts.files import disk_errors, read_json, sync_file, sync_folder
from tinyforge.artifacts.manifest import check, describe, files_in
from tinyforge.errors import FolderError

if TYPE_CHECKING:
    import torch

log = logging.getLogger("tinyforge")

Tensors = Mapping[str, "torch.Tensor"]

STATE = "state.json"
MANIFEST = "manifest.json"
_NAME = re.compile(r"step-(\d{8,})")
_DTYPES = {
    # Names of number formats in a safetensors header.
    "float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16", "int64": "I64",
    "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "bool": "BOOL",
}  # fmt: skip


def folder_name(step: int) -> str:
    """The name of the checkpoint after ``step`` steps."""
    return f"step-{step:08d}"


def save_checkpoint(
    folder: Path,
    files: Mapping[str, Tensors],
    state: Mapping[str, Any],
    *,
    parts: Mapping[str, Path] | None = None,
    durable: bool = True,
) -> None:
    """Write a checkpoint; an older one of the same name is replaced.

    Args:
        folder: its final path, ``checkpoints/step-00001234``.
        files: name of a safetensors file, without ending, to its tensors.
        state: plain JSON values; NaN is kept.
        parts: name of a subfolder to another checkpoint that is put there, linked where the disk
            can link, else copied.
        durable: False skips syncing: for a scratch copy that only this process needs.

    Raises:
        FolderError: the disk is full or refuses; nothing is left behind, older ones are untouched.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    fix = "Free some space, then go on with --resume: the last checkpoint is intact"
    with disk_errors(folder, fix=fix):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            _fill(temporary, files, state, parts or {}, durable)
            _publish(temporary, folder, durable)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise


def copy_checkpoint(source: Path, target: Path) -> None:
    """Put a checkpoint, without its parts, at a second place; linked where the disk can link."""
    fix = "Free some space, then go on with --resume: the last checkpoint is intact"
    with disk_errors(target, fix=fix):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in source.iterdir():
            if path.is_file():
                _link(path, target / path.name)


def _fill(
    folder: Path,
    files: Mapping[str, Tensors],
    state: Mapping[str, Any],
    parts: Mapping[str, Path],
    durable: bool,
) -> None:
    entries: dict[str, dict[str, Any]] = {}
    for name, tensors in files.items():
        entries[f"{name}.safetensors"] = write_tensors(
            folder / f"{name}.safetensors", tensors, durable=durable
        )
    for part, source in parts.items():
        (folder / part).mkdir()
        for name, entry in _entries(source).items():
            _link(source / name, folder / part / name)
            entries[f"{part}/{name}"] = entry
        _link(source / MANIFEST, folder / part / MANIFEST)
        entries[f"{part}/{MANIFEST}"] = describe(folder / part / MANIFEST)
        if durable:
            for path in (folder / part).iterdir():
                sync_file(path)
            sync_folder(folder / part)
    # json writes NaN and infinity in a way that it reads back; orjson would lose them.
    _write(folder / STATE, json.dumps(state, ensure_ascii=False).encode(), durable)
    entries[STATE] = describe(folder / STATE)
    manifest = {"format": 1, "algorithm": "sha256", "files": entries}
    _write(folder / MANIFEST, orjson.dumps(manifest, option=orjson.OPT_INDENT_2), durable)
    if durable:
        sync_folder(folder)


def _publish(temporary: Path, folder: Path, durable: bool) -> None:
    """Give the finished folder its name; a folder of that name steps aside first."""
    old = folder.with_name(f".{folder.name}.old.tmp")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    if durable:
        sync_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_tensors(path: Path, tensors: Tensors, *, durable: bool = True) -> dict[str, Any]:
    """Write a safetensors file piece by piece, with no second copy in memory.

    The package safetensors writes such files too, but from a copy of all bytes, and it hides the
    disk's errors; the format is a length, a JSON header and the raw bytes.

    Returns:
        The manifest entry: bytes and SHA-256 of what was meant to be written.
    """
    header: dict[str, Any] = {}
    position = 0
    for name, tensor in tensors.items():
        size = tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _DTYPES[str(tensor.dtype).removeprefix("torch.")],
            "shape": list(tensor.shape),
            "data_offsets": [position, position + size],
        }
        position += size
    head = orjson.dumps(header)
    head += b" " * (-len(head) % 8)
    digest, total = hashlib.sha256(), 0
    with path.open("wb") as file:
        for piece in _pieces(head, tensors):
            file.write(piece)
            digest.update(piece)
            total += len(piece)
        _end(file, durable)
    return {"bytes": total, "sha256": digest.hexdigest()}


def _pieces(head: bytes, tensors: Tensors) -> Iterator[bytes | memoryview]:
    import torch

    yield len(head).to_bytes(8, "little")
    yield head
    for tensor in tensors.values():
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        if flat.numel():
            yield flat.view(torch.uint8).numpy().data


def read_tensors(folder: Path, name: str) -> dict[str, torch.Tensor]:
    """The tensors of one safetensors file of a checkpoint, on the CPU.

    Raises:
        FolderError: the file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / f"{name}.safetensors"
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise FolderError("cannot be read", where=str(path), value=str(error)) from error


def read_state(folder: Path) -> dict[str, Any]:
    """The plain values of a checkpoint.

    Raises:
        FolderError: the file is missing or damaged.
    """
    path = folder / STATE
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FolderError("cannot be read", where=str(path), value=str(error)) from error
    if not isinstance(state, dict):
        raise FolderError("is damaged: not the state of a training", where=str(path))
    return state


def all_checkpoints(checkpoints: Path) -> list[Path]:
    """The checkpoints in a folder, the oldest first, damaged ones included."""
    if not checkpoints.is_dir():
        return []
    return sorted(
        (path for path in checkpoints.iterdir() if _NAME.fullmatch(path.name)),
        key=lambda path: step_of(path),
    )


def step_of(checkpoint: Path) -> int:
    """How many steps a checkpoint stands after, from its name."""
    return int(checkpoint.name.partition("-")[2])


def problems(checkpoint: Path) -> list[str]:
    """What is wrong with a checkpoint: one line for each flipped, cut or missing file."""
    try:
        entries = _entries(checkpoint)
    except FolderError as error:
        return [str(error)]
    found = [check(checkpoint, name, entry) for name, entry in entries.items()]
    lines = [f"{checkpoint / line}" for line in found if line]
    if STATE not in entries:
        lines.append(f"{checkpoint / MANIFEST}: names no {STATE}")
    return lines


def latest_good(checkpoints: Path) -> Path | None:
    """The newest checkpoint whose every byte is as it was written; None where there is none.

    Each damaged file that is met on the way is named in a warning.
    """
    for checkpoint in reversed(all_checkpoints(checkpoints)):
        found = problems(checkpoint)
        if not found:
            return checkpoint
        for line in found:
            log.warning(f"damaged checkpoint: {line}")
    return None


def clean_up(checkpoints: Path) -> None:
    """Remove what a killed save left, and bring back a checkpoint that it was replacing."""
    if not checkpoints.is_dir():
        return
    for left in sorted(checkpoints.glob(".*.tmp")):
        name = left.name.removeprefix(".").removesuffix(".tmp")
        if name.endswith(".old") and not (checkpoints / name.removesuffix(".old")).exists():
            left.rename(checkpoints / name.removesuffix(".old"))
        else:
            shutil.rmtree(left, ignore_errors=True)


def prune(checkpoints: Path, *, newest: Path, keep: int, best: int | None) -> None:
    """Delete all but ``newest``, older ones up to ``keep`` in all, and besides the one at ``best``.

    Those after ``newest`` belong to a past that a recovery undid, or are damaged; they go as well.
    To be called when ``newest`` is durable.
    """
    present = all_checkpoints(checkpoints)
    before = [path for path in present if best != step_of(path) <= step_of(newest)]
    kept = {path.name for path in before[-keep:]} | {newest.name}
    if best is not None:
        kept.add(folder_name(best))
    for path in present:
        if path.name not in kept:
            # First out of sight, so that a half-deleted folder is never taken for a checkpoint.
            gone = path.with_name(f".{path.name}.gone.tmp")
            with contextlib.suppress(OSError):
                path.rename(gone)
                shutil.rmtree(gone, ignore_errors=True)


def _entries(checkpoint: Path) -> dict[str, dict[str, Any]]:
    return files_in(read_json(checkpoint / MANIFEST), checkpoint / MANIFEST)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # FAT and some network disks cannot link
        shutil.copyfile(source, target)


def _write(path: Path, content: bytes, durable: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        _end(file, durable)


def _end(file: Any, durable: bool) -> None:
    file.flush()
    if durable:
        os.fsync(file.fileno())
