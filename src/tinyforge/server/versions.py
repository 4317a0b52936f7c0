"""Which version of each model serves, and the copies of files that make going back possible.

A served model's files must not change under it: weights are mapped into memory, and a file that
is written over in place would change its answers, or end the process. So what serves is a private
copy, made and checked once; it is found by its content, so that what has not changed is not loaded
again. The copies of the version that serves and of the one before are kept, for going back, and for
a worker process that takes a dead one's place.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from tinyforge.artifacts import manifest
from tinyforge.artifacts.files import disk_errors, read_json
from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, ModelError, SettingError, TinyForgeError
from tinyforge.models.folder import TASK_FILE, is_adapter

log = logging.getLogger("tinyforge")

Places = Mapping[str, str]
"""A model's name to where it is loaded from: a folder, a hub id, or ``BASE+ADAPTER`` of these."""
Switch = Callable[[Places], Awaitable[None]]
"""Serves from these places instead, every model or, where it raises, none."""

_LEFT_OUT = (".", "checkpoint", "runs")
"""Beginnings of the names of folders that are no part of a model, where no manifest says what is:
versions of its history, and what a trainer keeps."""


class Store:
    """Copies of models' folders, each in a folder named by its content.

    Args:
        folder: where they are; it is deleted in the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take_in(self, place: str, *, verify: bool) -> str:
        """Copy what a place names; the same place with the copies in it.

        Raises:
            FolderError: a file is not as the manifest has it, or cannot be copied.
        """
        return "+".join(self._copied(part, verify) for part in parts_of(place))

    def keep_only(self, places: Iterable[str]) -> None:
        """Delete the copies that none of these places name."""
        kept = {Path(part).name for place in places for part in parts_of(place)}
        for found in list(self.folder.iterdir()):
            if found.name not in kept:
                shutil.rmtree(found, ignore_errors=True)

    def close(self) -> None:
        """Delete all of it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _copied(self, part: str, verify: bool) -> str:
        # Resolved once: a link that is pointed elsewhere meanwhile does not mix two versions.
        source = Path(part).resolve()
        if is_adapter(source) and (source.parent / TASK_FILE).is_file():
            source = source.parent  # its task and tokenizer are those of the run around it
        if not source.is_dir():
            return part  # a hub id
        with disk_errors(source):
            copy = Path(tempfile.mkdtemp(prefix="coming-", dir=self.folder))
            try:
                for name in _files(source):
                    (copy / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(source / name, copy / name)
                found = {
                    str(name): manifest.describe(copy / name)
                    for name in sorted(manifest.covered(copy))
                }
                if verify:
                    _check(copy, found, part)
                content = "\n".join(f"{name} {about['sha256']}" for name, about in found.items())
                final = self.folder / hashlib.sha256(content.encode()).hexdigest()[:16]
                if not final.is_dir():
                    copy.rename(final)
            finally:
                shutil.rmtree(copy, ignore_errors=True)
        return str(final)


class Versions:
    """What serves now, and what served before.

    Args:
        named: names to places, as the user gave them.
    """

    def __init__(self, named: Places, settings: ServeSettings) -> None:
        self._named, self._verify = named, settings.verify
        self._store: Store | None = None
        if settings.keep_versions:
            self._store = Store(Path(tempfile.mkdtemp(prefix="tinyforge-serve-")))
            if "+" in str(self._store.folder):
                raise SettingError(
                    "may have no + in its name", where="TMPDIR", value=tempfile.gettempdir(),
                    fix="Set TMPDIR to another folder",
                )  # fmt: skip
        self._changing = asyncio.Lock()
        self.current: Places = {}
        self._before: Places | None = None

    def begin(self) -> Places:
        """Take in every model for the first time.

        Raises:
            FolderError: as ``Store.take_in``.
        """
        self.current = self._taken_in()
        return self.current

    async def reload(self, switch: Switch) -> bool:
        """Serve what lies in the models' places now; all of it, or nothing changes.

        What goes wrong is written to the log. Whether it is done.
        """
        async with self._changing:
            try:
                places = await asyncio.to_thread(self._taken_in)
            except TinyForgeError as error:
                log.error("nothing is loaded anew: %s", error)
                return False
            if self._store is not None and places == self.current:
                log.info("no file of any model has changed")
            return await self._switch(switch, places)

    async def roll_back(self, switch: Switch) -> bool:
        """Serve the version before again; the one that serves now is then the one before.

        Whether it is done.
        """
        async with self._changing:
            if self._before is None or self._store is None:
                log.error("there is no version before to go back to")
                return False
            return await self._switch(switch, self._before)

    async def _switch(self, switch: Switch, places: Places) -> bool:
        try:
            await switch(places)
        except TinyForgeError as error:
            log.error("the version that served goes on serving: %s", error)
            return False
        if places != self.current:
            self._before, self.current = self.current, places
        if self._store is not None:
            used = [*self.current.values(), *(self._before or {}).values()]
            await asyncio.to_thread(self._store.keep_only, used)
        return True

    def _taken_in(self) -> Places:
        if self._store is not None:
            store = self._store
            return {
                name: store.take_in(place, verify=self._verify)
                for name, place in self._named.items()
            }
        if self._verify:
            for place in self._named.values():
                for part in parts_of(place):
                    _verify(Path(part))
        return dict(self._named)

    def close(self) -> None:
        """Delete the copies."""
        if self._store is not None:
            self._store.close()


def parts_of(place: str) -> list[str]:
    """The places that ``BASE+ADAPTER`` is made of; a folder with such a name is one place."""
    if Path(place).exists() or "+" not in place:
        return [place]
    base, _, adapter = place.rpartition("+")
    return [base, adapter]


@contextlib.contextmanager
def failing_to_load(name: str) -> Iterator[None]:
    """What a model's files make go wrong, as an error that leaves the old version in service."""
    try:
        yield
    except TinyForgeError:
        raise
    except Exception as error:
        raise ModelError(
            "cannot be loaded", where=name, value=f"{type(error).__name__}: {error}"
        ) from error


def _files(folder: Path) -> Iterator[PurePosixPath]:
    """What belongs to a model, as paths below its folder."""
    if (folder / manifest.MANIFEST).is_file():
        yield manifest.MANIFEST
        yield from manifest.covered(folder)
        return
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(_LEFT_OUT)]
        base = PurePosixPath(Path(root).relative_to(folder).as_posix())
        yield from (base / name for name in files if (folder / base / name).is_file())


def _check(copy: Path, found: Mapping[str, Mapping[str, object]], place: str) -> None:
    """Raise FolderError where a copy is not what the manifest in it says."""
    path = copy / manifest.MANIFEST
    if not path.is_file():
        return
    listed = manifest.files_in(read_json(path), Path(place) / manifest.MANIFEST)
    for name in sorted(listed.keys() | found.keys()):
        entry = listed.get(name)
        if entry is None:
            raise _changed(place, f"{name}: extra, not in the manifest")
        if name not in found:
            raise _changed(place, f"{name}: missing")
        if any(found[name][key] != entry[key] for key in ("bytes", "sha256")):
            raise _changed(place, f"{name}: changed")


def _verify(folder: Path) -> None:
    if (folder / manifest.MANIFEST).is_file() and (problems := manifest.verify(folder)):
        raise _changed(str(folder), problems[0])


def _changed(place: str, problem: str) -> FolderError:
    return FolderError(
        "a file is not as it was made", where=place, value=problem,
        fix="Export or train it again, or put the file back from a copy",
    )  # fmt: skip
