"""Which of two answers is better: direct preference optimisation (DPO).

Rafailov et al. 2023, arXiv:2305.18290. A pair of answers to one prompt is learnt by making the
chosen one likelier against the rejected one than the model before training found it; no reward
model and no sampling are needed. What the model before training says never changes, so it is
measured once and travels with the pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from tinyforge.config.settings import Settings
from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example, Message
from tinyforge.tasks.decoder import shifted
from tinyforge.tasks.instruct import Instruct

if TYPE_CHECKING:
    from torch import Tensor


class Preference(Instruct):
    """A chat with a chosen and a rejected answer.

    Prompt and answers are encoded and cut as those of ``Instruct``, and it is as such that the
    trained model is saved: it chats.

    An item with ``rejected`` is a pair; one without is a chat, measured as such.

    Attributes:
        beta: the strength with which the model is held to what it was before.
    """

    name = "preference"

    def __init__(self, tokenizer: Any, config: Any, *, beta: float = 0.1, **shared: Any) -> None:
        super().__init__(tokenizer, config, **shared)
        self.beta = beta

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
        data = settings.data
        return cls(
            tokenizer, config, prefix=data.prefix or "", system=data.system or "",
            beta=settings.preference.beta,
        )  # fmt: skip

    def state(self) -> dict[str, Any]:
        """That of ``Instruct``, which the trained model answers as."""
        return {**super().state(), "name": Instruct.name}

    def units(self, items: Sequence[Encoded]) -> int:
        """The number of pairs; of chats, the number of tokens that are learnt."""
        return len(items) if _pairs(items) else super().units(items)

    def collate(self, items: Sequence[Encoded]) -> dict[str, Tensor]:
        """The chosen answers' rows, then the rejected ones': shape (2 x pairs, longest).

        ``reference``, float32, shape (pairs,): what the model before training says of them, where
        that is measured.
        """
        if not _pairs(items):
            return super().collate(items)
        batch = super().collate([*items, *(item.rejected for item in items if item.rejected)])
        known = [item.reference for item in items if item.reference is not None]
        if len(known) == len(items):
            import torch

            batch["reference"] = torch.tensor(known, dtype=torch.float32)
        return batch

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """DPO's loss in nats summed over the pairs, a float32 scalar.

        Args:
            model: the model that learns.
            batch: from ``collate``, of pairs with their ``reference``.
            label_smoothing: share of the pairs that are taken to be labelled the wrong way round
                (conservative DPO, Mitchell 2023).
        """
        from torch.nn import functional

        rows = dict(batch)
        reference = rows.pop("reference")
        moved = self.beta * (self.margins(model, rows) - reference)
        losses = -(1 - label_smoothing) * functional.logsigmoid(moved)
        if label_smoothing:
            losses = losses - label_smoothing * functional.logsigmoid(-moved)
        return losses.sum()

    def margins(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """By how many nats the model finds each chosen answer likelier: float32, shape (pairs,).

        Args:
            batch: from ``collate``, of pairs, without ``reference``.
        """
        from tinyforge.tasks.losses import learnt_row_losses

        chosen, rejected = learnt_row_losses(model, *shifted(batch)).chunk(2)
        return rejected - chosen

    def row_losses(self, model: Any, batch: dict[str, Tensor]) -> Tensor:
        """Pairs: DPO's loss of each where ``reference`` is known; chats: as ``Instruct`` has it.

        Returns:
            float32, shape (pairs,) or (rows,).
        """
        if "reference" not in batch:
            return super().row_losses(model, batch)
        import torch
        from torch.nn import functional

        rows = dict(batch)
        reference = rows.pop("reference")
        with torch.no_grad():
            return -functional.logsigmoid(self.beta * (self.margins(model, rows) - reference))


def _pairs(items: Sequence[Encoded]) -> bool:
    return bool(items) and items[0].rejected is not None


def rejected_answer(example: Example) -> Example:
    """The same prompt with the rejected answer in place of the chosen one."""
    messages = example.messages
    if messages:
        messages = (*messages[:-1], Message("assistant", example.rejected or ""))
    return replace(example, output=example.rejected, messages=messages, rejected=None)
