"""A run's folder: where things lie in it, who may write to it, and what may be replaced.

The model's files stand at the top, the run's record in ``tinyforge/``. A folder is new, holds an
unfinished run, a finished run, or something that is not ours, which is never touched.
"""

from __future__ import annotations

import contextlib
import fnmatch
import logging
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from tinyforge.artifacts.files import disk_errors, read_json, sync_file, write_json
from tinyforge.artifacts.manifest import MANIFEST, covered, write_manifest
from tinyforge.errors import FolderError, SettingError

log = logging.getLogger("tinyforge")

State = Literal["new", "unfinished", "finished", "foreign"]

MODEL_FILES = (
    # What saving a model and its tokenizer leaves at the top of a run folder.
    "tinyforge", "adapter", "README.md", "config.json", "generation_config.json",
    "model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer_config.json", "tokenizer.model", "special_tokens_map.json",
    "added_tokens.json", "chat_template*", "vocab.json", "vocab.txt", "merges.txt",
    "spiece.model", "sentencepiece*.model", "*.bpe.model",
)  # fmt: skip

KEPT_AFTER_FAILURE = {"rejected.jsonl"}
"""Says why rows could not be used; a folder that holds nothing else counts as new."""

ASIDE, MOVING = "replaced", "replaced.moving"
"""Where ``--force`` puts the old run: all of it, or a part while it is on its way."""

PASSING = {"lock", "work", ASIDE, MOVING} | KEPT_AFTER_FAILURE

CORPUS, TOKENIZER, TOKENS, TUNING = "corpus", "tokenizer", "tokens", "tuning"
"""In ``tinyforge/``: what pretraining makes of raw text before its first step, and the trials of a
search for settings. It may be the work of hours, so that a run that stops before its first
checkpoint keeps it."""


class RunFolder:
    """Paths of a run, and its end.

    Attributes:
        path: the folder; the model's files stand here.
        meta: ``path/tinyforge``, the run's record.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.meta = self.path / "tinyforge"
        self.run = self.meta / "run.json"
        self.metrics = self.meta / "metrics.jsonl"
        self.timings = self.meta / "timings.jsonl"
        self.report = self.meta / "report.json"
        self.page = self.meta / "report.html"
        self.rejected = self.meta / "rejected.jsonl"
        self.manifest = self.path / MANIFEST
        self.checkpoints = self.meta / "checkpoints"
        self.replaced = self.meta / ASIDE

    @property
    def state(self) -> State:
        """What the folder holds."""
        if self.manifest.is_file() or self._marked_finished():
            return "finished"
        if self.run.is_file() or _holds_anything(self.checkpoints):
            return "unfinished"
        ours = {"tinyforge"} if not _names(self.meta) - PASSING else set()
        return "foreign" if _names(self.path) - ours else "new"

    @property
    def finished(self) -> bool:
        """Whether the run has ended and must not be trained again."""
        return self.state == "finished"

    def finish(self) -> None:
        """Mark the run as finished, write the manifest, and delete the checkpoints.

        The model and the report are all that a finished run needs; its checkpoints would be many
        times as large. Survives being killed between any two of these acts.

        Raises:
            FolderError: the disk is full, or a file cannot be written.
        """
        with disk_errors(self.path):
            for name in covered(self.path):
                sync_file(self.path / name)
        record = read_json(self.run) if self.run.is_file() else {}
        write_json(self.run, {**record, "state": "finished"})
        write_manifest(self.path)
        shutil.rmtree(self.checkpoints, ignore_errors=True)

    def drop_replaced(self) -> None:
        """Delete what ``--force`` set aside; called once the new run has something to show."""
        shutil.rmtree(self.replaced, ignore_errors=True)

    def _marked_finished(self) -> bool:
        try:
            record = read_json(self.run)
        except FolderError:
            return False
        return isinstance(record, dict) and record.get("state") == "finished"


@contextlib.contextmanager
def open_run(path: Path, *, resume: bool = False, force: bool = False) -> Iterator[RunFolder]:
    """A run's folder, held by a lock for as long as the context lasts.

    - New or empty: made. ``resume`` says so and starts from the beginning.
    - An unfinished run: continued with ``resume``, replaced with ``force``, else refused.
    - A finished run: with ``resume`` handed out as it is (look at ``finished``), replaced with
      ``force``, else refused.
    - Anything else in it: refused, whatever is asked for.

    With ``force`` the old run is set aside and comes back if the new one fails before its first
    checkpoint. If the context is left by an error before the first checkpoint, what was written
    is removed, except ``rejected.jsonl``, a corpus that was made ready, and trials of a search.

    Raises:
        FolderError: refused, locked by another run, or not writable.
        SettingError: both ``resume`` and ``force``.
    """
    if resume and force:
        raise SettingError(
            "--resume goes on with a run and --force replaces it", fix="Give one of the two"
        )
    folder = RunFolder(path)
    if folder.path.exists() and not folder.path.is_dir():
        raise FolderError("is a file, not a folder", where=str(path), fix="Give another --output")
    if not _interrupted_force(folder):  # else what is there has to be put right first
        _refuse(folder, resume=resume, force=force)
    made = _make(folder.meta)
    with locked(folder.path):
        if not resume or (folder.meta / MOVING).exists():
            _restore(folder)
        _refuse(folder, resume=resume, force=force)
        _prepare(folder, resume=resume, force=force)
        try:
            yield folder
        except BaseException:
            if not folder.finished and not _has_checkpoint(folder) and not _has_work(folder):
                _remove_traces(folder)
            raise
        else:
            folder.drop_replaced()
        finally:
            _remove_empty(folder, made)


def _refuse(folder: RunFolder, *, resume: bool, force: bool) -> None:
    state, where = folder.state, str(folder.path)
    if state == "foreign":
        raise FolderError(
            "the folder is not empty, and what is in it is not a TinyForge run",
            where=where, value=sorted(_names(folder.path))[0], fix="Give another --output",
        )  # fmt: skip
    if state in ("unfinished", "finished") and not resume and not force:
        raise FolderError(
            f"the folder already holds {'a' if state == 'finished' else 'an'} {state} run",
            where=where,
            fix="Replace it with --force, or give another --output"
            if state == "finished"
            else "Go on with it with --resume, replace it with --force, or give another --output",
        )
    if force and (others := _not_ours(folder)):
        raise FolderError(
            "beside the run there are files that it did not write, which --force does not delete",
            where=where, value=others[0], fix="Move them away, or give another --output",
        )  # fmt: skip


def _not_ours(folder: RunFolder) -> list[str]:
    return sorted(
        name
        for name in _names(folder.path)
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in MODEL_FILES)
    )


def _prepare(folder: RunFolder, *, resume: bool, force: bool) -> None:
    state = folder.state
    if force and state != "new":
        _set_aside(folder)
    elif resume and state == "new":
        log.info(f"{folder.path}: there is nothing to resume; the run starts from the beginning")
    elif resume and state == "finished":
        if not folder.manifest.is_file() and _holds_anything(folder.checkpoints):
            folder.finish()  # it was killed in the middle of its end
        shutil.rmtree(folder.checkpoints, ignore_errors=True)
    for left in (*folder.path.glob(".*.tmp"), *folder.meta.glob(".*.tmp")):
        left.unlink(missing_ok=True)


def _make(meta: Path) -> list[Path]:
    """Make a folder; return those that were missing, the innermost first."""
    missing = [folder for folder in (meta, *meta.parents) if not folder.exists()]
    with disk_errors(meta, fix="Give an --output that can be written to"):
        meta.mkdir(parents=True, exist_ok=True)
    return missing


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a folder, by a lock on ``tinyforge/lock`` in it.

    Raises:
        FolderError: another process is at work in it, or it cannot be written.
    """
    path = folder / "tinyforge" / "lock"
    with disk_errors(path, fix="Give an --output that can be written to"):
        file = path.open("a+")
    with file:
        _acquire(file, folder)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                file.truncate(0)


def _acquire(file: IO[str], folder: Path) -> None:
    if sys.platform == "win32":  # two runs in one folder are then not noticed
        return
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        raise FolderError(
            "another run is at work in this folder",
            where=str(folder), value=f"process {file.read().strip() or 'unknown'}",
            fix="Wait for it, stop it, or give another --output",
        ) from None  # fmt: skip
    except OSError:  # some network disks know no locks
        log.warning(f"{folder}: this disk has no locks; do not start a second run here")
        return
    with contextlib.suppress(OSError):
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()


def _set_aside(folder: RunFolder) -> None:
    """Move the old run into ``tinyforge/replaced``; only renames, so it takes no time.

    The target has another name until all is there: whoever finds that name knows that the new run
    has not begun, and that everything in it goes back.
    """
    moving = folder.meta / MOVING
    with disk_errors(folder.path):
        for name in _names(folder.path) - {"tinyforge"}:
            _move(folder.path / name, moving / "top" / name)
        for name in _names(folder.meta) - {"lock", MOVING}:
            _move(folder.meta / name, moving / "meta" / name)
        moving.rename(folder.replaced)


def _interrupted_force(folder: RunFolder) -> bool:
    return (folder.meta / MOVING).exists() or folder.replaced.exists()


def _restore(folder: RunFolder) -> None:
    """Bring back what was set aside, unless the new run has something to show."""
    moving = folder.meta / MOVING
    if folder.replaced.exists():
        if folder.finished or _has_checkpoint(folder):
            folder.drop_replaced()
            return
        for name in _names(folder.meta) - {"lock", ASIDE}:
            _remove(folder.meta / name)
        folder.replaced.rename(moving)
    for side, target in (("top", folder.path), ("meta", folder.meta)):
        for name in _names(moving / side):
            _move(moving / side / name, target / name)
    shutil.rmtree(moving, ignore_errors=True)


def _remove_traces(folder: RunFolder) -> None:
    """Take back a run that failed before its first checkpoint."""
    for name in _names(folder.meta) - KEPT_AFTER_FAILURE - {"lock", ASIDE}:
        _remove(folder.meta / name)
    if folder.rejected.is_file() and not folder.rejected.stat().st_size:
        folder.rejected.unlink()  # no row was rejected, so it says nothing
    _restore(folder)


def _remove_empty(folder: RunFolder, made: list[Path]) -> None:
    """Remove the folders that this run made, as far as they are empty but for the lock."""
    if made and _names(folder.meta) <= {"lock"}:
        with contextlib.suppress(OSError):
            (folder.meta / "lock").unlink()
            for path in made:
                path.rmdir()


def _move(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    old.rename(new)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _has_checkpoint(folder: RunFolder) -> bool:
    return any(name.startswith("step-") for name in _names(folder.checkpoints))


def _has_work(folder: RunFolder) -> bool:
    kept = (CORPUS, TOKENIZER, TOKENS, TUNING)
    return any(_holds_anything(folder.meta / name) for name in kept)


def _holds_anything(folder: Path) -> bool:
    return bool(_names(folder))
