"""Masked words: some tokens of a text are hidden and have to be told from the rest (BERT).

Devlin et al. 2018 (arXiv:1810.04805): of the chosen tokens 80 % become ``[MASK]``, 10 % another
token and 10 % stay. Chosen anew each time a text comes by (Liu et al. 2019, arXiv:1907.11692), no
next-sentence task, and 30 % instead of 15 %, which teaches more in each pass (Wettig et al. 2022,
arXiv:2202.08005; so ModernBERT, Warner et al. 2024, arXiv:2412.13663).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.errors import ModelError
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import tokens as tokenizing
from tinyforge.tasks.losses import row_losses, token_loss, way_of
from tinyforge.tasks.pretraining.base import Ids, cut_at, joined, same, token_bytes

SHARE = 0.3
MASKED, CHANGED = 0.8, 0.1


class MaskedWords:
    """Raw text as a BERT learns it.

    Each document of a window stands between the tokenizer's start and end tokens, with positions
    of its own, and attends to itself alone.

    Args:
        share: of the tokens that are hidden.
        whole_words: hide all tokens of a word or none.
    """

    name = "masked-words"
    family = "encoder"

    def __init__(
        self, tokenizer: Any, config: Any, *, share: float = SHARE, whole_words: bool = False
    ) -> None:
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "the tokenizer has no mask token, which a BERT learns with",
                fix="Train one with --architecture bert, or give a BERT's tokenizer",
            )
        self.tokenizer, self.config = tokenizer, config
        self.share, self._whole_words = share, whole_words
        self._pad = tokenizing.pad_id(tokenizer, config)
        before, after = tokenizing.affixes(tokenizer)
        self._before, self._after = tokenizing.int32(before), tokenizing.int32(after)
        self.added = len(before) + len(after)
        self._special = np.zeros(len(tokenizer), dtype=bool)
        self._special[sorted(tokenizer.all_special_ids)] = True
        self._usual = np.flatnonzero(~self._special).astype(np.int32)
        self._inside = inside_words(tokenizer)
        self._bytes = token_bytes(tokenizer)

    def examples(
        self, tokens: NDArray[Any], starts: NDArray[Any], random: np.random.Generator
    ) -> list[Encoded]:
        """Each document of a window with some of its tokens hidden."""
        return [self._hidden(ids, random) for ids in cut_at(tokens, starts)]

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """A text as it is, with nothing hidden and nothing to learn."""
        texts = [example.output or example.input for example in examples]
        found = tokenizing.token_ids(self.tokenizer, texts, special=True)
        rows = map(tokenizing.int32, found)
        return [Encoded(ids, np.full(len(ids), IGNORED, dtype=np.int32)) for ids in rows]

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """The text's beginning; ``max_output_length`` has no effect."""
        ids = tokenizing.keep_ends(encoded.input_ids, max_length, len(self._after))
        labels = tokenizing.keep_ends(encoded.labels, max_length, len(self._after))
        return Encoded(ids, labels, encoded.cut_input + len(encoded.input_ids) - len(ids))

    def units(self, items: Sequence[Encoded]) -> int:
        """The number of hidden tokens."""
        return sum(int(np.count_nonzero(item.labels != IGNORED)) for item in items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """One example a row."""
        return self.collate_packed([[item] for item in items])

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Tensor]:
        """``input_ids`` and ``labels``, and where documents have to be kept apart their numbers
        and positions."""
        ids, segments, positions, plain = joined(
            [[e.input_ids for e in b] for b in bins], self._pad
        )
        labels = joined([[e.labels for e in b] for b in bins], IGNORED)[0]
        batch = {"input_ids": ids, "labels": labels}
        if not plain:
            batch |= {"segments": segments, "position_ids": positions}
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats summed over the hidden tokens, a float32 scalar."""
        inputs = self._inputs(model, batch)
        return token_loss(model, inputs, batch["labels"], label_smoothing=label_smoothing)

    def row_losses(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy in nats summed over each row's hidden tokens: float32, shape (rows,)."""
        return row_losses(model, self._inputs(model, batch), batch["labels"])

    def losses(self, model: Any, items: Sequence[Encoded]) -> list[tuple[float, int, int]]:
        """Nats, tokens and bytes of what is hidden."""
        device = next(model.parameters()).device
        batch = {name: value.to(device) for name, value in self.collate(items).items()}
        sums = self.row_losses(model, batch).double().tolist()
        wanted = [self.hidden(item) for item in items]
        return [
            (nats, len(ids), int(self._bytes[ids].sum()))
            for nats, ids in zip(sums, wanted, strict=True)
        ]

    def hidden(self, item: Encoded) -> Ids:
        """The tokens that are hidden in an example."""
        hidden: Ids = item.labels[item.labels != IGNORED]
        return hidden

    def prompt(self, example: Example) -> str:
        """The text that the model reads."""
        return example.output or example.input

    def state(self) -> dict[str, Any]:
        """All that must travel in the model folder; plain JSON."""
        return {"name": self.name, "family": self.family}

    def _inputs(self, model: Any, batch: dict[str, Tensor]) -> dict[str, Any]:
        plain = {"input_ids": batch["input_ids"]}
        way_of(model, plain, batch["labels"])  # tried out on tensors that it knows how to cut
        if "segments" not in batch:
            return plain
        mask = same(batch["segments"], batch["segments"])
        return plain | {"attention_mask": mask, "position_ids": batch["position_ids"]}

    def _hidden(self, ids: Ids, random: np.random.Generator) -> Encoded:
        chosen = self._choose(ids, random)
        fate = random.random(len(ids))
        others = self._usual[random.integers(0, len(self._usual), len(ids))]
        read = ids.copy()
        masked = chosen & (fate < MASKED)
        changed = chosen & (fate >= MASKED) & (fate < MASKED + CHANGED)
        read[masked] = self.tokenizer.mask_token_id
        read[changed] = others[changed]
        labels = np.where(chosen, ids, np.int32(IGNORED)).astype(np.int32)
        if len(ids) and self._special[ids[-1]]:
            read, labels = read[:-1], labels[:-1]  # the stream's own end; ours is appended
        if len(ids) and self._special[ids[0]]:
            read, labels = read[1:], labels[1:]
        edges = [np.full(n, IGNORED, dtype=np.int32) for n in (len(self._before), len(self._after))]
        return Encoded(
            np.concatenate([self._before, read, self._after]),
            np.concatenate([edges[0], labels, edges[1]]),
        )

    def _choose(self, ids: Ids, random: np.random.Generator) -> NDArray[np.bool_]:
        """Which tokens are hidden: so many units, tokens or words, as come nearest to the share."""
        usual = ~self._special[ids]
        units = np.arange(len(ids))
        if self._whole_words:
            begins = ~self._inside[ids]
            begins[:1] = True
            units = np.cumsum(begins) - 1
        candidates = np.unique(units[usual])
        if not len(candidates):
            return np.zeros(len(ids), dtype=bool)
        count = min(len(candidates), max(1, round(self.share * len(candidates))))
        picked = random.choice(candidates, count, replace=False)
        return usual & np.isin(units, picked)


def inside_words(tokenizer: Any) -> NDArray[np.bool_]:
    """For each token whether it goes on with the word of the token before it.

    WordPiece marks what goes on (``##``), byte-level BPE and Unigram what begins (``Ġ``, ``▁``).
    """
    vocabulary = tokenizer.get_vocab()
    found = np.zeros(max(vocabulary.values()) + 1, dtype=bool)
    pieces = any(text.startswith("##") for text in vocabulary)
    marks = any(text.startswith(("Ġ", "▁")) for text in vocabulary)
    special = set(tokenizer.all_special_ids)
    for text, index in vocabulary.items():
        if index in special:
            continue
        if pieces:
            found[index] = text.startswith("##")
        elif marks:
            found[index] = text[:1].isalpha() and not text.startswith(("Ġ", "▁", "Ċ"))
    return found
