"""A search as it goes, on standard error: a bar of trials and the best value so far."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.tune_page import settings_text
from tinyforge.cli.bar import Display
from tinyforge.cli.notes import say
from tinyforge.cli.progress import duration
from tinyforge.train.hooks import Event, Listener, Start, StepResult, Validation

if TYPE_CHECKING:
    from tinyforge.recipes.tune_trial import News

BAR = "{percentage:3.0f}% |{bar}|{desc}"
WHOLE = 1000
"""Parts of the bar for each trial."""

SHOWN_EVERY = 30.0
"""Seconds between two lines about a long trial, where there is no bar."""


class TuneProgress(Display, Listener):
    """Shows trials as they begin and end, and how far the present one is.

    ``tell`` is for the search, the other methods for its training loops.
    """

    def __init__(
        self, *, terminal: bool | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(terminal=terminal, clock=clock)
        self._news: News | None = None
        self._total = 1
        self._value: float | None = None
        self._said = 0.0

    def tell(self, news: News) -> None:
        """A trial begins, or has ended."""
        self._news, self._value, trial = news, None, news.trial
        if trial.state == "running":
            which = "the default settings" if trial.default else settings_text(trial.values)
            say(f"trial {trial.number}{self._of()}: {which}")
            self._said = self._clock()
            return
        if self._terminal:
            self._move(1.0)
        said = {"complete": "", "pruned": f", {trial.reason}", "failed": f" failed: {trial.reason}"}
        value = "" if trial.value is None else f" {news.metric} {trial.value:.4g}"
        best = ", best so far" if news.best is trial else ""
        after = duration(trial.seconds)
        say(f"trial {trial.number}:{value}{best}{said[trial.state]} (after {after})")

    def on_start(self, start: Start) -> None:
        """A trial's training begins."""
        self._total = start.total_steps

    def on_step(self, result: StepResult) -> None:
        """Move the bar, or say now and then how far a long trial is."""
        share = result.step / self._total
        if self._terminal:
            self._move(share)
        elif self._clock() - self._said > SHOWN_EVERY:
            self._said = self._clock()
            say(f"  step {result.step:,}/{self._total:,} ({share:.0%}){self._state()}")

    def on_validation(self, validation: Validation) -> None:
        """Remember how good the model is."""
        if self._news is not None:
            self._value = validation.values.get(self._news.metric)

    def on_event(self, event: Event) -> None:
        """Say what is out of the ordinary."""
        say(f"  {event.message}")

    def _of(self) -> str:
        total = None if self._news is None else self._news.total
        return "" if total is None else f" of {total}"

    def _state(self) -> str:
        """What this trial and the best one have reached."""
        news = self._news
        if news is None:
            return ""
        parts = [] if self._value is None else [f"{news.metric} {self._value:.4g}"]
        if news.best is not None and news.best.value is not None:
            parts.append(f"best {news.best.value:.4g} (trial {news.best.number})")
        return "".join(f", {part}" for part in parts)

    def _move(self, share: float) -> None:
        news = self._news
        if news is None:
            return
        done = news.trial.number - 1 + share
        total = news.total or news.trial.number
        bar: Any = self._drawn(BAR, total * WHOLE)
        bar.total = total * WHOLE
        bar.set_description_str(
            f" trial {news.trial.number}{self._of()}{self._state()}", refresh=False
        )
        bar.update(round(done * WHOLE) - bar.n)
