"""Text to a label, or to any number of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from tinyforge.config.settings import Settings
from tinyforge.errors import DataError, ModelError
from tinyforge.models.families import FITS, family_of_config
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example
from tinyforge.records.predictions import Prediction
from tinyforge.registry import suggest
from tinyforge.tasks import tokens
from tinyforge.tasks.saved import Saved

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.5
"""From this probability on, a multi-label model says yes to a label."""


class Classify(Saved):
    """One label for each text, or the set of labels that hold (multi-label).

    The loss of an example is the cross-entropy of its label; for multi-label the binary
    cross-entropy averaged over all labels, so that its size does not grow with their number.

    Attributes:
        labels: every label, in the order of the model's outputs.
        multi_label: whether a text may have several labels, or none.
        threshold: probability from which a label holds (multi-label).
        prefix: put before every input.
        max_length: tokens of the texts that the model was trained with; None: not known.
        family: of the model; by default its config says so, which takes transformers.
    """

    name = "classify"
    FIELDS = ("family", "prefix", "labels", "multi_label", "threshold", "max_length")

    def __init__(
        self,
        tokenizer: Any,
        config: Any,
        labels: Sequence[str],
        *,
        multi_label: bool = False,
        threshold: float = THRESHOLD,
        prefix: str = "",
        max_length: int | None = None,
        family: str | None = None,
    ) -> None:
        if not labels:
            raise DataError("there are no labels to learn", fix="Name their column: data.output")
        if getattr(config, "num_labels", len(labels)) != len(labels):
            raise ModelError(
                f"the model has {config.num_labels} outputs and there are {len(labels)} labels",
                fix="Load the model for these labels",
            )
        self.tokenizer, self.config = tokenizer, config
        self.labels, self.multi_label, self.threshold = tuple(labels), multi_label, threshold
        self.prefix = prefix
        self.max_length = max_length
        self.family = family or family_of_config(config.to_dict(), name=config.model_type)
        if self.family not in FITS[self.name]:
            raise ValueError(f"a model of the family {self.family!r} gives no labels")
        self._index = {label: index for index, label in enumerate(self.labels)}
        self._pad = tokens.pad_id(tokenizer, config)
        self._tail = len(tokens.affixes(tokenizer)[1])

    @classmethod
    def build(
        cls,
        *,
        tokenizer: Any,
        config: Any,
        labels: Sequence[str],
        multi_label: bool,
        settings: Settings,
    ) -> Self:
        """The task of a new run."""
        prefix = settings.data.prefix or ""
        return cls(tokenizer, config, labels, multi_label=multi_label, prefix=prefix)

    def prompt(self, example: Example) -> str:
        """The text the model reads."""
        return self.prefix + example.input

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Token ids with the tokenizer's special tokens; labels as indices.

        Raises:
            DataError: an example has a label that is not in the table.
        """
        rows = tokens.token_ids(self.tokenizer, [self.prompt(e) for e in examples], special=True)
        return [
            Encoded(tokens.int32(ids), self._indices(example))
            for ids, example in zip(rows, examples, strict=True)
        ]

    def _indices(self, example: Example) -> NDArray[np.int32]:
        names: Sequence[str] = example.labels or ()
        if not names and example.output is not None and example.labels is None:
            names = (example.output,)
        for name in names:
            if name not in self._index:
                raise DataError(
                    "this label is not among those the model knows",
                    where=str(example.source),
                    value=name,
                    fix=suggest(name, self.labels[:50]),
                )
        return tokens.int32([self._index[name] for name in names])

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """The text's beginning, and the special tokens at its end; labels are never cut."""
        ids = tokens.keep_ends(encoded.input_ids, max_length, self._tail)
        gone = len(encoded.input_ids) - len(ids)
        return Encoded(ids, encoded.labels, encoded.cut_input + gone, encoded.cut_output)

    def units(self, items: Sequence[Encoded]) -> int:
        """The number of examples."""
        return len(items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """``input_ids`` and ``attention_mask`` (rows, longest), padded on the right; ``labels``.

        Labels are int64 (rows,), or float32 (rows, labels) of 0 and 1 for multi-label. They are
        absent where an example that needs one has none, as when answering.
        """
        import torch

        ids, mask = tokens.pad([item.input_ids for item in items], self._pad)
        batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if self.multi_label:
            targets = np.zeros((len(items), len(self.labels)), dtype=np.float32)
            for row, item in enumerate(items):
                targets[row, item.labels] = 1.0
            batch["labels"] = torch.from_numpy(targets)
        elif all(len(item.labels) == 1 for item in items):
            found = np.fromiter((item.labels[0] for item in items), np.int64, len(items))
            batch["labels"] = torch.from_numpy(found)
        return batch

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """The examples' losses summed, a float32 scalar.

        Label smoothing moves a share of the target evenly to all labels (one label), or towards
        one half (multi-label).
        """
        return self._losses(model, batch, label_smoothing).sum()

    def row_losses(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """The loss of each example: float32, shape (rows,)."""
        import torch

        with torch.no_grad():
            return self._losses(model, batch, 0.0)

    def _losses(self, model: Any, batch: dict[str, Tensor], smoothing: float) -> Tensor:
        from torch.nn import functional

        logits, targets = self.logits(model, batch).float(), batch["labels"]
        if not self.multi_label:
            return functional.cross_entropy(
                logits, targets, reduction="none", label_smoothing=smoothing
            )
        targets = targets * (1 - smoothing) + smoothing / 2
        each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return each.mean(dim=1)

    def logits(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """What the model says of each label: shape (rows, labels)."""
        logits: Tensor = model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
        return logits

    def decide(self, logits: Tensor | NDArray[np.floating[Any]]) -> list[Prediction]:
        """Labels and probabilities from logits (rows, labels).

        One label: the likeliest, by softmax. Multi-label: every label whose sigmoid reaches the
        threshold, the likeliest first; the confidence is that of the least certain one chosen, or,
        where none is, one minus the highest probability. Computed in float64 for PyTorch's
        tensors and numpy's arrays alike, so that the same logits give the same numbers.
        """
        values = _array(logits)
        if self.multi_label:
            shares = np.exp(-np.logaddexp(0.0, -values))
        else:
            shares = np.exp(values - values.max(axis=-1, keepdims=True))
            shares /= shares.sum(axis=-1, keepdims=True)
        return [self._decide(row) for row in shares.tolist()]

    def _decide(self, row: list[float]) -> Prediction:
        scores = dict(zip(self.labels, row, strict=True))
        if not self.multi_label:
            best = max(scores, key=scores.__getitem__)
            chosen, confidence = [best], scores[best]
        else:
            ranked = sorted(scores, key=lambda label: -scores[label])
            chosen = [label for label in ranked if scores[label] >= self.threshold]
            confidence = scores[chosen[-1]] if chosen else 1.0 - scores[ranked[0]]
        return Prediction(
            output=", ".join(chosen), confidence=confidence, scores=scores, labels=tuple(chosen)
        )


def _array(logits: Any) -> NDArray[np.float64]:
    """Float64 numbers of a tensor or an array."""
    plain = logits.detach().float().cpu().numpy() if hasattr(logits, "detach") else logits
    return np.asarray(plain, dtype=np.float64)
