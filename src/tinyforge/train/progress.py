"""How far a training is: all plain numbers that a resumed run needs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass
class Progress:
    """Changes with every step; a checkpoint keeps all of it.

    Attributes:
        step: optimizer steps done.
        examples: rows learnt from; ``tokens`` without padding.
        seconds: training time so far, over all resumed parts.
        mean_loss: running mean of the loss, slow enough to see a spike against; None at first.
        first_loss: largest loss of the first steps: what a model that knows nothing has.
        losses: how many losses are in ``mean_loss``.
        returns: how often training went back after trouble; each one halves ``lr_scale``.
        forgiven: steps at which a spike was seen before: their batch is odd, not the training.
        halvings: how often the micro-batches were halved for want of memory.
        validated: the step of the last validation; -1 before the first.
        best_step: the step of the best validation; None before the first.
        best_value: its value.
        lowest_loss: the lowest validation loss so far.
        stale: validations since either of the two improved.
        metrics_bytes: length of ``metrics.jsonl`` at this point.
        events: lines about what was out of the ordinary.
    """

    step: int = 0
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    mean_loss: float | None = None
    first_loss: float | None = None
    losses: int = 0
    returns: int = 0
    lr_scale: float = 1.0
    forgiven: list[int] = field(default_factory=list)
    halvings: int = 0
    validated: int = -1
    best_step: int | None = None
    best_value: float | None = None
    lowest_loss: float | None = None
    stale: int = 0
    metrics_bytes: int = 0
    events: list[str] = field(default_factory=list)

    def state(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state that ``state`` gave."""
        for item in fields(self):
            setattr(self, item.name, state[item.name])

    def position(self) -> dict[str, Any]:
        """What tells two saved states of one training apart: all but clock and file length."""
        state = self.state()
        del state["seconds"], state["metrics_bytes"]
        return state
