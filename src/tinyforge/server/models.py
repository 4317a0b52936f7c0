"""The models that a server answers with, by name."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.config.serve import ServeSettings
from tinyforge.errors import FolderError, SettingError, TinyForgeError
from tinyforge.server.problems import Problem
from tinyforge.server.queue import Queue

log = logging.getLogger("tinyforge")


@dataclass(frozen=True)
class Served:
    """A model in service.

    Attributes:
        name: what clients call it.
        place: the folder or hub id that it comes from.
        version: the beginning of its weights' SHA-256.
        created: when it was loaded, seconds since 1970.
    """

    name: str
    place: str
    model: Any
    queue: Queue
    version: str
    created: int

    @property
    def task(self) -> str:
        """What it does."""
        return str(self.model.task.name)

    @property
    def writes(self) -> bool:
        """Whether it writes text, rather than choosing labels."""
        return self.task != "classify"

    def put_away(self) -> None:
        """Answer what waits, then let go of the model."""
        self.queue.close()
        close = getattr(self.model, "close", None)
        if close is not None:
            close()


class Pool:
    """All models of a server; one can be replaced while it answers."""

    def __init__(self, named: dict[str, str], settings: ServeSettings) -> None:
        self._named, self._settings = named, settings
        self._served: dict[str, Served] = {}
        self._lock = threading.Lock()

    def load(self) -> None:
        """Load all; raises what loading raises."""
        for name, place in self._named.items():
            self._served[name] = open_model(name, place, self._settings)

    def all(self) -> list[Served]:
        """In the order of the command line."""
        return list(self._served.values())

    def get(self, name: str | None) -> Served:
        """A model by name; None: the first.

        Raises:
            Problem: 404 where there is none.
        """
        if name is None:
            return next(iter(self._served.values()))
        found = self._served.get(name)
        if found is None:
            names = ", ".join(self._served)
            raise Problem(
                404, f"there is no model of that name; there are: {names}", param="model",
                code="model_not_found",
            )  # fmt: skip
        return found

    async def reload(self) -> list[str]:
        """Load every model anew and put it in the old one's place.

        Requests that the old one has begun, or that wait for it, are answered by it. A model that
        cannot be loaded leaves the old one in service.

        Returns:
            The names that were replaced.
        """
        done = []
        for name, place in self._named.items():
            try:
                new = await asyncio.to_thread(open_model, name, place, self._settings)
            except TinyForgeError as error:
                log.error("%s stays as it is, since the new version cannot be loaded: %s",
                          name, error)  # fmt: skip
                continue
            with self._lock:
                old, self._served[name] = self._served[name], new
            old.queue.successor = new.queue
            await asyncio.to_thread(old.put_away)
            done.append(name)
            log.info("%s: version %s serves in the place of %s", name, new.version, old.version)
        return done

    def close(self) -> None:
        """Put all away."""
        for served in self.all():
            served.put_away()


def names_of(models: Sequence[str]) -> dict[str, str]:
    """Names to places, from ``PLACE`` (its last part is the name) or ``NAME=PLACE``.

    Raises:
        SettingError: none is given, or two have one name.
    """
    found: dict[str, str] = {}
    for text in models:
        name, sign, place = text.partition("=")
        if not sign or Path(text).exists():
            name, place = Path(text).resolve().name if Path(text).exists() else text, text
        if name in found:
            raise SettingError(
                "two models have this name", where="MODEL", value=name, fix="Write NAME=PLACE"
            )
        found[name] = place
    if not found:
        raise SettingError("no model is named", where="MODEL", fix="Give a model's folder")
    return found


def open_model(name: str, place: str, settings: ServeSettings) -> Served:
    """Check a model's files, load it and open its queue.

    Raises:
        FolderError: a file is not as the manifest has it.
        TinyForgeError: as loading.
    """
    folder = Path(place)
    if settings.verify and (folder / "tinyforge" / "manifest.json").is_file():
        from tinyforge.artifacts.manifest import verify

        problems = verify(folder)
        if problems:
            raise FolderError(
                "a file is not as it was made", where=place, value=problems[0],
                fix="Export or train it again, or put the file back from a copy",
            )  # fmt: skip

    from tinyforge.recipes.load import load

    model = load(place)
    writes = model.task.name != "classify"
    mixes = writes and type(model).__name__ == "OnnxModel"
    queue = Queue(
        model, waiting=settings.max_waiting, rows=settings.batch_rows,
        threads=settings.parallel_texts if mixes else 1,
    )  # fmt: skip
    version = str(getattr(model, "hash", "") or getattr(model, "base", model).hash)
    return Served(name, place, model, queue, version, int(time.time()))
