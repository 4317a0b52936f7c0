"""What a task is: how an example becomes numbers, what is learnt from them, and what comes out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from tinyforge.records.encoded import Encoded
from tinyforge.records.examples import Example

if TYPE_CHECKING:
    import torch


class Task(Protocol):
    """One way of learning from examples. See ``tinyforge.tasks.TASKS`` for the table.

    Attributes:
        name: ``classify``, ``text2text``, ``instruct``, ``language-model`` or ``preference``.
        family: what kind of model it is for: ``encoder``, ``encoder-decoder`` or ``decoder``.
        tokenizer: the Hugging Face tokenizer.
    """

    name: str
    family: str
    tokenizer: Any

    def encode(self, examples: Sequence[Example]) -> list[Encoded]:
        """Token ids of examples, uncut (up to ``tokenizer`` alone), in order."""
        ...

    def cut(self, encoded: Encoded, max_length: int, max_output_length: int) -> Encoded:
        """The same example within the limits (tokens); the end token always stays.

        Decoder: ``max_length`` bounds prompt plus answer; the prompt is cut first, from its left.
        """
        ...

    def units(self, items: Sequence[Encoded]) -> int:
        """How many things the loss of these items is summed over: label tokens, or examples."""
        ...

    def collate(self, items: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """Padded tensors for the model. Seq2seq and decoder labels are padded with -100."""
        ...

    def loss(
        self, model: Any, batch: dict[str, torch.Tensor], *, label_smoothing: float = 0.0
    ) -> torch.Tensor:
        """The loss summed over ``units``, a float32 scalar; the caller divides."""
        ...

    def prompt(self, example: Example) -> str:
        """The exact text the model is given for this example, template and prefix included."""
        ...

    def state(self) -> dict[str, Any]:
        """All that must travel in the model folder to answer the same way; plain JSON."""
        ...
