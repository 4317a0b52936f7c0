"""Next token: every token of a document is learnt from those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks.decoder import shifted
from tinyforge.tasks.language_model import LanguageModel
from tinyforge.tasks.losses import row_losses
from tinyforge.tasks.pretraining.base import cut_at, token_bytes


class NextToken(LanguageModel):
    """Raw text as a decoder learns it; what is saved with the model is ``language-model``.

    The documents of a window stand in one row, each with positions of its own, and none sees
    another (``DecoderTask.collate_packed``). The first token of each has nothing before it and is
    not learnt.
    """

    added = 0

    def __init__(self, tokenizer: Any, config: Any, **shared: Any) -> None:
        super().__init__(tokenizer, config, **shared)
        self._bytes = token_bytes(tokenizer)

    def examples(
        self, tokens: NDArray[Any], starts: NDArray[Any], random: np.random.Generator
    ) -> list[Encoded]:
        """The documents of a window as they are; nothing is drawn."""
        return [Encoded(ids, ids) for ids in cut_at(tokens, starts)]

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Tensor]:
        """As ``DecoderTask`` does it; rows of one document each need no positions of their own."""
        lengths = {sum(len(item.input_ids) for item in members) for members in bins}
        if len(lengths) > 1 or any(len(members) != 1 for members in bins):
            return super().collate_packed(bins)
        ids = torch.from_numpy(
            np.stack([members[0].input_ids for members in bins]).astype(np.int64)
        )
        labels = np.stack([members[0].labels for members in bins]).astype(np.int64)
        labels[:, 0] = IGNORED
        return {"input_ids": ids, "labels": torch.from_numpy(labels)}

    def losses(self, model: Any, items: Sequence[Encoded]) -> list[tuple[float, int, int]]:
        """Nats, tokens and bytes of each example but its first token."""
        batch = self.collate_packed([[item] for item in items])
        device = next(model.parameters()).device
        inputs, targets = shifted({name: value.to(device) for name, value in batch.items()})
        sums = row_losses(model, inputs, targets).double().tolist()
        return [
            (nats, self.units([item]), int(self._bytes[_learnt(item)].sum()))
            for nats, item in zip(sums, items, strict=True)
        ]


def _learnt(item: Encoded) -> NDArray[np.int32]:
    labels = item.labels[1:]
    learnt: NDArray[np.int32] = labels[labels != IGNORED]
    return learnt
