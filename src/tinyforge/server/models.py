"""The models that a server answers with, by name."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinyforge.artifacts.reference import read_reference
from tinyforge.config.serve import ServeSettings
from tinyforge.errors import SettingError
from tinyforge.server.problems import Problem
from tinyforge.server.queue import Queue
from tinyforge.server.versions import failing_to_load, parts_of

log = logging.getLogger("tinyforge")


@dataclass(frozen=True)
class Served:
    """A model in service.

    Attributes:
        name: what clients call it.
        place: where it was loaded from: a folder, a hub id, or ``BASE+ADAPTER`` of these.
        version: the beginning of its weights' SHA-256.
        created: when it was loaded, seconds since 1970.
        drift: compares what it is asked with its training data; None: nothing does.
    """

    name: str
    place: str
    model: Any
    queue: Queue
    version: str
    created: int
    drift: Any = None

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


class Epoch:
    """The requests that began while the same versions served."""

    def __init__(self) -> None:
        self._count = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextlib.contextmanager
    def one_more(self) -> Iterator[None]:
        """While it lasts, a request of this time is being answered."""
        self._count += 1
        self._none.clear()
        try:
            yield
        finally:
            self._count -= 1
            if not self._count:
                self._none.set()

    async def over(self, seconds: float) -> None:
        """Wait until all of them are answered, at most so long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._none.wait(), seconds)


class Pool:
    """All models of a server; they can be replaced while they answer.

    Args:
        named: names to places.
    """

    def __init__(self, named: Mapping[str, str], settings: ServeSettings) -> None:
        self._named, self._settings = named, settings
        self._served: dict[str, Served] = {}
        self._epoch = Epoch()
        self._leaving: set[asyncio.Task[None]] = set()

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

    def full_for(self) -> int | None:
        """Seconds after which it makes sense to ask again, where no model has room for one more
        request; None: one has."""
        seconds = [served.queue.full_for for served in self._served.values()]
        waits = [each for each in seconds if each is not None]
        return min(waits) if waits and len(waits) == len(seconds) else None

    def request(self) -> contextlib.AbstractContextManager[None]:
        """While it lasts, a request is answered: the models it may ask are not put away."""
        return self._epoch.one_more()

    async def switch(self, places: Mapping[str, str]) -> None:
        """Serve from other places, every model or none.

        Only what has another place than before, or is not a private copy, is loaded. A request
        that began before is answered to its end by the models of its time.

        Raises:
            TinyForgeError: a model cannot be loaded; nothing has changed.
        """
        loaded: dict[str, Served] = {}
        try:
            for name, place in places.items():
                if self._settings.keep_versions and self._served[name].place == place:
                    continue
                with failing_to_load(name):
                    loaded[name] = await asyncio.to_thread(open_model, name, place, self._settings)
        except BaseException:
            for served in loaded.values():
                await asyncio.to_thread(served.put_away)
            raise
        old = {name: self._served[name] for name in loaded}
        self._served |= loaded  # one assignment: no request sees half of it
        epoch, self._epoch = self._epoch, Epoch()
        for name, new in loaded.items():
            log.info("%s: version %s serves in the place of %s", name, new.version,
                     old[name].version)  # fmt: skip
        task = asyncio.get_running_loop().create_task(self._put_away(old, epoch))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _put_away(self, old: Mapping[str, Served], epoch: Epoch) -> None:
        # Every answer ends in this time; what would take longer is cut off by its own limits.
        settings = self._settings
        await epoch.over(settings.request_seconds + settings.body_seconds + settings.write_seconds)
        for name, served in old.items():
            served.queue.successor = self._served[name].queue
            await asyncio.to_thread(served.put_away)

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
            name, place = _name_of(parts_of(text)[-1]), text
        if name in found:
            raise SettingError(
                "two models have this name", where="MODEL", value=name, fix="Write NAME=PLACE"
            )
        found[name] = place
    if not found:
        raise SettingError("no model is named", where="MODEL", fix="Give a model's folder")
    return found


def _name_of(place: str) -> str:
    """A folder's last part; a hub id as it is."""
    return Path(place).resolve().name if Path(place).exists() else place


def open_model(name: str, place: str, settings: ServeSettings) -> Served:
    """Load a model and open its queue. Its files are checked by who took them in.

    Raises:
        TinyForgeError: as loading.
    """
    from tinyforge.server.adapters import open_place

    model = open_place(place)
    writes = model.task.name != "classify"
    mixes = writes and type(model).__name__ == "OnnxModel"
    queue = Queue(
        model, waiting=settings.max_waiting, rows=settings.batch_rows,
        threads=settings.parallel_texts if mixes else 1,
    )  # fmt: skip
    version = str(getattr(model, "hash", "") or getattr(model, "base", model).hash)
    drift = _drift(place, model, settings) if settings.safeguards.drift else None
    return Served(name, place, model, queue, version, int(time.time()), drift)


def _drift(place: str, model: Any, settings: ServeSettings) -> Any:
    from tinyforge.safety.drift import Drift
    from tinyforge.safety.drift_reference import can_tell_languages
    from tinyforge.safety.drift_tokens import Tokens

    can_tell_languages()  # opened now, and not when the first client waits
    reference = read_reference(parts_of(place)[-1])
    tokens = Tokens(getattr(model, "base", model).tokenizer)
    return Drift.from_reference(reference, settings.safeguards, tokens)
