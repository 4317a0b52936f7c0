"""Text to text: an input, and the answer to write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.settings import Settings
from tinyforge.models.families import family_of_config
from tinyforge.records.encoded import IGNORED, Encoded
from tinyforge.records.examples import Example
from tinyforge.tasks import tokens
from tinyforge.tasks.base import Task
from tinyforge.tasks.decoder import DecoderTask
from tinyforge.tasks.saved import Saved

if TYPE_CHECKING:
    from torch import Tensor

SEPARATOR = "\n"
"""Between input and answer where one sequence holds both (decoder models)."""


class Text2Text:
    """The table's entry: the variant that suits the model."""

    @classmethod
    def build(
        cls,
        *,
        tokenizer: Any,
        config: Any,
        labels: Sequence[str],
        multi_label: bool,
        settings: Settings,
    ) -> Task:
        """The task of a new run."""
        family = family_of_config(config.to_dict(), name=config.model_type)
        kind = EncoderDecoderText if family == "encoder-decoder" else DecoderText
        return kind(tokenizer, config, prefix=settings.data.prefix or "")

    @classmethod
    def from_state(cls, state: Mapping[str, Any], tokenizer: Any, config: Any) -> Task:
        """The task as ``state`` described it."""
        kind = EncoderDecoderText if state["family"] == "encoder-decoder" else DecoderText
        return kind.from_state(state, tokenizer, config)


class EncoderDecoderText(Saved):
    """The encoder reads prefix and input, the decoder writes the answer.

    Both sides end with the end token, appended here where the tokenizer does not.

    Attributes:
        prefix: put before every input, as T5 was trained with.
        end_ids: the tokens at which an answer ends.
        max_length, max_output_length, max_new_tokens: limits that the model was trained with.
    """

    name = "text2text"
    family = "encoder-decoder"
    FIELDS = ("prefix", "max_length", "max_output_length", "max_new_tokens")

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        *,
        prefix: str = "",
        max_length: int | None = None,
        max_output_length: int | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        self.tokenizer, self.config, self.prefix = tokenizer, config, prefix
        self.max_length, self.max_output_length = max_length, max_output_length
        self.max_new_tokens = max_new_tokens
        self.end_ids = tokens.end_ids(tokenizer, config)
        self._pad = tokens.pad_id(tokenizer, config)
        self._input_end, self._input_tail = self._ends(target=False)
        self._output_end, self._output_tail = self._ends(target=True)

    def _ends(self, *, target: bool) -> tuple[tokens.Ids, int]:
        """What to append to this side, and how many special tokens then end it."""
        tail = tokens.affixes(self.tokenizer, target=target)[1]
        missing = [] if set(tail) & set(self.end_ids) else [self.end_ids[0]]
        return missing, len(tail) + len(missing)

    def prompt(self, example: Example) -> str:
        """The text the encoder reads."""
        return self.prefix + example.input

    def prompt_ids(self, example: Example) -> NDArray[np.int32]:
        """The ids the encoder reads."""
        return self.encode([Example(input=example.input)])[0].input_ids

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Input ids and answer ids, both with their end token; no answer gives no labels."""
        inputs = tokens.token_ids(self.tokenizer, [self.prompt(e) for e in examples], special=True)
        answers = [example.output for example in examples if example.output is not None]
        outputs = iter(tokens.token_ids(self.tokenizer, answers, special=True, target=True))
        return [
            Encoded(
                tokens.int32(ids + self._input_end),
                tokens.int32([] if example.output is None else next(outputs) + self._output_end),
            )
            for ids, example in zip(inputs, examples, strict=True)
        ]

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """The beginning of both sides, each with its end token."""
        ids = tokens.keep_ends(encoded.input_ids, max_length, self._input_tail)
        labels = tokens.keep_ends(encoded.labels, max_output_length, self._output_tail)
        return Encoded(
            ids,
            labels,
            encoded.cut_input + len(encoded.input_ids) - len(ids),
            encoded.cut_output + len(encoded.labels) - len(labels),
        )

    def units(self, items: Sequence[Encoded]) -> int:
        """The number of answer tokens."""
        return sum(int(np.count_nonzero(item.labels != IGNORED)) for item in items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """Padded on the right: ``input_ids``, ``attention_mask`` (rows, longest input), ``labels``
        and ``decoder_input_ids`` (rows, longest answer).

        The decoder's input is the answer moved right behind the model's start token. Where the
        config names none (mBART), it is left to the model's own method in ``loss``.
        """
        import torch

        ids, mask = tokens.pad([item.input_ids for item in items], self._pad)
        labels, _ = tokens.pad([item.labels for item in items], IGNORED)
        batch = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        start = getattr(self.config, "decoder_start_token_id", None)
        if start is not None:
            batch["decoder_input_ids"] = shift_right(labels, start, self._pad)
        return {name: torch.from_numpy(value) for name, value in batch.items()}

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """Cross-entropy in nats summed over the answers' tokens, a float32 scalar."""
        from tinyforge.tasks.losses import token_loss

        inputs, targets = _split(model, batch)
        return token_loss(model, inputs, targets, label_smoothing=label_smoothing)

    def row_losses(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy in nats summed over each answer: float32, shape (rows,)."""
        from tinyforge.tasks.losses import row_losses

        return row_losses(model, *_split(model, batch))


def _split(model: Any, batch: dict[str, Tensor]) -> tuple[dict[str, Tensor], Tensor]:
    labels = batch["labels"]
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    if "decoder_input_ids" not in inputs:
        shift = model.prepare_decoder_input_ids_from_labels
        inputs["decoder_input_ids"] = shift(labels=labels)
    return inputs, labels


def shift_right(labels: NDArray[np.int64], start: int, pad: int) -> NDArray[np.int64]:
    """What the decoder has seen before it writes each label."""
    shifted = np.empty_like(labels)
    shifted[:, :1] = start
    shifted[:, 1:] = labels[:, :-1]
    shifted[shifted == IGNORED] = pad
    return shifted


class DecoderText(DecoderTask):
    """Prefix, input and separator are the prompt; the answer and the end token are learnt.

    Prompt and answer are encoded apart, so that the prompt has the same ids whether an answer
    follows or not.

    Attributes:
        separator: the text between input and answer.
    """

    name = "text2text"
    FIELDS = (*DecoderTask.FIELDS, "separator")

    def __init__(
        self, tokenizer: Any, config: Any, *, separator: str = SEPARATOR, **shared: Any
    ) -> None:
        super().__init__(tokenizer, config, **shared)
        self.separator = separator

    def prompt(self, example: Example) -> str:
        """Prefix, input and separator."""
        return f"{self.prefix}{example.input}{self.separator}"

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Prompt, answer and end token in one; without an answer the prompt alone."""
        prompts = tokens.token_ids(
            self.tokenizer, [self.prompt(e) for e in examples], special=False
        )
        given = [e.output for e in examples if e.output is not None]
        answers = iter(tokens.token_ids(self.tokenizer, given, special=False))
        encoded = []
        for ids, example in zip(prompts, examples, strict=True):
            parts = [(self._start + ids, False)]
            if example.output is not None:
                parts.append(([*next(answers), self.end_ids[0]], True))
            encoded.append(self._encoded(parts))
        return encoded
