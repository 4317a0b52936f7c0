"""Keys and values of beams, for each way in which a decoder keeps them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tinyforge.inference.onnx.beams import Floats, Places
from tinyforge.inference.onnx.cache import no_past
from tinyforge.inference.onnx.decoder import LEAST, SlotDecoder
from tinyforge.inference.onnx.decoder_growing import GrowingDecoder
from tinyforge.inference.onnx.encoder_decoder import Encoder
from tinyforge.inference.onnx.engine_rows import Row

CHUNK = 512
"""Tokens of a prompt that are read at one time."""


class SlotBranches:
    """Beams in the slots of a ``SlotDecoder``, which nobody else uses."""

    def __init__(self, decoder: SlotDecoder, limit: int | None) -> None:
        self._decoder, self._limit = decoder, limit
        self._shared = 0

    def begin(self, rows: Sequence[Row], width: int) -> Floats:
        """Read each prompt once, and copy it to its beams."""
        need = max(LEAST, *(row.need for row in rows))
        if self._limit is not None:
            need = max(min(need, self._limit), *(row.need for row in rows))
        self._decoder.resize(len(rows) * width, need, ())
        self._shared = min(len(row.ids) for row in rows)
        found = []
        for place, row in enumerate(rows):
            first = place * width
            for start in range(0, len(row.ids), CHUNK):
                logits = self._decoder.read(first, row.ids[start : start + CHUNK])
            found.append(logits[0])
            for beam in range(first + 1, first + width):
                self._decoder.copy(first, beam, len(row.ids))
        return np.stack(found)

    def step(self, tokens: NDArray[np.int64], alive: NDArray[np.bool_]) -> Floats:
        """One more token for every beam."""
        logits = self._decoder.step(len(tokens), tokens)
        self._decoder.lengths += alive
        return logits

    def fork(self, sources: Places) -> None:
        """Only what came after the prompts differs."""
        moved = np.flatnonzero(sources != np.arange(len(sources)))
        span = slice(self._shared, int(self._decoder.lengths.max()))
        self._decoder.cache.reorder(moved, sources[moved], span)

    def select(self, rows: Places) -> None:
        """Only these beams go on."""
        moves = [(int(source), target) for target, source in enumerate(rows)]
        self._decoder.resize(len(rows), self._decoder.capacity, moves)

    def clear(self) -> None:
        """Give back all memory."""
        self._decoder.resize(0, 0, ())


class GrowingBranches:
    """Beams as the rows of a ``GrowingDecoder``, which nobody else uses."""

    def __init__(self, decoder: GrowingDecoder, encoder: Encoder | None, start: int) -> None:
        self._decoder, self._encoder, self._start = decoder, encoder, start

    def begin(self, rows: Sequence[Row], width: int) -> Floats:
        """Read each prompt or source once, and copy it to its beams."""
        self._decoder.clear()
        beams = np.repeat(np.arange(len(rows)), width)
        if self._encoder is not None:
            cross, sources = self._encoder.read([row.ids for row in rows])
            self._decoder.append_encoded(cross, sources)
            logits = self._decoder.step(np.full(len(rows), self._start, dtype=np.int64)).copy()
        else:
            logits = np.concatenate([self._prompt(row) for row in rows])
        self._decoder.reserve(len(beams), max(row.need for row in rows))
        self._decoder.select(beams)
        return logits

    def step(self, tokens: NDArray[np.int64], alive: NDArray[np.bool_]) -> Floats:
        """One more token for every beam."""
        return self._decoder.step(tokens)

    def fork(self, sources: Places) -> None:
        """Each beam goes on from another one of its answer."""
        self._decoder.select(sources, same_sources=True)

    def select(self, rows: Places) -> None:
        """Only these beams go on."""
        self._decoder.select(rows)

    def clear(self) -> None:
        """Give back all memory."""
        self._decoder.clear()

    def _prompt(self, row: Row) -> Floats:
        past = no_past(self._decoder.layout, 1)
        for start in range(0, len(row.ids), CHUNK):
            past, logits = self._decoder.read(past, row.ids[start : start + CHUNK])
        self._decoder.append(past, np.array([len(row.ids)], dtype=np.int64))
        return logits
