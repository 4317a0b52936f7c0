"""Training as it goes, on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping

from tinyforge.cli.bar import Display
from tinyforge.cli.notes import say
from tinyforge.train.hooks import (
    Estimate,
    Event,
    Listener,
    Outcome,
    Start,
    StepResult,
    Validation,
)

LOSS_STEPS = 10
"""The loss is a mean over so many steps."""
RECENT_STEPS, RECENT_SECONDS, MOST_STEPS = 30, 30.0, 2_000
"""The speed is a mean over so many steps, or over so many seconds where steps are quick."""

BAR = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{desc}"

STOPPED = {
    "done": "",
    "early_stopping": "; stopped early, as validation no longer improved",
    "max_minutes": "; the minutes are used up",
}


class Progress(Display, Listener):
    """A listener that shows what happens; use it as a context, which clears the bar at the end."""

    def __init__(
        self, *, terminal: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(terminal=terminal, clock=clock)
        self._recent: deque[StepResult] = deque(maxlen=MOST_STEPS)
        self._total = self._first = self._shown = 0
        self._shown_at = self._trained = 0.0
        self._limit: float | None = None

    def on_start(self, start: Start) -> None:
        """Say what is trained."""
        self._close()
        self._recent.clear()
        self._total, self._first, self._shown = start.total_steps, start.first_step, 0
        self._shown_at, self._trained = self._clock(), start.elapsed
        self._limit = start.max_seconds
        share = start.trainable_parameters
        whole = "" if share == start.parameters else f" of {count(start.parameters)}"
        say(f"training {count(share)}{whole} weights in {start.precision} on {start.device}")
        if start.first_step:
            say(f"going on after step {start.first_step:,} of {start.total_steps:,}")

    def on_preflight(self, estimate: Estimate) -> None:
        """Say what the run will take."""
        say(
            f"about {duration(estimate.seconds)}: {estimate.steps:,} steps, "
            f"{estimate.seconds_per_step:.2g} s each, {estimate.peak_memory / 1e9:.1f} GB memory"
        )

    def on_step(self, result: StepResult) -> None:
        """Move the bar, or print a line when one is due."""
        self._trained += result.seconds
        self._remember(result)
        if self._terminal:
            self._move(result)
        elif self._is_due(result.step):
            self._shown, self._shown_at = result.step, self._clock()
            share = result.step / self._total
            say(f"step {result.step:,}/{self._total:,} ({share:.0%}): {self._state(result)}")

    def on_validation(self, validation: Validation) -> None:
        """Say how good the model is on the validation rows."""
        best = " (best so far)" if validation.best else ""
        say(f"step {validation.step:,}: validation {values(validation.values)}{best}")
        for name, text in validation.texts.items():
            say(f"  {name}: {' '.join(text.split())}")

    def on_event(self, event: Event) -> None:
        """Say what is out of the ordinary."""
        say(event.message)

    def on_end(self, outcome: Outcome | None) -> None:
        """Clear the bar and sum up."""
        self._close()
        if outcome is None:
            return
        rate = outcome.examples / outcome.seconds if outcome.seconds > 0 else 0.0
        best = f"; best at step {outcome.best_step:,}" if outcome.best_step else ""
        say(
            f"trained {outcome.steps:,} steps in {duration(outcome.seconds)}, {rate:,.0f} "
            f"examples/s{STOPPED.get(outcome.stopped_because, '')}{best}"
        )

    def _remember(self, result: StepResult) -> None:
        self._recent.append(result)
        seconds = sum(step.seconds for step in self._recent)
        while len(self._recent) > RECENT_STEPS and seconds > RECENT_SECONDS:
            seconds -= self._recent.popleft().seconds

    def _move(self, result: StepResult) -> None:
        bar = self._drawn(BAR, self._total, initial=self._first)
        bar.set_description_str(f"  {self._state(result)}", refresh=False)
        bar.update(result.step - bar.n)

    def _state(self, result: StepResult) -> str:
        """Loss, learning rate, speed and time left."""
        seconds = sum(step.seconds for step in self._recent)
        losses = [step.loss for step in self._recent][-LOSS_STEPS:]
        loss = sum(losses) / len(losses)
        rate = sum(step.examples for step in self._recent) / seconds if seconds > 0 else 0.0
        left = (self._total - result.step) * seconds / len(self._recent)
        if self._limit is not None:
            left = min(left, max(self._limit - self._trained, 0.0))
        speed = f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"
        return f"loss {loss:.4g}, rate {result.lr:.1e}, {speed} examples/s, {duration(left)} left"

    def _is_due(self, step: int) -> bool:
        """First and last step, then every tenth of the run, or every ten seconds of a long one."""
        if not self._shown or step == self._total:
            return True
        share, waited = (step - self._shown) / self._total, self._clock() - self._shown_at
        return (share >= 0.1 and waited >= 1) or (share >= 0.01 and waited >= 10)


def duration(seconds: float) -> str:
    """Seconds in words: 42 s, 3 min 5 s, 1 h 20 min."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def count(number: int) -> str:
    """A number of weights with three digits: 260 thousand, 22.7 million."""
    for size, word in ((1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{number / size:.3g} {word}"
    return str(number)


def values(measured: Mapping[str, float]) -> str:
    """Names and values: loss 0.531, accuracy 0.914."""
    return ", ".join(f"{name} {value:.4g}" for name, value in measured.items())
