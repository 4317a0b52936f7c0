"""Rows in slots: which slot a row gets, what stays there when it is done, and how large all is."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import numpy as np

from tinyforge.inference.onnx.decoder import LEAST, SlotDecoder
from tinyforge.inference.onnx.engine_rows import REUSE, Floats, Ids, Row, Turns, common_start

_NOTHING = np.zeros(0, dtype=np.int64)
_ROOMY = 64
"""Buffers have 64, 128, 256, … tokens where there is memory for it, so that few are made anew."""
_SLOTS, _TEXTS = 32, 8
"""Rows that there are buffers for from the beginning, where there is memory for it: making them
anew keeps those waiting who have just come. Buffers that nobody wrote to take no memory; so that
they stay such, no more texts than this are kept while a slot of one of them would do."""


class SlotLanes:
    """Rows of a ``SlotDecoder``.

    A row's tokens stay in its slot when it is done, until the slot is needed: a text that begins
    like them (the next turn of a chat, or the same instruction) is read on from where it differs.

    Args:
        per_token: bytes of a token's keys and values.
        limit: tokens that the model's positions reach to; None where nothing bounds them.
        budget: bytes of all buffers together, at most.
    """

    def __init__(
        self, decoder: SlotDecoder, *, per_token: int, limit: int | None, budget: int
    ) -> None:
        self._decoder = decoder
        self._per_token, self._limit, self.budget = per_token, limit, budget
        self.running: list[Row] = []
        self.unread: list[Row] = []
        self.reused = 0
        self._turns, self._clock = Turns(), count()
        self._owner: list[Row | None] = []
        self._kept: list[Ids] = []
        self._left: list[int] = []
        self._tokens = _NOTHING
        self._places: Ids | None = None

    @property
    def bytes_held(self) -> int:
        """The size of the buffers."""
        return self._bytes(self._decoder.slots, self._decoder.capacity)

    def least(self, row: Row) -> int:
        """Bytes of a buffer for this row alone."""
        return self._bytes(1, self._rounded(row.need, LEAST))

    def admit(self, row: Row) -> bool:
        """Give the row a slot; False where there is no memory for it now."""
        fits = row.need <= self._decoder.capacity and None in self._owner
        if not fits and not self._make_room(row.need):
            return False
        source, common = self._alike(row.ids)
        slot = self._slot_for(source, common)
        if common and source != slot:
            self._decoder.copy(source, slot, common)
        else:
            self._decoder.set_length(slot, common)
        self._owner[slot], self._kept[slot] = row, _NOTHING
        row.place, row.done = slot, common
        self.reused += common
        self.unread.append(row)
        return True

    def read(self, tokens: int) -> tuple[int, list[tuple[Row, Floats]]]:
        """Read one prompt on, or several short ones together."""
        first = self._turns.next(self.unread)
        self._catch_up(first)
        together = self._beside(first, tokens)
        if len(together) > 1:
            parts = [row.ids for row in together]
            logits = self._decoder.read_first(together[0].place, parts)
        else:
            parts = [first.ids[first.done : first.done + tokens]]
            logits = self._decoder.read(first.place, parts[0])
        found: list[tuple[Row, Floats]] = []
        for row, part, each in zip(together, parts, logits, strict=True):
            row.done += len(part)
            if row.done == len(row.ids):
                self.unread.remove(row)
                self.running.append(row)
                found.append((row, each))
        self._places = None
        return len(parts) * max(len(part) for part in parts), found

    def step(self) -> Floats:
        """One more token for every running row."""
        if self._places is None:
            self._close_up()
            self._places = np.array([row.place for row in self.running], dtype=np.int64)
            self._tokens = np.zeros(self._decoder.slots, dtype=np.int64)
            self._width = int(self._places.max()) + 1
        self._tokens[self._places] = [row.token for row in self.running]
        logits = self._decoder.step(self._width, self._tokens)
        self._decoder.lengths[self._places] += 1
        return logits

    def leave(self, row: Row) -> None:
        """The row is done with; its tokens stay for those that begin like it."""
        slot = row.place
        length = int(self._decoder.lengths[slot])
        held = np.concatenate([row.ids[: row.done], np.array(row.written, dtype=np.int64)])[:length]
        self._owner[slot] = None
        self._kept[slot] = held if length >= REUSE else _NOTHING
        self._left[slot] = next(self._clock)
        if row in self.running:
            self.running.remove(row)
        else:
            self.unread.remove(row)
        self._places = None

    def clear(self) -> None:
        """Forget all rows, and give back all memory."""
        self.running, self.unread = [], []
        self._resize(0, 0, [], [])

    def _alike(self, ids: Ids) -> tuple[int, int]:
        """The slot whose tokens begin most like these, and how many they share; the last of
        ``ids`` has to be read in any case, for its logits."""
        source, common = -1, REUSE - 1
        for slot, owner in enumerate(self._owner):
            held = self._kept[slot] if owner is None else owner.ids[: owner.done]
            if min(len(held), len(ids) - 1) > common:
                found = min(common_start(held, ids), len(ids) - 1)
                if found > common:
                    source, common = slot, found
        return source, common if source >= 0 else 0

    def _catch_up(self, row: Row) -> None:
        """Take over what another row that begins like this one has read in the meantime."""
        source, common = self._alike(row.ids)
        if source != row.place and common >= row.done + REUSE:
            self._decoder.copy(source, row.place, common)
            self.reused += common - row.done
            row.done = common

    def _slot_for(self, source: int, common: int) -> int:
        """A free slot: that of the like text where little of it is lost, else an empty one, else
        the one that was left first."""
        free = [slot for slot, owner in enumerate(self._owner) if owner is None]
        if source in free and 2 * common >= len(self._kept[source]):
            return source
        others = [slot for slot in free if slot != source] or free
        texts = [slot for slot in others if len(self._kept[slot])]
        empty = [slot for slot in others if not len(self._kept[slot])]
        among = empty if empty and len(texts) < _TEXTS else texts or empty
        return min(among, key=lambda slot: (self._left[slot], slot))

    def _beside(self, row: Row, tokens: int) -> list[Row]:
        """The row, and where its prompt can be read whole and from its beginning, those next to
        it of which the same is true."""
        together, longest = [row], len(row.ids)
        if row.done or longest > tokens:
            return together
        places = {each.place: each for each in self.unread if not each.done}
        for step in (1, -1):
            place = row.place + step
            while (each := places.get(place)) is not None:
                most = max(longest, len(each.ids))
                if most * (len(together) + 1) > tokens:
                    break
                longest = most
                together.append(each)
                place += step
        return sorted(together, key=lambda each: each.place)

    def _make_room(self, need: int) -> bool:
        """Buffers for one row more, with so many tokens; False where the budget forbids it."""
        active = [*self.running, *self.unread]
        rows, longest = len(active) + 1, max([need, *(row.need for row in active)])
        slots, capacity = 1 << (rows - 1).bit_length(), self._rounded(longest, _ROOMY, double=True)
        now = self._decoder
        for size in (
            (max(slots, now.slots, _SLOTS), max(capacity, now.capacity)),
            (max(slots, now.slots), max(capacity, now.capacity)),
            (slots, capacity),
            (rows, self._rounded(longest, LEAST)),
        ):
            if self._bytes(*size) <= self.budget:
                kept = sorted(
                    (slot for slot, ids in enumerate(self._kept) if 0 < len(ids) < size[1]),
                    key=lambda slot: -self._left[slot],
                )
                self._resize(*size, active, kept[: size[0] - rows])
                return True
        return False

    def _resize(self, slots: int, capacity: int, active: Sequence[Row], kept: list[int]) -> None:
        """Buffers anew: rows first, then texts that are kept."""
        stay = [row.place for row in active] + kept
        self._decoder.resize(slots, capacity, [(old, new) for new, old in enumerate(stay)])
        free = slots - len(stay)
        texts = [self._kept[slot] for slot in stay] + [_NOTHING] * free
        self._left = [self._left[slot] for slot in stay] + [-1] * free
        self._kept = texts
        self._owner = [*active, *[None] * (slots - len(active))]
        for slot, row in enumerate(active):
            row.place = slot
        self._places = None

    def _close_up(self) -> None:
        """Rows stand next to each other, so that none is computed for nothing."""
        active = [*self.running, *self.unread]
        holes = [slot for slot in range(len(active)) if self._owner[slot] is None]
        beyond = sorted((r for r in active if r.place >= len(active)), key=lambda r: -r.place)
        for hole, row in zip(holes, beyond, strict=True):
            place = row.place
            if not len(self._kept[hole]):
                self._decoder.set_length(hole, 0)
            self._decoder.swap(hole, place)
            kept, left = self._kept, self._left
            kept[hole], kept[place] = kept[place], kept[hole]
            left[hole], left[place] = left[place], left[hole]
            self._owner[hole], self._owner[place] = row, None
            row.place = hole

    def _rounded(self, tokens: int, unit: int, *, double: bool = False) -> int:
        """Rounded up, to a multiple or a doubling of a unit, and to the model's positions."""
        size = -(-tokens // unit) * unit
        if double:
            size = unit << (-(-size // unit) - 1).bit_length()
        return size if self._limit is None else max(min(size, self._limit), tokens)

    def _bytes(self, slots: int, capacity: int) -> int:
        return slots * capacity * self._per_token
