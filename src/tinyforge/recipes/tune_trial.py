"""One trial of a search: trained, watched, stopped where others were better, and kept if good."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tinyforge.artifacts.checkpoint import read_tensors, write_tensors
from tinyforge.artifacts.files import disk_errors
from tinyforge.artifacts.manifest import check
from tinyforge.artifacts.run_folder import RunFolder
from tinyforge.config.settings import Settings
from tinyforge.config.tune import TuneSettings
from tinyforge.errors import (
    DataError,
    FolderError,
    Interrupted,
    MissingPackageError,
    ModelError,
    SettingError,
    TinyForgeError,
)
from tinyforge.recipes.energy import EnergyMeter
from tinyforge.recipes.setup import Setup, set_up_again
from tinyforge.recipes.train import choose_threshold, fit_rows
from tinyforge.recipes.tune_journal import WEIGHTS, Journal, Trial
from tinyforge.recipes.tune_optuna import RUNGS, worse_than_others
from tinyforge.recipes.tune_space import settings_of
from tinyforge.train.hooks import Listener, Outcome, Start, Validation
from tinyforge.train.journal import history
from tinyforge.train.precision import choose_device
from tinyforge.train.weights import Weights


@dataclass(frozen=True, slots=True)
class News:
    """Told when a trial begins or goes on, and when it has ended.

    Attributes:
        total: how many trials there will be; None where the time decides.
        best: the best complete trial so far; None before there is one.
    """

    trial: Trial
    total: int | None
    metric: str
    best: Trial | None


@dataclass
class Search:
    """All that is alive while a search goes on.

    Attributes:
        settings: what the user set for all trials.
        base: rows and default settings, set up; its model is not used.
        fixed: settings that all trials have in common, by dotted name.
        total: how many trials there will be; None where the time decides.
    """

    data: Any
    settings: Settings
    tune: TuneSettings
    folder: RunFolder
    base: Setup
    fixed: dict[str, Any]
    journal: Journal
    total: int | None
    listeners: Sequence[Listener]
    tell: Callable[[News], None]

    def news(self, trial: Trial) -> News:
        """What to tell about a trial."""
        return News(trial, self.total, self.journal.metric, self.journal.best)


class Worse(Exception):  # noqa: N818 - it is what was found
    """A trial is not worth going on with; ``str`` says why."""


class Watch(Listener):
    """Follows a trial's validation values, and stops it where ``worse`` says so.

    Args:
        metric: the value that trials are compared by. maximise: whether higher is better.
        metrics: the trial's ``metrics.jsonl``; a resumed one has validations in it.
        worse: told the best values at the places reached so far; True ends the trial.

    Attributes:
        best: the best value so far; None before the first.
        rungs: the best value so far at each of ``RUNGS`` that was reached.
        steps: done so far.
        elapsed: seconds of training before this process.
    """

    def __init__(
        self, metric: str, *, maximise: bool, metrics: Path, worse: Callable[[list[float]], bool]
    ) -> None:
        self._metric, self._sign, self._metrics = metric, 1 if maximise else -1, metrics
        self._worse = worse
        self._total, self._limit, self._began = 1, math.inf, 0.0
        self.best: float | None = None
        self.rungs: list[float] = []
        self.steps, self.elapsed = 0, 0.0

    def on_start(self, start: Start) -> None:
        """Take over what a former process validated."""
        self._total, self._limit = start.total_steps, start.max_seconds or math.inf
        self.elapsed, self._began, self.steps = start.elapsed, time.monotonic(), start.first_step
        for record in history(self._metrics)["validation"]:
            if record["step"] <= start.first_step:
                self._note(record.get(self._metric), record["step"] / self._total)

    def on_validation(self, validation: Validation) -> None:
        """Compare with the other trials where it is time to.

        Raises:
            Worse: the others were better.
        """
        self.steps = validation.step
        spent = self.elapsed + time.monotonic() - self._began
        share = max(validation.step / self._total, spent / self._limit)
        if not self._note(validation.values.get(self._metric), share) or share >= 1:
            return
        place = f"stopped at {RUNGS[len(self.rungs) - 1]:.0%} of its way"
        if math.isnan(self.rungs[-1]):
            raise Worse(f"{place}: no validation value was a number")
        if self._worse(self.rungs):
            raise Worse(f"{place}: worse than the median of the others was there")

    def _note(self, value: float | None, share: float) -> bool:
        """Take a value in; True where a place of comparison was reached."""
        if value is not None and not math.isnan(value):
            better = self.best is None or self._sign * value > self._sign * self.best
            self.best = value if better else self.best
        before = len(self.rungs)
        for rung in RUNGS[before:]:
            if share >= rung:
                self.rungs.append(math.nan if self.best is None else self.best)
        return len(self.rungs) > before


def run_trial(search: Search, trial: Trial) -> None:
    """Train with a trial's settings and write into it what came of it.

    What goes wrong in training is the trial's result and no error, as other settings may do
    better. The weights are kept where it is the best so far, or has the default settings.

    Raises:
        Interrupted: a signal came; the trial can be resumed.
        FolderError: the disk is full or refuses.
        TinyForgeError: the default settings cannot be trained with; the user's mistake.
    """
    journal = search.journal
    began = time.monotonic()
    folder = RunFolder(journal.place(trial))
    meter = EnergyMeter()
    watch = Watch(
        journal.metric, maximise=journal.maximise, metrics=folder.metrics,
        worse=lambda rungs: (
            search.tune.prune
            and worse_than_others(journal.ended, rungs, maximise=journal.maximise)
        ),
    )  # fmt: skip
    try:
        _learn(search, trial, folder, [meter, watch])
    except Worse as found:
        trial.state, trial.reason = "pruned", str(found)
        trial.value = watch.best
        trial.rungs = [value for value in watch.rungs if not math.isnan(value)]
    except (Interrupted, FolderError, MissingPackageError):
        raise
    except Exception as error:
        mistake = isinstance(error, SettingError | DataError | ModelError)
        if trial.default and mistake:
            raise
        trial.state, trial.reason = "failed", _reason(error)
    gc.collect()  # what failed may hold on to a model
    trial.steps = max(trial.steps, watch.steps)
    trial.seconds = watch.elapsed + time.monotonic() - began
    trial.energy = asdict(meter.read())


def _learn(search: Search, trial: Trial, folder: RunFolder, listeners: list[Listener]) -> None:
    """Train to the end, and keep what is needed of it."""
    journal = search.journal
    with disk_errors(folder.meta):
        folder.meta.mkdir(parents=True, exist_ok=True)
    setup = set_up_again(search.base, trial_settings(search, trial))
    outcome = fit_rows(setup, folder, True, [*search.listeners, *listeners])
    if outcome.best_step is None or outcome.best_value is None:
        raise TinyForgeError("no validation value was a number")
    watch = next(listener for listener in listeners if isinstance(listener, Watch))
    trial.value, trial.steps, trial.outcome = outcome.best_value, outcome.steps, asdict(outcome)
    trial.loss = _loss_at(outcome)
    trial.rungs = watch.rungs + [outcome.best_value] * (len(RUNGS) - len(watch.rungs))
    trial.state = "complete"
    if trial.default or journal.best is trial:
        with disk_errors(folder.path):
            path = folder.path / f"{WEIGHTS}.safetensors"
            trial.weights = write_tensors(path, Weights(setup.loaded.model).learnt())


def trial_settings(search: Search, trial: Trial) -> Settings:
    """The settings of a trial, as a user would give them."""
    fixed = dict(search.fixed)
    if trial.max_minutes is not None:
        fixed["train.max_minutes"] = trial.max_minutes
    return settings_of(fixed, trial.values)


def trained(search: Search, trial: Trial) -> Setup:
    """A trial as it was when its training ended, with its best weights.

    Raises:
        FolderError: its weights are damaged.
    """
    setup = set_up_again(search.base, trial_settings(search, trial))
    place = search.journal.place(trial)
    name = f"{WEIGHTS}.safetensors"
    problem = "not kept" if trial.weights is None else check(place, name, trial.weights)
    if problem is not None:
        raise FolderError(
            f"the weights of trial {trial.number} are damaged: {problem}", where=str(place),
            fix="Start anew with --force",
        )  # fmt: skip
    Weights(setup.loaded.model).restore(read_tensors(place, WEIGHTS), place)
    setup.loaded.model.to(choose_device()).eval()
    choose_threshold(setup)
    return setup


def _loss_at(outcome: Outcome) -> float | None:
    """The validation loss of the weights that training ended with."""
    for record in outcome.history.get("validation", ()):
        if record["step"] == outcome.best_step:
            loss = record.get("loss")
            return None if loss is None or math.isnan(loss) else float(loss)
    return None


def _reason(error: Exception) -> str:
    if isinstance(error, TinyForgeError):
        return error.what
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
