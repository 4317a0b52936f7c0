"""What the training loop tells to whoever listens: a bar, a tracker, a notebook.

Subclass ``Listener`` and override what you need. Nothing here imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

EventKind = Literal[
    "resumed", "not finite", "spike", "out of memory", "best lost", "stopped", "note"
]


@dataclass(frozen=True, slots=True)
class Start:
    """What is about to happen.

    Attributes:
        first_step: steps done already; above 0 for a resumed run.
        total_steps: optimizer steps if nothing stops training early.
        steps_per_epoch: optimizer steps in a pass over the rows.
        max_seconds: training time at most; None without a limit.
        elapsed: seconds of training done already, as a resumed run has.
        trainable_parameters: weights that learn; ``parameters`` counts all.
        precision: ``float32``, ``bfloat16`` or ``float16``; ``precision_reason`` says why.
        device: ``cpu`` or ``cuda``.
        speedups: names of those in use.
        settings: the training settings, plain JSON.
    """

    first_step: int
    total_steps: int
    steps_per_epoch: int
    max_seconds: float | None
    elapsed: float
    trainable_parameters: int
    parameters: int
    precision: str
    precision_reason: str
    device: str
    speedups: tuple[str, ...]
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the preflight measured on real batches.

    Attributes:
        seconds_per_step: of a step with as many tokens as an average batch has.
        seconds: to the end of training, validation not counted; never above ``max_minutes``.
        peak_memory: bytes of this process (on CUDA: of the GPU) on the largest batches seen.
        trainable_parameters: weights that learn.
        steps: optimizer steps to come.
    """

    seconds_per_step: float
    seconds: float
    peak_memory: int
    trainable_parameters: int
    steps: int


@dataclass(frozen=True, slots=True)
class StepResult:
    """One optimizer step.

    Attributes:
        step: how many steps are done with this one; the first is 1.
        epoch: passes over the rows so far.
        loss: summed loss divided by units over the whole accumulated batch, before the update.
        lr: learning rate of the update.
        grad_norm: norm of the whole gradient before clipping.
        examples: rows in the batch.
        tokens: tokens in the batch, without padding.
        units: what the loss was divided by: label tokens or examples.
        seconds: wall time of the step, making of the batch included.
    """

    step: int
    epoch: float
    loss: float
    lr: float
    grad_norm: float
    examples: int
    tokens: int
    units: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Validation:
    """Quality on the validation rows after ``step`` steps.

    Attributes:
        best: whether it is the best so far.
        texts: what the model wrote, to be looked at; by name.
    """

    step: int
    epoch: float
    values: Mapping[str, float]
    best: bool
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something out of the ordinary. ``message`` is one line for people."""

    step: int
    kind: EventKind
    message: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training came to. The model holds the weights of ``best_step`` (else the last).

    Attributes:
        steps: optimizer steps done.
        epochs: passes over the rows.
        examples: rows learnt from, repetitions counted.
        tokens: tokens learnt from, repetitions counted, padding not.
        seconds: training time, validation and saving included, over all resumed parts.
        stopped_because: ``done``, ``early_stopping`` or ``max_minutes``.
        best_by: the validation value that picks the best weights.
        best_step: the step whose weights the model holds; None without validation.
        best_value: ``best_by`` at that step.
        peak_memory: bytes, of this process or of the GPU.
        precision: number format of the matrix products.
        device: ``cpu`` or ``cuda``.
        speedups: names of those in use.
        estimate: what the preflight said; None where there was none.
        events: lines about recoveries and the like, in order.
        history: ``{"train": [{"step", "loss"}], "validation": [{"step", "loss", …}]}``; training
            losses are means over windows where there are more than 500 steps.
    """

    steps: int
    epochs: float
    examples: int
    tokens: int
    seconds: float
    stopped_because: str
    best_by: str
    best_step: int | None
    best_value: float | None
    peak_memory: int
    precision: str
    device: str
    speedups: tuple[str, ...]
    estimate: Estimate | None = None
    events: list[str] = field(default_factory=list)
    history: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class Listener(Protocol):
    """Told of everything, in order. A subclass overrides what it cares for."""

    def on_start(self, start: Start) -> None:
        """Training begins or goes on."""
        return

    def on_preflight(self, estimate: Estimate) -> None:
        """Three steps were measured and undone; called once, before the first step."""
        return

    def on_step(self, result: StepResult) -> None:
        """An optimizer step is done."""
        return

    def on_validation(self, validation: Validation) -> None:
        """The validation rows were scored."""
        return

    def on_event(self, event: Event) -> None:
        """Something out of the ordinary happened."""
        return

    def on_end(self, outcome: Outcome | None) -> None:
        """Training ended; None where a signal or an error stopped it."""
        return


class Listeners(Listener):
    """Several listeners as one."""

    def __init__(self, listeners: Iterable[Listener]) -> None:
        self._all = list(listeners)

    def on_start(self, start: Start) -> None:
        """Tell all."""
        for listener in self._all:
            listener.on_start(start)

    def on_preflight(self, estimate: Estimate) -> None:
        """Tell all."""
        for listener in self._all:
            listener.on_preflight(estimate)

    def on_step(self, result: StepResult) -> None:
        """Tell all."""
        for listener in self._all:
            listener.on_step(result)

    def on_validation(self, validation: Validation) -> None:
        """Tell all."""
        for listener in self._all:
            listener.on_validation(validation)

    def on_event(self, event: Event) -> None:
        """Tell all."""
        for listener in self._all:
            listener.on_event(event)

    def on_end(self, outcome: Outcome | None) -> None:
        """Tell all, also when one of them fails."""
        for listener in self._all:
            listener.on_end(outcome)
