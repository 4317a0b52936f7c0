"""Where an export is made, and how it takes its place: all of it at once, or nothing.

Everything is made in a hidden folder beside the target, on the same disk, and only what has passed
the gate is renamed to the target. Whatever ends the work before that leaves the target as it was.
"""

from __future__ import annotations

import contextlib
import errno
import shutil
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from tinyforge.artifacts.export_folder import GATE, RECORD
from tinyforge.artifacts.files import read_json, sync_file, sync_folder
from tinyforge.artifacts.manifest import MANIFEST, covered, files_in
from tinyforge.artifacts.run_folder import locked
from tinyforge.errors import FolderError, Interrupted

FULL = "the disk is full"
"""As ``artifacts.files`` says it."""

_FULL = {errno.ENOSPC, errno.EDQUOT}
_LEAST = 4.5
"""Times the size of float32 weights that have to be free: the graphs, a candidate, and some air."""


@dataclass(frozen=True)
class Place:
    """A folder to work in, and the target beside it.

    Attributes:
        target: where the export will be.
        work: an empty folder; it is gone afterwards.
    """

    target: Path
    work: Path

    def publish(self, made: Path) -> None:
        """Put a finished folder in the target's place, durably.

        What was there before is deleted only once the new folder stands there.
        """
        for name in covered(made):
            sync_file(made / name)
        sync_file(made / MANIFEST)
        for folder in (made / "tinyforge", made):
            sync_folder(folder)
        if self.target.is_dir():
            self.target.rename(self.work / "replaced")
        made.rename(self.target)
        sync_folder(self.target.parent)


@contextlib.contextmanager
def open_place(target: Path, model: Path | None, *, force: bool) -> Iterator[Place]:
    """A place to make an export in.

    Args:
        target: a folder that does not exist yet, an empty one, or with ``force`` one that holds an
            export and nothing else. Where it is a link, what it points to is meant.
        model: the folder that is exported; the target must not lie in it.

    Raises:
        FolderError: the target holds something else, another process is at work on it, the disk is
            full, or it cannot be written.
    """
    check_target(Path(target), model, force=force)
    target = Path(target).resolve()
    work = target.parent / f".{target.name}.exporting"
    made, ours = _make(work), False
    try:
        with _stoppable(), _full_disk(target), locked(work):
            ours = True
            _recover(work, target)
            _clear(work)
            try:
                yield Place(target, work)
            finally:
                _recover(work, target)
                _clear(work)
    finally:
        if ours:  # else another process is at work there
            _remove(work, made)


def check_room(place: Place, parameters: int) -> None:
    """Raise FolderError where the disk cannot hold what will be made: better now than half-way."""
    needed = int(4 * parameters * _LEAST)
    free = shutil.disk_usage(place.work).free
    if free < needed:
        raise FolderError(
            "there is not enough room on the disk", where=str(place.target.parent),
            value=f"{free / 1e6:,.0f} MB free, about {needed / 1e6:,.0f} MB needed",
            fix="Free some space, or give an --output on another disk",
        )  # fmt: skip


def is_ours(folder: Path) -> bool:
    """Whether a folder holds an export of any format."""
    return (folder / RECORD).is_file() or (folder / GATE).is_file()


def check_target(target: Path, model: Path | None, *, force: bool) -> None:
    """Refuse a target that must not be written to; see ``open_place``.

    Raises:
        FolderError: it holds something else, or lies in the model's own folder.
    """
    where = str(target)
    if target.exists() and not target.is_dir():
        raise FolderError("is a file, not a folder", where=where, fix="Give another --output")
    if model is not None and target.absolute().resolve().is_relative_to(model.resolve()):
        raise FolderError(
            "lies within the model's own folder", where=where, fix="Give a folder beside it"
        )
    if target.is_mount():  # it cannot be renamed, and so not appear all at once
        raise FolderError(
            "is where a disk is mounted, and a finished export could not take its place",
            where=where, fix=f"Give a folder in it, for example {target / 'export'}",
        )  # fmt: skip
    if not target.is_dir() or not any(target.iterdir()):
        return
    if not is_ours(target):
        raise FolderError(
            "the folder is not empty, and what is in it is not an export", where=where,
            value=min(path.name for path in target.iterdir()), fix="Give another --output",
        )  # fmt: skip
    if not force:
        raise FolderError(
            "the folder already holds an export", where=where,
            fix="Replace it with --force, or give another --output",
        )  # fmt: skip
    if others := _not_ours(target):
        raise FolderError(
            "beside the export there are files that it did not write, which --force does not "
            "delete", where=where, value=others[0],
            fix="Move them away, or give another --output",
        )  # fmt: skip


def _not_ours(target: Path) -> list[str]:
    try:
        listed = set(files_in(read_json(target / MANIFEST), target / MANIFEST))
    except FolderError:
        return []  # a damaged export may be replaced
    return sorted(str(name) for name in covered(target) if str(name) not in listed)


def _make(work: Path) -> list[Path]:
    """Make the folder to work in; return those around it that were missing, innermost first."""
    missing = [folder for folder in work.parents if not folder.exists()]
    with _writable(work):
        (work / "tinyforge").mkdir(parents=True, exist_ok=True)
    return missing


def _recover(work: Path, target: Path) -> None:
    """Bring back what was being replaced, where the new folder never took its place."""
    if (work / "replaced").is_dir() and not target.exists():
        (work / "replaced").rename(target)


def _clear(work: Path) -> None:
    for path in work.iterdir():
        if path.name == "tinyforge":
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _remove(work: Path, made: list[Path]) -> None:
    """Take away the folder to work in, and the folders around it where nothing came of it."""
    shutil.rmtree(work, ignore_errors=True)
    for path in made:
        with contextlib.suppress(OSError):
            path.rmdir()


class _Terminated(KeyboardInterrupt):
    """A SIGTERM, which no library takes for a failure of its own, as it would an ``Exception``."""


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Where the command line turns a SIGTERM into an error, it stops the work as Ctrl-C does.

    Raises:
        Interrupted: it came.
    """
    alone = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if alone else None
    if not callable(before):
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    except _Terminated as stop:
        raise Interrupted(
            "stopped by SIGTERM; nothing was left behind", signal_number=signal.SIGTERM,
            fix="Export again",
        ) from stop  # fmt: skip
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Terminated


@contextlib.contextmanager
def _full_disk(target: Path) -> Iterator[None]:
    """A full disk, wherever it shows, in one clear line."""
    try:
        yield
    except (OSError, FolderError) as error:
        full = error.errno in _FULL if isinstance(error, OSError) else error.what == FULL
        if not full:
            raise
        raise FolderError(
            f"{FULL}; nothing was left behind", where=str(target.absolute().parent),
            fix="Free some space, then export again",
        ) from error  # fmt: skip


@contextlib.contextmanager
def _writable(work: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FolderError(
            "cannot be written", where=str(work.parent), value=error.strerror,
            fix="Check the folder's permissions, or give another --output",
        ) from error  # fmt: skip
