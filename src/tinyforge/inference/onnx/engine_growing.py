"""Rows of a decoder whose keys and values grow, with and without an encoder before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from tinyforge.inference.onnx.cache import no_past
from tinyforge.inference.onnx.decoder_growing import Array, GrowingDecoder
from tinyforge.inference.onnx.encoder_decoder import Encoder
from tinyforge.inference.onnx.engine_rows import REUSE, Floats, Ids, Row, Turns, common_start

_WHOLE = 4
"""A source is encoded whole, by about a quarter of what reading it takes a decoder: four times as
many tokens of sources are read in a turn as of prompts."""
_TOGETHER = 512
"""Tokens of sources that are encoded together, at most: more gain nothing, and are padded more."""
_KEPT = 4
"""A quarter of the memory, at most, is for prompts that others may begin like."""


@dataclass(eq=False, slots=True)
class _Reading:
    """A prompt on its way.

    Attributes:
        past: keys and values of the tokens that were read, (1, heads, tokens, head size) each.
    """

    row: Row
    past: list[Array] = field(default_factory=list)


class GrowingLanes:
    """Rows of a ``GrowingDecoder`` without an encoder.

    Each prompt is read by itself, and joins the others when it was read to its end. Its keys and
    values are kept for a while: a text that begins like it is read on from where it differs.

    Args:
        per_token: bytes of a token's keys and values.
        budget: bytes of all keys and values, at most.
    """

    def __init__(self, decoder: GrowingDecoder, *, per_token: int, budget: int) -> None:
        self._decoder, self._per_token, self.budget = decoder, per_token, budget
        self.running: list[Row] = []
        self.reused = 0
        self._turns = Turns()
        self._reading: list[_Reading] = []
        self._kept: list[tuple[Ids, list[Array]]] = []

    @property
    def unread(self) -> Sequence[Row]:
        """Rows whose prompts are not read to the end."""
        return [each.row for each in self._reading]

    @property
    def bytes_held(self) -> int:
        """What the rows may come to take, and what is kept."""
        return self._bytes([*self.running, *self.unread]) + self._bytes_kept()

    def least(self, row: Row) -> int:
        """Bytes of this row alone."""
        return self._bytes([row])

    def admit(self, row: Row) -> bool:
        """Take the row in; False where there is no memory for it now."""
        rows = [*self.running, *self.unread, row]
        while (asked := self._bytes(rows)) + self._bytes_kept() > self.budget and self._kept:
            self._kept.pop(0)
        if asked > self.budget:
            return False
        self._decoder.reserve(len(rows), max(each.need for each in rows))
        past = no_past(self._decoder.layout, 1)
        held = max(self._kept, key=lambda kept: common_start(kept[0], row.ids), default=None)
        if held is not None:
            common = min(common_start(held[0], row.ids), len(row.ids) - 1)
            if common >= REUSE:
                self._kept.append(self._kept.pop(self._index(held)))  # the last to be let go
                past = [np.ascontiguousarray(array[:, :, :common]) for array in held[1]]
                row.done = common
                self.reused += common
        self._reading.append(_Reading(row, past))
        return True

    def read(self, tokens: int) -> tuple[int, list[tuple[Row, Floats]]]:
        """Read one prompt on."""
        row = self._turns.next(self.unread)
        reading = next(each for each in self._reading if each.row is row)
        part = row.ids[row.done : row.done + tokens]
        reading.past, logits = self._decoder.read(reading.past, part)
        row.done += len(part)
        if row.done < len(row.ids):
            return len(part), []
        self._join(reading)
        return len(part), [(row, logits[0])]

    def step(self) -> Floats:
        """One more token for every running row."""
        return self._decoder.step(_tokens(self.running))

    def leave(self, row: Row) -> None:
        """The row is done with."""
        if row in self.running:
            _swap_out(self.running, row, self._decoder)
        else:
            self._reading = [each for each in self._reading if each.row is not row]

    def clear(self) -> None:
        """Forget all rows, and give back all memory."""
        self.running, self._reading, self._kept = [], [], []
        self._decoder.clear()

    def _join(self, reading: _Reading) -> None:
        row = reading.row
        self._reading.remove(reading)
        row.place = len(self.running)
        self.running.append(row)
        self._decoder.append(reading.past, np.array([len(row.ids)], dtype=np.int64))
        size = len(row.ids) * self._per_token
        if len(row.ids) >= REUSE and size <= self.budget // _KEPT:
            self._kept.append((row.ids, reading.past))
            while self._bytes_kept() > self.budget // _KEPT:
                self._kept.pop(0)

    def _index(self, held: tuple[Ids, list[Array]]) -> int:
        return next(i for i, each in enumerate(self._kept) if each is held)

    def _bytes(self, rows: Sequence[Row]) -> int:
        """Twice the longest row for each: a step copies everything."""
        longest = max((row.need for row in rows), default=0)
        return 2 * len(rows) * longest * self._per_token

    def _bytes_kept(self) -> int:
        return sum(len(ids) for ids, _ in self._kept) * self._per_token


class EncodedLanes:
    """Rows of a ``GrowingDecoder`` behind an encoder.

    Args:
        start: the token that answers begin after.
        per_token: bytes of a token's keys and values, alike for the source and for the answer.
        budget: bytes of all keys and values, at most.
    """

    def __init__(
        self, encoder: Encoder, decoder: GrowingDecoder, *, start: int, per_token: int, budget: int
    ) -> None:
        self._encoder, self._decoder, self._start = encoder, decoder, start
        self._per_token, self.budget = per_token, budget
        self.running: list[Row] = []
        self.unread: list[Row] = []
        self.reused = 0

    @property
    def bytes_held(self) -> int:
        """What the rows may come to take."""
        return self._bytes([*self.running, *self.unread])

    def least(self, row: Row) -> int:
        """Bytes of this row alone."""
        return self._bytes([row])

    def admit(self, row: Row) -> bool:
        """Take the row in; False where there is no memory for it now."""
        rows = [*self.running, *self.unread, row]
        if self._bytes(rows) > self.budget:
            return False
        self._decoder.reserve(len(rows), 1 + max(each.room for each in rows))
        self.unread.append(row)
        return True

    def read(self, tokens: int) -> tuple[int, list[tuple[Row, Floats]]]:
        """Encode sources of like length together.

        No token can be chosen yet: the answers begin with the next step.
        """
        together = self._alike(min(_WHOLE * tokens, _TOGETHER))
        cross, sources = self._encoder.read([row.ids for row in together])
        for row in together:
            row.done, row.token, row.place = len(row.ids), self._start, len(self.running)
            self.running.append(row)
        self.unread = [row for row in self.unread if row.place < 0]
        self._decoder.append_encoded(cross, sources)
        read = len(together) * max(len(row.ids) for row in together)
        return -(-read // _WHOLE), []

    def step(self) -> Floats:
        """One more token for every running row."""
        return self._decoder.step(_tokens(self.running))

    def leave(self, row: Row) -> None:
        """The row is done with."""
        if row in self.running:
            _swap_out(self.running, row, self._decoder)
        else:
            self.unread.remove(row)

    def clear(self) -> None:
        """Forget all rows, and give back all memory."""
        self.running, self.unread = [], []
        self._decoder.clear()

    def _alike(self, tokens: int) -> list[Row]:
        """The one that came first, and those most like it in length, so many tokens in all."""
        first = self.unread[0]
        others = sorted(self.unread[1:], key=lambda row: abs(len(row.ids) - len(first.ids)))
        together, longest = [first], len(first.ids)
        for row in others:
            most = max(longest, len(row.ids))
            if most * (len(together) + 1) > tokens:
                break
            together.append(row)
            longest = most
        return together

    def _bytes(self, rows: Sequence[Row]) -> int:
        """A step copies the answers' part; both parts are as wide as the longest row's."""
        source = max((len(row.ids) for row in rows), default=0)
        room = max((row.room + 1 for row in rows), default=0)
        return len(rows) * (source + 2 * room) * self._per_token


def _tokens(rows: Sequence[Row]) -> Ids:
    return np.array([row.token for row in rows], dtype=np.int64)


def _swap_out(running: list[Row], row: Row, decoder: GrowingDecoder) -> None:
    """The last row takes the place of the one that leaves."""
    last = running.pop()
    if last is not row:
        running[row.place] = last
        last.place = row.place
    decoder.drop(row.place)
