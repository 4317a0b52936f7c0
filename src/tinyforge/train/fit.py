"""Training from start to end: the loop, with everything that keeps it safe around it."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import os
import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.config.train import TrainSettings
from tinyforge.errors import Interrupted, TinyForgeError
from tinyforge.tasks.base import Task
from tinyforge.train.hooks import (
    Estimate,
    Event,
    EventKind,
    Listener,
    Listeners,
    Outcome,
    Start,
)
from tinyforge.train.journal import Journal, history
from tinyforge.train.keeper import Keeper
from tinyforge.train.loop import Training, steps
from tinyforge.train.memory import peak_memory
from tinyforge.train.optimizers import Optimizer
from tinyforge.train.precision import LossScale, choose_device, choose_precision
from tinyforge.train.preflight import measure
from tinyforge.train.progress import Progress
from tinyforge.train.recovery import MOST_RETURNS, Diverged, Trouble, is_out_of_memory
from tinyforge.train.schedules import schedule_of
from tinyforge.train.signals import Signals, Stopped
from tinyforge.train.speedups import fast
from tinyforge.train.trackers import trackers
from tinyforge.train.validation import Evaluate, Validator
from tinyforge.train.weights import Weights, fingerprint_of_frozen

if TYPE_CHECKING:
    from tinyforge.data.batch import Batches

log = logging.getLogger("tinyforge")


def fit(
    model: Any,
    task: Task,
    batches: Batches,
    settings: TrainSettings,
    *,
    folder: RunFolder,
    evaluate: Evaluate | None = None,
    best_by: str = "loss",
    resume: bool = False,
    identity: Mapping[str, Any] | None = None,
    listeners: Sequence[Listener] = (),
    preflight: bool = True,
) -> Outcome:
    """Train ``model`` in place; afterwards it holds the best weights, or the last without
    validation, and is in evaluation mode.

    Args:
        model: in float32; weights with ``requires_grad`` learn. Moved to a GPU where there is one.
        settings: resolved: batch size and learning rate are set.
        folder: an open run's folder.
        evaluate: validation values of the model, among them ``best_by``; None: no validation.
        best_by: ``loss`` (lower is better) or a metric (higher is better).
        resume: go on from the newest intact checkpoint; starts anew where there is none.
        identity: what must be the same for a resume, plain JSON.
        listeners: told of everything.
        preflight: measure three steps before the first one, and undo them.

    Raises:
        Interrupted: a signal came; all is saved.
        Diverged: loss or gradients could not be kept finite; the last good checkpoint is kept.
        SettingError: a resume with other settings, data or weights; ``best_by`` is unknown.
        FolderError: the disk is full or refuses; the last checkpoint is usable.
        TinyForgeError: one row alone does not fit into memory.
    """
    with contextlib.ExitStack() as undo:
        training = _begin(model, task, batches, settings, undo)
        every = settings.validate_every or max(1, math.ceil(training.total_steps / 10))
        validator = None if evaluate is None else Validator(evaluate, best_by, every)
        keeper = Keeper(folder, training, identity or {}, (every,))
        found = keeper.resume() if resume else None
        if found is None:
            keeper.start()
        signals = undo.enter_context(Signals())
        journal = undo.enter_context(Journal(folder, training.progress.metrics_bytes))
        training.interruptible = signals.interruptible
        keeper.journal = journal
        tell = Listeners([journal, *trackers(settings, folder), *listeners])
        run = _Run(
            training, batches, keeper, validator, tell, best_by, signals, heard=bool(listeners)
        )
        return run.whole(folder, resumed=found is not None, preflight=preflight)


def _begin(
    model: Any, task: Task, batches: Batches, settings: TrainSettings, undo: contextlib.ExitStack
) -> Training:
    """Everything that learns, before the first step; ``undo`` makes the model plain again."""
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    model.to(choose_device())
    model.train()
    precision = choose_precision(settings, model)
    frozen = fingerprint_of_frozen(model)
    weights = Weights(model)
    speedups = undo.enter_context(fast(model, weights, settings, precision))
    total = math.ceil((settings.epochs or 1.0) * batches.steps_per_epoch)
    if settings.epochs is None and settings.max_steps is not None:
        total = settings.max_steps
    return Training(
        model=model,
        task=task,
        optimizer=Optimizer(
            model,
            settings,
            weights,
            native=speedups.native_adamw,
            row_gradients=speedups.row_gradients,
            stacked_muon=speedups.stacked_muon,
        ),
        schedule=schedule_of(settings),
        precision=precision,
        loss_scale=LossScale(precision),
        settings=settings,
        progress=Progress(),
        steps_per_epoch=batches.steps_per_epoch,
        total_steps=max(1, min(total, settings.max_steps or total)),
        frozen=frozen,
        speedups=tuple(speedups.names),
        max_seconds=None if settings.max_minutes is None else settings.max_minutes * 60,
    )


@dataclass
class _Run:
    """One call of ``fit``. ``heard``: somebody listens, so that the log need not repeat events."""

    training: Training
    batches: Batches
    keeper: Keeper
    validator: Validator | None
    tell: Listener
    best_by: str
    signals: Signals
    heard: bool
    estimate: Estimate | None = None

    def whole(self, folder: RunFolder, *, resumed: bool, preflight: bool) -> Outcome:
        """From the first word to the last."""
        training = self.training
        outcome: Outcome | None = None
        try:
            with _deterministic(training.precision.device), _interruptible_backward(training):
                self.start(resumed=resumed, preflight=preflight)
                self.learn()
            ended = self.end(folder)
            if self.signals.received is not None:
                raise Stopped
            outcome = ended
            return outcome
        except Stopped:
            raise self.stop() from None
        finally:
            self.tell.on_end(outcome)

    def start(self, *, resumed: bool, preflight: bool) -> None:
        """Say what is about to happen, and measure it."""
        training = self.training
        progress, precision = training.progress, training.precision
        for _ in range(progress.halvings):
            self.batches = self.batches.halved()
        self.tell.on_start(
            Start(
                first_step=progress.step,
                total_steps=training.total_steps,
                steps_per_epoch=training.steps_per_epoch,
                max_seconds=training.max_seconds,
                elapsed=progress.seconds,
                trainable_parameters=sum(
                    weight.numel() for weight in training.optimizer.parameters.values()
                ),
                parameters=sum(weight.numel() for weight in training.model.parameters()),
                precision=precision.name,
                precision_reason=precision.reason,
                device=precision.device,
                speedups=training.speedups,
                settings=training.settings.model_dump(mode="json"),
            )
        )
        if resumed:
            self.event("resumed", f"resumed after step {progress.step}")
            if not self.keeper.best_is_intact():
                self.forget_best()
        elif preflight:
            self.preflight()
        training.started = time.monotonic() - progress.seconds

    def preflight(self) -> None:
        """Measure, with smaller micro-batches where the memory does not suffice."""
        while self.estimate is None:
            try:
                self.estimate = measure(self.training, self.batches, self.keeper.good_weights)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            if self.estimate is None:
                self.halve()
        self.tell.on_preflight(self.estimate)

    def learn(self) -> None:
        """Step after step to the end, whatever gets in the way."""
        if self.training.progress.step:  # a resumed run may have been stopped just before
            self.after_step()
        while True:
            trouble: Trouble | None = None
            try:
                for result in steps(self.training, self.batches):
                    self.tell.on_step(result)
                    self.after_step()
                return
            except Trouble as found:
                trouble = found
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handlers: an exception holds on to the memory of what failed.
            if trouble is not None:
                self.go_back(trouble)
            else:
                self.halve()

    def after_step(self) -> None:
        """Validate and save what is due."""
        best = False
        if self.validator is not None and self.validator.due(self.training):
            validation = self.validator.run(self.training)
            self.tell.on_validation(validation)
            best = validation.best
        self.keeper.after_step(best=best)
        if self.signals.received is not None:
            raise Stopped

    def go_back(self, trouble: Trouble) -> None:
        """Return to the last good state with half the learning rate, three times at most."""
        progress, settings = self.training.progress, self.training.settings
        if progress.returns >= MOST_RETURNS:
            self.event(trouble.kind, f"{trouble.message}; gave up")
            raise Diverged(
                f"training diverged: {trouble.message}, after {MOST_RETURNS} returns to a good "
                "state with half the learning rate each time",
                where="train.learning_rate", value=settings.learning_rate,
                fix="Lower it, and look at the rows with tinyforge inspect; the last good "
                f"checkpoint is in {self.keeper.folder.checkpoints}",
            )  # fmt: skip
        step = self.keeper.go_back(trouble)
        self.event(
            trouble.kind,
            f"{trouble.message}; went back to step {step} with "
            f"{self.training.progress.lr_scale:g} of the learning rate",
            at=trouble.step,
        )
        self.keeper.save()

    def halve(self) -> None:
        """Go on with micro-batches of half the size; the batch of a step stays the same."""
        if self.training.updating or not self.batches.can_halve:
            what = "to update the weights" if self.training.updating else "for a single row"
            raise TinyForgeError(
                f"there is not enough memory {what}",
                fix="Use a smaller model or --lora, lower data.max_length, or set "
                "train.gradient_checkpointing=true",
            )
        self.training.optimizer.zero_grad()
        self.batches = self.batches.halved()
        self.training.progress.halvings += 1
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.event("out of memory", "the micro-batches are half as large from here on")

    def stop(self) -> Interrupted:
        """Save; returns what to raise."""
        progress = self.training.progress
        number = self.signals.received or signal.SIGINT
        self.training.optimizer.zero_grad()
        self.keeper.save()
        self.event("stopped", f"stopped by a signal after step {progress.step}")
        return Interrupted(
            f"{signal.Signals(number).name} came after step {progress.step} of "
            f"{self.training.total_steps}; all is saved",
            signal_number=number, fix="Go on with the same command and --resume",
        )  # fmt: skip

    def end(self, folder: RunFolder) -> Outcome:
        """Keep the last state, then load the best weights."""
        training, progress = self.training, self.training.progress
        self.keeper.save()
        if not self.keeper.load_best():
            self.forget_best()
        training.optimizer.zero_grad()
        training.model.eval()
        best = None if self.validator is None else progress.best_step
        return Outcome(
            steps=progress.step,
            epochs=training.epoch,
            examples=progress.examples,
            tokens=progress.tokens,
            seconds=progress.seconds,
            stopped_because=training.over or "done",
            best_by=self.best_by,
            best_step=best,
            best_value=None if best is None else progress.best_value,
            peak_memory=peak_memory(),
            precision=training.precision.name,
            device=training.precision.device,
            speedups=training.speedups,
            estimate=self.estimate,
            events=list(progress.events),
            history=history(folder.metrics),
        )

    def forget_best(self) -> None:
        """The best weights so far cannot be read: the next validation is the best again."""
        progress = self.training.progress
        step, progress.best_step, progress.best_value = progress.best_step, None, None
        self.event("best lost", f"the best weights so far, of step {step}, are damaged")

    def event(self, kind: EventKind, message: str, *, at: int | None = None) -> None:
        """Tell the listeners, or the log where there are none."""
        step = self.training.progress.step if at is None else at
        line = f"step {step}: {message}" if kind in ("out of memory", "best lost") else message
        if kind not in ("resumed", "stopped"):
            self.training.progress.events.append(line)
        if not self.heard:
            log.log(logging.INFO if kind in ("resumed", "stopped") else logging.WARNING, line)
        self.tell.on_event(Event(step, kind, message))


@contextlib.contextmanager
def _deterministic(device: str) -> Iterator[None]:
    """On a GPU, ask for kernels that give the same bits each time; the CPU's do anyway."""
    if device != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    module: Any = torch.utils.deterministic
    filling = module.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    module.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        module.fill_uninitialized_memory = filling


@contextlib.contextmanager
def _interruptible_backward(training: Training) -> Iterator[None]:
    """Let signals in during a backward pass, which is one long call into C++.

    Python runs its signal handlers only between its own instructions; a hook on every weight's
    gradient gives it some, layer by layer.
    """
    hooks = [
        weight.register_post_accumulate_grad_hook(_nothing)  # type: ignore[no-untyped-call]
        for weight in training.optimizer.parameters.values()
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _nothing(_: torch.Tensor) -> None:
    return
