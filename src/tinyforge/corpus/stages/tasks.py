"""What one worker is given at a time: many small files, or one large one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinyforge.records.documents import Document, Dropped

if TYPE_CHECKING:
    from tinyforge.corpus.reading import Unit

TASK_BYTES, TASK_UNITS = 8_000_000, 500
"""Small files are taken together up to so many bytes, or so many files."""
CHUNK_CHARACTERS, CHUNK_DOCUMENTS = 2_000_000, 2_000
"""A chunk is full with so many characters, or so many documents."""


@dataclass(frozen=True)
class Task:
    """Units that are read one after the other, by one worker.

    Attributes:
        number: its place in the order of all tasks.
        size: bytes of its units.
    """

    number: int
    units: tuple[Unit, ...]

    @property
    def size(self) -> int:
        return sum(unit.size for unit in self.units)


def make_tasks(units: Sequence[Unit]) -> list[Task]:
    """The units as tasks, in their order. Depends on nothing but the units."""
    tasks: list[Task] = []
    held: list[Unit] = []
    size = 0
    for unit in units:
        if held and (size + unit.size > TASK_BYTES or len(held) >= TASK_UNITS):
            tasks.append(Task(len(tasks), tuple(held)))
            held, size = [], 0
        held.append(unit)
        size += unit.size
    if held:
        tasks.append(Task(len(tasks), tuple(held)))
    return tasks


def cut(items: Iterable[Document | Dropped]) -> Iterator[list[Document | Dropped]]:
    """The items in chunks. Depends on nothing but the items, so that a chunk can be made again."""
    held: list[Document | Dropped] = []
    characters = 0
    for item in items:
        held.append(item)
        if isinstance(item, Document):
            characters += len(item.text)
        if characters >= CHUNK_CHARACTERS or len(held) >= CHUNK_DOCUMENTS:
            yield held
            held, characters = [], 0
    if held:
        yield held
