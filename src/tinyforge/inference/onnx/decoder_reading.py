"""Whole sequences read at once, for what the model makes of answers that are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.export_folder import CacheLayout, ExportRecord
from tinyforge.inference.batching import by_length, reading_budget
from tinyforge.inference.onnx.beams import log_softmax
from tinyforge.inference.onnx.cache import no_past, past_names
from tinyforge.inference.onnx.decoder import vocabulary
from tinyforge.inference.onnx.sessions import Session
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks.tokens import pad

Array = NDArray[Any]

LOGITS = 2**24
"""Logits computed at one time, at most: 64 MB in float32."""


class SequenceReader:
    """Reads sequences with a decoder, or an encoder and a decoder.

    Args:
        encoder: None for a decoder alone.
        padding: the id that fills up short rows.
        start: for an encoder-decoder, the token that answers begin after.
    """

    def __init__(
        self,
        decoder: Session,
        encoder: Session | None,
        record: ExportRecord,
        layout: CacheLayout,
        *,
        padding: int,
        start: int,
    ) -> None:
        self._decoder, self._encoder, self._layout = decoder, encoder, layout
        self._padding, self._start = padding, start
        self._vocabulary = vocabulary(decoder, record)
        self._cross = [name for name in decoder.inputs if name.startswith("cross.")]

    def losses(self, items: Sequence[Encoded]) -> Iterator[tuple[list[int], list[float]]]:
        """Batches of items: their places, and of each the negative log-likelihood of its labels."""
        lengths = [max(len(item.input_ids), len(item.labels)) for item in items]
        most = max(1, min(LOGITS // self._vocabulary, reading_budget("cpu")))
        for batch in by_length(lengths, rows=len(items), tokens=most):
            yield batch, self._losses([items[i] for i in batch])

    def encoded(self, sources: Sequence[NDArray[np.int32]]) -> dict[str, Array]:
        """What an encoder makes of sources, as inputs of the decoder; nothing without one."""
        if self._encoder is None:
            return {}
        ids, seen = pad(sources, self._padding)
        found = self._encoder.run({"input_ids": ids, "attention_mask": seen}, self._cross)
        return {"encoder_attention_mask": seen, **found}

    def _losses(self, items: Sequence[Encoded]) -> list[float]:
        feeds: dict[str, Array] = {}
        if self._encoder is None:
            ids, _ = pad([item.input_ids for item in items], self._padding)
            wanted = np.full_like(ids, IGNORED)
            wanted[:, :-1] = pad([item.labels for item in items], IGNORED)[0][:, 1:]
        else:
            feeds = self.encoded([item.input_ids for item in items])
            wanted, mask = pad([item.labels for item in items], IGNORED)
            ids = np.full_like(wanted, self._start)
            ids[:, 1:] = np.where(mask == 1, wanted, self._padding)[:, :-1]
        rows, places = np.nonzero(wanted != IGNORED)
        losses = np.zeros(len(items))
        if len(rows):
            logits = self._logits(ids, rows * ids.shape[1] + places, feeds)
            with np.errstate(all="ignore"):
                shares = log_softmax(logits)[np.arange(len(rows)), wanted[rows, places]]
            np.subtract.at(losses, rows, shares.astype(np.float64))
        return [float(loss) for loss in losses]

    def _logits(self, ids: Array, keep: Array, more: dict[str, Array]) -> NDArray[np.float32]:
        feeds = {
            # What fills up a row stands behind its tokens, and none of them sees it.
            "input_ids": ids, "attention_mask": np.ones_like(ids),
            "keep": keep.astype(np.int64), **more,
            **dict(zip(past_names(self._layout), no_past(self._layout, len(ids)), strict=True)),
        }  # fmt: skip
        if self._layout.positions:
            feeds["position_ids"] = np.tile(np.arange(ids.shape[1]), (len(ids), 1))
        return self._decoder.run(feeds, ["logits"])["logits"]
