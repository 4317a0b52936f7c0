"""Span corruption: short spans are taken out of a text and have to be written (T5).

Raffel et al. 2020, "Exploring the limits of transfer learning with a unified text-to-text
transformer" (arXiv:1910.10683), section 3.1.4: 15 % of the tokens in spans of three on average;
the encoder reads a sentinel in the place of each span, the decoder writes each sentinel and what
stood there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.tasks.losses import row_losses, token_loss, way_of
from tinyforge.tasks.pretraining.base import Ids, causal, cut_at, joined, same, token_bytes
from tinyforge.tasks.text2text import EncoderDecoderText

SENTINELS = 100
"""As many as T5 has."""

SHARE, MEAN_SPAN = 0.15, 3.0


def sentinel(number: int) -> str:
    """The text of a sentinel, as T5 writes it."""
    return f"<extra_id_{number}>"


def add_sentinels(tokenizer: Any, count: int = SENTINELS) -> None:
    """Gives a tokenizer the sentinels that it lacks, after all of its other tokens."""
    from tokenizers import AddedToken

    known = tokenizer.get_vocab()
    wanted = [sentinel(number) for number in range(count)]
    tokenizer.add_tokens(
        [AddedToken(text, special=True, normalized=False) for text in wanted if text not in known],
        special_tokens=True,
    )


class SpanCorruption(EncoderDecoderText):
    """Raw text as a T5 learns it; what is saved with the model is ``text2text``.

    Several documents of a window stand in one row: the encoder's, the decoder's and the cross
    attention keep them apart, and the sentinels begin anew with each.

    Args:
        share: of the tokens that are taken out.
        mean_span: tokens of a span, on average.
    """

    added = 0

    def __init__(
        self, tokenizer: Any, config: Any, *, share: float = SHARE, mean_span: float = MEAN_SPAN,
        **shared: Any,
    ) -> None:  # fmt: skip
        super().__init__(tokenizer, config, **shared)
        self.share, self._mean_span = share, mean_span
        vocabulary = tokenizer.get_vocab()
        names = (sentinel(number) for number in range(SENTINELS))
        self.sentinels = [vocabulary[name] for name in names if name in vocabulary]
        self._bytes = token_bytes(tokenizer)
        self._start = config.decoder_start_token_id

    def examples(
        self, tokens: NDArray[Any], starts: NDArray[Any], random: np.random.Generator
    ) -> list[Encoded]:
        """Each document of a window with spans taken out, and what they were."""
        return [self._corrupted(ids, random) for ids in cut_at(tokens, starts)]

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Tensor]:
        """``input_ids``, ``decoder_input_ids``, ``labels``, and where documents have to be kept
        apart the number of its document for each place of both sides."""
        read, segments, _, plain = joined([[e.input_ids for e in b] for b in bins], self._pad)
        labels, own, _, alike = joined([[e.labels for e in b] for b in bins], IGNORED, None)
        begun = [[np.r_[np.int32(self._start), e.labels[:-1]] for e in b] for b in bins]
        written = joined(begun, self._pad, None)[0]
        batch = {"input_ids": read, "decoder_input_ids": written, "labels": labels}
        if not (plain and alike):
            batch |= {"segments": segments, "decoder_segments": own}
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats summed over what is to be written, a float32 scalar."""
        inputs = self._inputs(model, batch)
        return token_loss(model, inputs, batch["labels"], label_smoothing=label_smoothing)

    def losses(self, model: Any, items: Sequence[Encoded]) -> list[tuple[float, int, int]]:
        """Nats, tokens and bytes of what was taken out; sentinels and end are not counted."""
        batch = self.collate_packed([[item] for item in items])
        device = next(model.parameters()).device
        batch = {name: value.to(device) for name, value in batch.items()}
        marks = torch.tensor([*self.sentinels, *self.end_ids], device=device)
        labels = batch["labels"]
        hidden = torch.where(torch.isin(labels, marks), IGNORED, labels)
        with torch.no_grad():
            sums = row_losses(model, self._inputs(model, batch), hidden).double().tolist()
        wanted = [row[row != IGNORED].cpu().numpy() for row in hidden]
        return [
            (nats, len(ids), int(self._bytes[ids].sum()))
            for nats, ids in zip(sums, wanted, strict=True)
        ]

    def hidden(self, item: Encoded) -> Ids:
        """The tokens that were taken out of an example."""
        marks = [*self.sentinels, *self.end_ids]
        return item.labels[~np.isin(item.labels, marks)]

    def _inputs(self, model: Any, batch: dict[str, Tensor]) -> dict[str, Any]:
        plain = {name: batch[name] for name in ("input_ids", "decoder_input_ids")}
        way_of(model, plain, batch["labels"])  # tried out on tensors that it knows how to cut
        if "segments" not in batch:
            return plain
        read, written = batch["segments"], batch["decoder_segments"]
        encoder = model.get_encoder()
        states = encoder(input_ids=batch["input_ids"], attention_mask=same(read, read))[0]
        return {
            "encoder_outputs": (states,),
            "attention_mask": same(written, read),
            "decoder_input_ids": batch["decoder_input_ids"],
            "decoder_attention_mask": causal(written),
        }

    def _corrupted(self, ids: Ids, random: np.random.Generator) -> Encoded:
        end = np.array([self.end_ids[0]], dtype=np.int32)
        if len(ids) and ids[-1] in self.end_ids:
            ids = ids[:-1]  # it ends both sides anyway
        lengths = spans(len(ids), self.share, self._mean_span, len(self.sentinels), random)
        read: list[Ids] = []
        written: list[Ids] = []
        place = 0
        for number, (kept, gone) in enumerate(lengths):
            mark = np.array([self.sentinels[number]], dtype=np.int32)
            read += [ids[place : place + kept], mark]
            written += [mark, ids[place + kept : place + kept + gone]]
            place += kept + gone
        return Encoded(np.concatenate([*read, ids[place:], end]), np.concatenate([*written, end]))


def spans(
    length: int, share: float, mean_span: float, most: int, random: np.random.Generator
) -> list[tuple[int, int]]:
    """How many tokens are kept and then taken out, in turn; what is left after them is kept.

    The number of spans and of tokens in them follows from the length alone, so that windows of one
    length give rows of one length; only where they lie is drawn.

    Args:
        most: spans at most.
    """
    gone = min(max(round(length * share), 1), length - 1)
    if gone < 1 or most < 1:
        return []
    count = min(max(round(gone / mean_span), 1), gone, length - gone, most)
    taken = _parts(gone, count, random)
    kept = _parts(length - gone + 1, count + 1, random)  # the last part may be empty: one too many
    return list(zip(kept[:-1], taken, strict=True))


def _parts(total: int, count: int, random: np.random.Generator) -> list[int]:
    """``total`` cut into ``count`` parts of at least 1, every way equally likely."""
    cuts = np.sort(random.choice(total - 1, count - 1, replace=False)) + 1
    bounds = [0, *cuts.tolist(), total]
    return [end - begin for begin, end in itertools.pairwise(bounds)]
