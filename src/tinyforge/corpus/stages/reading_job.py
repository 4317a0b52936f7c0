"""In a worker process: read a task's units, clean their documents, write chunks."""

from __future__ import annotations

import hashlib
import pickle
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinyforge.corpus.stages.chunks import Content, Turned, clean_text, write_chunk
from tinyforge.corpus.stages.tasks import Task, cut
from tinyforge.corpus.stages.worker import Channel
from tinyforge.errors import TinyForgeError
from tinyforge.records.documents import Document, Dropped

if TYPE_CHECKING:
    from tinyforge.corpus.reading import Unit

EXCERPT = 200
_SIGN_OF_LIFE = 2.0


@dataclass(frozen=True)
class Tools:
    """What a worker needs to read and clean; it can be pickled.

    Attributes:
        read: a unit's documents, and what was turned away while reading it.
        make_cleaner: makes the object whose ``clean`` is called with each document.
        sign: the signatures of a list of texts.
        work: the folder of what lies there only while the corpus is prepared.
        seed: of the split.
        keep_dropped: keep the whole text of what cleaning turns away.
    """

    read: Callable[[Unit], Iterator[Document | Dropped]]
    make_cleaner: Callable[[], Any]
    sign: Callable[[Sequence[str]], Any]
    work: Path
    seed: int = 0
    keep_dropped: bool = False

    @cached_property
    def cleaner(self) -> Any:
        """Made once in each process."""
        return self.make_cleaner()

    def chunk_path(self, task: int, chunk: int) -> Path:
        """Where a chunk is written; names sort in the order of reading."""
        return self.work / "chunks" / f"{task:09d}-{chunk:09d}"

    def raw_path(self, task: int, chunk: int) -> Path:
        """Where a chunk waits, as it was read, for another worker to clean it."""
        return self.work / "raw" / f"{task:09d}-{chunk:09d}"


@dataclass(frozen=True)
class Faults:
    """What killed a worker before, so that it is left out this time.

    Attributes:
        stops: number of a unit in its task to how many items it gives before its end, and why.
        skips: (chunk, item) to why that document is not cleaned.
    """

    stops: dict[int, tuple[int, str]] = field(default_factory=dict)
    skips: dict[tuple[int, int], str] = field(default_factory=dict)

    def of_chunk(self, chunk: int) -> dict[int, str]:
        """The items of one chunk that are left out."""
        return {item: why for (number, item), why in self.skips.items() if number == chunk}


@dataclass(frozen=True, slots=True)
class Alive:
    """How far a task has come."""

    documents: int
    characters: int


@dataclass(frozen=True, slots=True)
class AtUnit:
    """About to read on in a unit that has given ``items`` so far."""

    unit: int
    items: int


@dataclass(frozen=True, slots=True)
class AtItem:
    """About to clean an item of a chunk."""

    chunk: int
    item: int


@dataclass(frozen=True, slots=True)
class Offer:
    """A chunk that is read; answered with ``skip``, ``keep`` or ``give``."""

    chunk: int


@dataclass(frozen=True, slots=True)
class Given:
    """A chunk that now lies on disk for another worker."""

    chunk: int


class Watch:
    """Says how a task gets on: now and then, or, where a worker has died, at each document."""

    def __init__(self, channel: Channel, *, careful: bool) -> None:
        self._channel, self._careful = channel, careful
        self._last = time.monotonic()
        self._documents = self._characters = 0

    def reading(self, unit: int, items: int) -> None:
        """Before the next item of a unit is asked for."""
        if self._careful:
            self._channel.tell(AtUnit(unit, items))

    def cleaning(self, chunk: int, item: int) -> None:
        """Before a document is cleaned."""
        if self._careful:
            self._channel.tell(AtItem(chunk, item))
        self._sign()

    def seen(self, item: Document | Dropped) -> None:
        """An item was read."""
        if isinstance(item, Document):
            self._documents += 1
            self._characters += len(item.text)
        self._sign()

    def _sign(self) -> None:
        now = time.monotonic()
        if now - self._last > _SIGN_OF_LIFE and not self._careful:
            self._last = now
            self._channel.tell(Alive(self._documents, self._characters))


def read_task(channel: Channel, tools: Tools, task: Task, faults: Faults, careful: bool) -> int:
    """Read, clean and write a whole task; chunks that lie there already are left as they are.

    Chunks may be given to workers that have nothing to do.

    Returns:
        The number of its chunks.
    """
    watch = Watch(channel, careful=careful)
    count = 0
    for chunk, items in enumerate(cut(_items(tools, task, faults, watch))):
        count = chunk + 1
        if tools.chunk_path(task.number, chunk).exists():
            continue
        answer = channel.ask(Offer(chunk))
        if answer == "give":
            path = tools.raw_path(task.number, chunk)
            path.write_bytes(pickle.dumps(items, protocol=5))
            channel.tell(Given(chunk))
        elif answer == "keep":
            _clean(tools, task.number, chunk, items, faults.of_chunk(chunk), watch)
    return count


def clean_given(
    channel: Channel, tools: Tools, task: int, chunk: int, faults: Faults, careful: bool
) -> None:
    """Clean and write a chunk that another worker has read."""
    path = tools.raw_path(task, chunk)
    items = pickle.loads(path.read_bytes())  # written a moment ago by a process of this run
    watch = Watch(channel, careful=careful)
    _clean(tools, task, chunk, items, faults.of_chunk(chunk), watch)
    path.unlink()


def _items(tools: Tools, task: Task, faults: Faults, watch: Watch) -> Iterator[Document | Dropped]:
    """All items of a task's units. A unit whose reader fails costs no more than its rest."""
    for number, unit in enumerate(task.units):
        count = 0
        most, why = faults.stops.get(number, (None, ""))
        try:
            stream = iter(tools.read(unit))
            while True:
                if most is not None and count >= most:
                    yield _given_up(unit, count, "the reader crashed", why)
                    break
                watch.reading(number, count)
                item = next(stream, None)
                if item is None:
                    break
                count += 1
                watch.seen(item)
                yield item
        except TinyForgeError:
            raise  # a missing package, a full disk: not the file's fault
        except MemoryError:
            yield _given_up(unit, count, "reading takes too much memory", "")
        except Exception as problem:  # a parser's own bug: what it raises is not known
            detail = f"{type(problem).__name__}: {problem}"
            yield _given_up(unit, count, "the reader failed", detail)


def _given_up(unit: Unit, count: int, reason: str, detail: str) -> Dropped:
    after = f"after {count:,} documents" if count else ""
    more = ", ".join(part for part in (after, clean_text(detail)[:EXCERPT]) if part)
    return Dropped(clean_text(unit.name), clean_text(unit.source), "read", reason, more)


def _clean(
    tools: Tools,
    task: int,
    chunk: int,
    items: Sequence[Document | Dropped],
    skips: dict[int, str],
    watch: Watch,
) -> None:
    documents: list[Document] = []
    changes: list[dict[str, int]] = []
    sizes: list[int] = []
    turned: list[Turned] = []
    for number, item in enumerate(items):
        if isinstance(item, Dropped):
            turned.append(Turned(_plain(item)))
            continue
        watch.cleaning(chunk, number)
        result, changed = _cleaned(tools, item, skips.get(number))
        if isinstance(result, Dropped):
            turned.append(Turned(_plain(result), item.text if tools.keep_dropped else None))
        else:
            documents.append(result)
            changes.append(changed)
            sizes.append(len(item.text))
    signatures = tools.sign([document.text for document in documents])
    keys = [split_key(document.id, tools.seed) for document in documents]
    content = Content(
        documents, changes, sizes, np.array(keys, dtype=np.uint64),
        turned, signatures,
    )  # fmt: skip
    write_chunk(tools.chunk_path(task, chunk), content)


def _cleaned(
    tools: Tools, item: Document, skip: str | None
) -> tuple[Document | Dropped, dict[str, int]]:
    """What cleaning makes of a document; where cleaning fails, only this one is lost."""
    item = replace(
        item, id=clean_text(item.id), source=clean_text(item.source), text=clean_text(item.text)
    )
    if skip is not None:
        return _lost(item, "cleaning crashed", skip), {}
    try:
        cleaned = tools.cleaner.clean(item)
    except TinyForgeError:
        raise
    except Exception as problem:  # one odd document must not stop the work on all others
        return _lost(item, "cleaning failed", f"{type(problem).__name__}: {problem}"), {}
    result = cleaned.result
    if isinstance(result, Document):
        if not result.text.strip():
            return _lost(item, "empty", ""), {}
        result = replace(result, text=clean_text(result.text))
    return result, dict(cleaned.changes)


def _lost(item: Document, reason: str, detail: str) -> Dropped:
    excerpt = item.text[:EXCERPT]
    return Dropped(item.id, item.source, "clean", reason, detail[:EXCERPT], excerpt, len(item.text))


def _plain(dropped: Dropped) -> Dropped:
    """The same in texts that can be written."""
    return Dropped(
        clean_text(dropped.id), clean_text(dropped.source), dropped.step,
        clean_text(dropped.reason), clean_text(dropped.detail), clean_text(dropped.excerpt),
        dropped.size,
    )  # fmt: skip


def split_key(name: str, seed: int) -> int:
    """A 64-bit hash of a document's id and the seed, by which it is split."""
    digest = hashlib.blake2b(name.encode("utf-8"), digest_size=8, key=seed.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little")
