"""What the engine asks of the rows that it runs, whichever way their keys and values are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Floats = NDArray[np.float32]

REUSE = 8
"""Tokens that two texts have to begin with in common for one to be read on from the other."""


@dataclass(slots=True, eq=False)
class Row:
    """One answer being written.

    Attributes:
        ids: what is read first: a decoder's prompt, an encoder's source.
        room: tokens that may be written.
        token: the one to be read next.
        place: which row of the logits is this one's.
        done: tokens of ``ids`` that were read.
        written: the answer so far.
    """

    ids: Ids
    room: int
    token: int = 0
    place: int = -1
    done: int = 0
    written: list[int] = field(default_factory=list)

    @property
    def need(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.ids) + self.room


class Lanes(Protocol):
    """Rows that step together, and the memory for them.

    Attributes:
        running: the rows that step, in any order.
        budget: bytes that keys and values may take.
        reused: tokens of prompts that did not have to be read, since others begin like them.
    """

    running: list[Row]
    budget: int
    reused: int

    @property
    def unread(self) -> Sequence[Row]:
        """Rows that were admitted and whose ``ids`` are not read to the end."""
        ...

    @property
    def bytes_held(self) -> int:
        """What keys and values take, or may come to take, now."""
        ...

    def least(self, row: Row) -> int:
        """Bytes that the row takes when nothing else is there."""
        ...

    def admit(self, row: Row) -> bool:
        """Take the row in; False where there is no memory for it now."""
        ...

    def read(self, tokens: int) -> tuple[int, list[tuple[Row, Floats]]]:
        """Read on, in one run and at most so many tokens; what is read to the end is running.

        Returns:
            how many tokens it was, as reading takes time; and the rows of which the first token
            can be chosen, each with its logits.
        """
        ...

    def step(self) -> Floats:
        """One more token for every running row: logits, by ``row.place``."""
        ...

    def leave(self, row: Row) -> None:
        """The row is done with, wherever it stands."""
        ...

    def clear(self) -> None:
        """Forget all rows, and give back all memory."""
        ...


class Turns:
    """Whose turn it is to be read: in turn the one that came first, and the one least read.

    So a long text that came first goes on in every other turn whatever comes after it, and a
    short one that comes later does not wait for it.
    """

    def __init__(self) -> None:
        self._first = False

    def next(self, rows: Sequence[Row]) -> Row:
        """One of the rows, which are in order of arrival."""
        self._first = not self._first
        return rows[0] if self._first else min(rows, key=lambda row: row.done)


def common_start(one: NDArray[Any], other: NDArray[Any]) -> int:
    """How many tokens two texts have in common at their beginning."""
    count = min(len(one), len(other))
    if not count or one[0] != other[0]:
        return 0
    differ = np.flatnonzero(one[:count] != other[:count])
    return int(differ[0]) if len(differ) else count
