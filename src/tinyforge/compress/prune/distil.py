"""Learning from a larger model: its logits are what the smaller one is to say.

Hinton, Vinyals and Dean 2015 (arXiv:1503.02531): beside the right answer the smaller model learns
what the larger one thinks of all the others, with both softened by a temperature T; the gradient of
that part is multiplied by T squared, so that T does not change its size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from tinyforge.records.encoded import IGNORED
from tinyforge.tasks.decoder import shifted
from tinyforge.tasks.losses import supervised_logits


class Distilled:
    """A task whose loss is a mix of the task's own and of what a larger model says.

    In everything else it is the task itself.

    Attributes:
        task: the task.
        teacher: the larger model, in evaluation mode; it reads the same tokens.
        share: of the larger model's word in the loss; the rest is the right answer's.
        temperature: above 1 the less likely answers count for more.
    """

    def __init__(self, task: Any, teacher: Any, *, share: float, temperature: float) -> None:
        self.task, self.teacher = task, teacher.eval()
        self.share, self.temperature = share, temperature

    def __getattr__(self, name: str) -> Any:
        if name == "task":  # not there yet, as while being copied
            raise AttributeError(name)
        return getattr(self.task, name)

    def loss(self, model: Any, batch: dict[str, Tensor], *, label_smoothing: float = 0.0) -> Tensor:
        """The mix, summed over the task's units, a float32 scalar."""
        ours, targets = self._logits(model, batch)
        with torch.no_grad():
            theirs, _ = self._logits(self.teacher, batch)
        ours, theirs = ours.float(), theirs.float()
        taught = self._taught(ours, theirs) * self.temperature**2
        if self.share == 1:
            return taught
        right = self._right(ours, targets, label_smoothing)
        return self.share * taught + (1 - self.share) * right

    def _logits(self, model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Logits and targets, one row for each unit of the loss."""
        if self.task.name == "classify":
            return self.task.logits(model, batch), batch["labels"]
        if self.task.family == "decoder":
            inputs, targets = shifted(batch)
        else:
            targets = batch["labels"]
            inputs = {name: value for name, value in batch.items() if name != "labels"}
            if "decoder_input_ids" not in inputs:
                shift = model.prepare_decoder_input_ids_from_labels
                inputs["decoder_input_ids"] = shift(labels=targets)
        return supervised_logits(model, inputs, targets), targets[targets != IGNORED]

    def _taught(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """How far ours are from theirs, in nats; for label sets the mean over the labels."""
        ours, theirs = ours / self.temperature, theirs / self.temperature
        if not self._sets:
            return functional.kl_div(
                ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="sum"
            )
        wanted = theirs.sigmoid()
        most = functional.binary_cross_entropy_with_logits
        apart = most(ours, wanted, reduction="none") - most(theirs, wanted, reduction="none")
        return apart.mean(dim=1).sum()

    def _right(self, ours: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """The task's own loss of these logits."""
        if not self._sets:
            return functional.cross_entropy(
                ours, targets, reduction="sum", label_smoothing=smoothing
            )
        soft = targets * (1 - smoothing) + smoothing / 2
        each = functional.binary_cross_entropy_with_logits(ours, soft, reduction="none")
        return each.mean(dim=1).sum()

    @property
    def _sets(self) -> bool:
        return bool(getattr(self.task, "multi_label", False))
