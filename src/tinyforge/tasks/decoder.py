"""What the tasks of decoder models share: prompt and answer in one sequence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import tokens
from tinyforge.tasks.saved import Saved

if TYPE_CHECKING:
    from torch import Tensor


class DecoderTask(Saved, ABC):
    """A sequence of which some tokens are learnt, each from all that stand before it.

    Labels stand where their tokens stand and are shifted in ``loss``; the first token of a
    sequence has nothing before it and never carries loss.

    Attributes:
        prefix: put before every input.
        end_ids: the tokens at which an answer ends; the first is appended where none is there.
        max_length, max_new_tokens: limits that the model was trained with; None: not known.
    """

    family = "decoder"
    FIELDS: ClassVar[tuple[str, ...]] = ("prefix", "max_length", "max_new_tokens")

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        prefix: str = "",
        max_length: int | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        self.tokenizer, self.config, self.prefix = tokenizer, config, prefix
        self.max_length, self.max_new_tokens = max_length, max_new_tokens
        self.end_ids = tokens.end_ids(tokenizer, config)
        self._start = tokens.affixes(tokenizer)[0]
        self._pad = tokens.pad_id(tokenizer, config)

    @abstractmethod
    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Token ids of examples, uncut, in order; an example without an answer is its prompt."""

    @abstractmethod
    def prompt(self, example: Example) -> str:
        """The exact text the model continues."""

    def prompt_ids(self, example: Example) -> NDArray[np.int32]:
        """The ids the model continues when it answers: those before the answer in training."""
        return self.encode([unanswered(example)])[0].input_ids

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """At most ``max_length`` tokens of prompt and answer together.

        The prompt goes first, from its left, but for a start token and at least one token from
        which the answer's first is learnt; then the answer's end, but for its end token. Tokens
        of earlier answers in a chat that go with the prompt count as cut output.
        ``max_output_length`` has no effect.
        """
        ids, labels = encoded.input_ids, encoded.labels
        if len(ids) <= max_length:
            return encoded
        answer = answer_start(labels)
        before = min(max(1, max_length - (len(ids) - answer)), answer)
        keep = np.concatenate(
            [
                self._tail_of_prompt(ids, answer, before),
                tokens.keep_ends(tokens.int32(range(answer, len(ids))), max_length - before, 1),
            ]
        )
        gone = np.ones(len(ids), dtype=bool)
        gone[keep] = False
        cut_output = int(np.count_nonzero(labels[gone] != IGNORED))
        kept = labels[keep].copy()
        kept[:1] = IGNORED
        return Encoded(
            ids[keep],
            kept,
            encoded.cut_input + int(gone.sum()) - cut_output,
            encoded.cut_output + cut_output,
        )

    def _tail_of_prompt(self, ids: NDArray[np.int32], end: int, count: int) -> NDArray[np.int32]:
        """Places of the prompt's last ``count`` tokens, the first of them its start token."""
        start = len(self._start)
        if 0 < start < count and ids[:start].tolist() == self._start:
            return tokens.int32([*range(start), *range(end - count + start, end)])
        return tokens.int32(range(end - count, end))

    def units(self, items: Sequence[Encoded]) -> int:
        """The number of tokens that are learnt."""
        return sum(int(np.count_nonzero(item.labels[1:] != IGNORED)) for item in items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """``input_ids``, ``attention_mask`` and ``labels`` (rows, longest), padded on the right."""
        import torch

        ids, mask = tokens.pad([item.input_ids for item in items], self._pad)
        labels, _ = tokens.pad([item.labels for item in items], IGNORED)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
        }

    def collate_packed(self, bins: Sequence[Sequence[Encoded]]) -> dict[str, Tensor]:
        """Several examples in one row, none of which sees another.

        ``position_ids`` begin anew with each example, and there is no attention mask: from that,
        transformers builds the block-diagonal causal mask itself (``masking_utils``), for every
        attention implementation and inside sliding windows. Each padding token is a block of its
        own. Whether a model keeps to it: ``packing.keeps_apart``.
        """
        import torch

        ids, _ = tokens.pad([np.concatenate([e.input_ids for e in b]) for b in bins], self._pad)
        labels, _ = tokens.pad([np.concatenate([e.labels for e in b]) for b in bins], IGNORED)
        positions = np.zeros_like(ids)
        for row, members in enumerate(bins):
            start = 0
            for member in members:
                end = start + len(member.input_ids)
                positions[row, start:end] = np.arange(end - start)
                start = end
        labels[positions == 0] = IGNORED
        return {
            "input_ids": torch.from_numpy(ids),
            "position_ids": torch.from_numpy(positions),
            "labels": torch.from_numpy(labels),
        }

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats summed over the learnt tokens, a float32 scalar."""
        from tinyforge.tasks.losses import token_loss

        inputs, targets = shifted(batch)
        return token_loss(model, inputs, targets, label_smoothing=label_smoothing)

    def row_losses(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy in nats summed over each row's learnt tokens: float32, shape (rows,)."""
        from tinyforge.tasks.losses import row_losses

        return row_losses(model, *shifted(batch))

    def _encoded(self, parts: Sequence[tuple[tokens.Ids, bool]]) -> Encoded:
        """One sequence from its parts; the second of each says whether it is learnt."""
        ids = tokens.int32([i for part, _ in parts for i in part])
        learnt = np.repeat([learn for _, learn in parts], [len(part) for part, _ in parts])
        labels = np.where(learnt.astype(bool), ids, np.int32(IGNORED))
        labels[:1] = IGNORED
        return Encoded(ids, labels)


def shifted(batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    """The model's inputs, and for every position the token that comes next."""
    from torch.nn import functional

    inputs = {name: value for name, value in batch.items() if name != "labels"}
    return inputs, functional.pad(batch["labels"][:, 1:], (0, 1), value=IGNORED)


def answer_start(labels: NDArray[np.int32]) -> int:
    """Where the last run of learnt tokens begins; the length where nothing is learnt."""
    ignored = np.flatnonzero(labels == IGNORED)
    return int(ignored[-1]) + 1 if len(ignored) else 0


def unanswered(example: Example) -> Example:
    """The example as it is when it is asked: without its answer."""
    messages = example.messages
    if messages and messages[-1].role == "assistant":
        messages = messages[:-1]
    return Example(input=example.input, messages=messages, source=example.source)
