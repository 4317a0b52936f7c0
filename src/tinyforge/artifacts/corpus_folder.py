"""A prepared corpus' folder: where things lie in it, who may write to it, what may be replaced."""

from __future__ import annotations

import contextlib
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import orjson

from tinyforge.artifacts.files import disk_errors, read_json, sync_folder, write_bytes, write_json
from tinyforge.artifacts.manifest import MANIFEST, write_manifest
from tinyforge.artifacts.run_folder import locked
from tinyforge.errors import FolderError, SettingError

log = logging.getLogger("tinyforge")

State = Literal["new", "unfinished", "finished", "foreign"]

OURS = ("tinyforge", "train", "validation", "test", "ledger", "dropped.jsonl.zst")


class CorpusFolder:
    """Paths of a corpus, and how far it is.

    Attributes:
        path: the folder; the parts' Parquet files and the ledger stand below it.
        meta: ``path/tinyforge``, the record.
        work: what lies there only while the corpus is prepared.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.meta = self.path / "tinyforge"
        self.work = self.meta / "work"
        self.record = self.meta / "prepare.json"
        self.report = self.meta / "report.json"
        self.page = self.meta / "report.html"
        self.dropped = self.path / "dropped.jsonl.zst"
        self.manifest = self.path / MANIFEST
        self._plan = self.work / "plan.zst"
        self._beginning = self.meta / "beginning"

    @property
    def state(self) -> State:
        """What the folder holds."""
        if self._beginning.exists():
            return "new"  # killed while it made room, which ``begin`` does again
        if self.record.is_file() and self.manifest.is_file():
            return "finished"
        if self._plan.is_file():
            return "unfinished"
        return "foreign" if _names(self.path) - {"tinyforge"} or self._foreign_meta() else "new"

    def begin(self, plan: dict[str, Any]) -> None:
        """Note what is to be done; from now on the folder holds an unfinished corpus.

        What an earlier corpus left in the folder is removed.
        """
        import zstandard

        with disk_errors(self.path):
            self._beginning.touch()
            sync_folder(self.meta)
            old = _names(self.meta) - {"lock", "beginning"}
            for name in (*OURS[1:], *(f"tinyforge/{name}" for name in old)):
                _remove(self.path / name)
            self.work.mkdir()
            packed = zstandard.ZstdCompressor().compress(orjson.dumps(plan))
            write_bytes(self._plan, packed)
            self._beginning.unlink()

    def plan(self) -> dict[str, Any]:
        """What ``begin`` noted.

        Raises:
            FolderError: it is damaged.
        """
        import zstandard

        try:
            data = zstandard.ZstdDecompressor().decompress(self._plan.read_bytes())
            plan: dict[str, Any] = orjson.loads(data)
        except (OSError, zstandard.ZstdError, orjson.JSONDecodeError) as problem:
            raise FolderError("is damaged", where=str(self._plan), value=str(problem)) from None
        return plan

    def is_done(self, stage: str) -> bool:
        """Whether a stage was ended, in this process or an earlier one."""
        return (self.work / "done" / f"{stage}.json").is_file()

    def mark_done(self, stage: str) -> None:
        """Note that a stage is ended and need not be done again."""
        (self.work / "done").mkdir(exist_ok=True)
        write_json(self.work / "done" / f"{stage}.json", {})

    def finish(self) -> None:
        """Write the manifest, which says that all is there, and remove what was only for work."""
        write_manifest(self.path)
        shutil.rmtree(self.work, ignore_errors=True)

    def identity(self) -> dict[str, Any]:
        """What a finished corpus was made from."""
        found: dict[str, Any] = read_json(self.record)["identity"]
        return found

    def _foreign_meta(self) -> bool:
        """Whether ``tinyforge/`` is that of something else, such as a trained model."""
        return bool(_names(self.meta) - {"lock", "work"})


@contextlib.contextmanager
def open_corpus(path: Path, *, resume: bool = False, force: bool = False) -> Iterator[CorpusFolder]:
    """A corpus' folder, held by a lock for as long as the context lasts.

    - New or empty: made. ``resume`` says so and starts from the beginning.
    - Unfinished: continued with ``resume``, replaced with ``force``, else refused.
    - Finished: with ``resume`` handed out as it is, replaced with ``force``, else refused.
    - Anything else in it: refused, whatever is asked for.

    Nothing is replaced before ``begin``; an error before that leaves everything as it was.

    Raises:
        FolderError: refused, locked by another process, or not writable.
        SettingError: both ``resume`` and ``force``.
    """
    if resume and force:
        raise SettingError(
            "--resume goes on with a corpus and --force replaces it", fix="Give one of the two"
        )
    folder = CorpusFolder(path)
    if folder.path.exists() and not folder.path.is_dir():
        raise FolderError("is a file, not a folder", where=str(path), fix="Give another --output")
    _refuse(folder, resume=resume, force=force)
    missing = [part for part in (folder.meta, *folder.meta.parents) if not part.exists()]
    with disk_errors(folder.meta, fix="Give an --output that can be written to"):
        folder.meta.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder.path):
            _refuse(folder, resume=resume, force=force)
            if resume and folder.state == "new":
                log.info(f"{path}: there is nothing to resume; the work starts from the beginning")
            if folder.state == "finished" and not force:
                shutil.rmtree(folder.work, ignore_errors=True)  # of one killed at its very end
            yield folder
    finally:
        _remove_empty(folder, missing)


def _refuse(folder: CorpusFolder, *, resume: bool, force: bool) -> None:
    state, where = folder.state, str(folder.path)
    if state == "foreign":
        first = min(_names(folder.path) - {"tinyforge"}, default="tinyforge")
        raise FolderError(
            "the folder is not empty, and what is in it is no prepared corpus",
            where=where, value=first, fix="Give another --output",
        )  # fmt: skip
    if state in ("unfinished", "finished") and not resume and not force:
        raise FolderError(
            f"the folder already holds {'a' if state == 'finished' else 'an'} {state} corpus",
            where=where,
            fix="Replace it with --force, or give another --output"
            if state == "finished"
            else "Go on with it with --resume, replace it with --force, or give another --output",
        )
    if force and (others := sorted(_names(folder.path) - set(OURS))):
        raise FolderError(
            "beside the corpus there are files that are not part of it",
            where=where, value=others[0], fix="Move them away, or give another --output",
        )  # fmt: skip


def _remove_empty(folder: CorpusFolder, made: list[Path]) -> None:
    """Remove the folders that this process made, as far as they are empty but for the lock."""
    if made and _names(folder.meta) <= {"lock"}:
        with contextlib.suppress(OSError):
            (folder.meta / "lock").unlink()
            for path in made:
                path.rmdir()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()
