"""A search for settings: trials one after another, the best one judged beside the default."""

from __future__ import annotations

import logging
import math
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinyforge.artifacts.files import read_json, write_json
from tinyforge.artifacts.run_folder import TUNING, RunFolder, open_run
from tinyforge.artifacts.tune_page import settings_text
from tinyforge.artifacts.words import seconds_text
from tinyforge.config.load import load_settings
from tinyforge.config.names import explicit, value_of
from tinyforge.config.settings import Settings
from tinyforge.config.tune import TuneRunSettings, TuneSettings
from tinyforge.errors import FolderError, SettingError
from tinyforge.recipes.models import check_rivals
from tinyforge.recipes.setup import set_up
from tinyforge.recipes.train import describe_run, identity, warn_of_other_programs
from tinyforge.recipes.tune_journal import Journal, Trial, check_asked, read_journal
from tinyforge.recipes.tune_judge import judge_search
from tinyforge.recipes.tune_optuna import optuna, propose, sampler_name
from tinyforge.recipes.tune_space import (
    asked_parameters,
    check_space,
    choose_space,
    default_values,
    fixed_settings,
)
from tinyforge.recipes.tune_trial import News, Search, run_trial
from tinyforge.train.resume import plain_json

if TYPE_CHECKING:
    from tinyforge.train.hooks import Listener

log = logging.getLogger("tinyforge")

TRIALS = 10
"""Trials where neither their number nor the time is given."""

FIRST_SHARE = 1 / 5
"""Of the time, for the default settings, where the number of trials is left open."""

TIMES_THE_FIRST = 2.0
"""Time of any other trial at most, in times of the first, where their number is left open and the
clock did not stop the first: the others may repeat the rows twice as often."""

LEAST_SHARE = 0.02
"""Of the time; with less left no further trial is begun."""

_SHOWN = 5


@dataclass(frozen=True)
class Tuned:
    """A finished search.

    Attributes:
        output_dir: the winner's run folder.
        report: the search with everything in it, as in ``tinyforge/tuning.json``.
    """

    output_dir: Path
    report: dict[str, Any] = field(repr=False)

    @property
    def verdict(self) -> str:
        """Whether tuning helped: ``better``, ``not better`` or ``cannot tell``."""
        return str(self.report["verdict"]["word"])

    @property
    def settings(self) -> dict[str, Any]:
        """The winner's values of what was searched, by the settings' names."""
        return dict(self.report["trials"][self.report["best"] - 1]["values"])

    def result(self) -> dict[str, Any]:
        """One flat object for a program; what ``tinyforge tune --json`` prints."""
        report, run = self.report, self.report["run"]
        trials = report["trials"]
        best = trials[report["best"] - 1]
        states = [trial["state"] for trial in trials]
        meta = self.output_dir / "tinyforge"
        return {
            "output_dir": report["output_dir"], "task": report["task"],
            "model": report["model"]["name"], "trials": len(trials),
            **{state: states.count(state) for state in ("complete", "pruned", "failed")},
            "metric": report["metric"], "best": {**best, "values": self.settings},
            "default": trials[0], "verdict": self.verdict,
            "sentence": report["verdict"]["sentence"],
            **{name: report["verdict"][name] for name in ("difference", "low", "high")},
            "optimism": report["optimism"], "importance": report["importance"]["shares"],
            "seconds": report["seconds"], "ended": report["ended"],
            "config": str(meta / "best.yaml"), "page": str(meta / "tuning.html"),
            "metrics": run["metrics"], "baselines": run["baselines"], "run": run,
        }  # fmt: skip

    def summary(self) -> str:
        """A few lines for a person."""
        report = self.report
        lines = textwrap.wrap(report["verdict"]["sentence"], 100)
        lines += ["", *textwrap.wrap(report["optimism"]["sentence"], 100)]
        lines += ["", *_table(report)]
        lines += ["", *textwrap.wrap(f"The model: {report['run']['sentence']}", 100)]
        meta = self.output_dir / "tinyforge"
        lines += ["", f"Settings: {meta / 'best.yaml'}", f"Search:   {meta / 'tuning.html'}",
                  f"Report:   {meta / 'report.html'}"]  # fmt: skip
        return "\n".join(lines)


def tune(
    data: Any,
    *,
    settings: TuneRunSettings,
    output_dir: Path,
    resume: bool = False,
    force: bool = False,
    listeners: Sequence[Listener] = (),
    tell: Callable[[News], None] | None = None,
) -> Tuned:
    """Try settings on the user's rows, and make a run folder of what did best.

    Args:
        data: as for ``train``.
        settings: what the user set, which all trials share, and how to search.
        output_dir: a new folder, or with ``resume`` one that an unfinished search left.
        force: replace what a former run left in ``output_dir``.
        listeners: told of every step, validation and event of every trial.
        tell: told when a trial begins and when it has ended.

    Raises:
        TinyForgeError: a mistake in data, settings or folder, in one line.
        MissingPackageError: Optuna is not installed.
        ConditionError: no trial could be trained to its end.
        Interrupted: a signal came; the search can be resumed.
    """
    optuna()
    own = _own(settings)
    asked_parameters(settings.tune.search)  # a mistake in it shows before a row is read
    with open_run(output_dir, resume=resume, force=force) as folder:
        if folder.finished:
            return _finished(folder)
        before = read_journal(folder)
        work = folder.meta / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            search = _begin(data, own, settings.tune, folder, before)
            search.listeners, search.tell = listeners, tell or search.tell
            report = judge_search(search, _run_trials(search))
        finally:
            shutil.rmtree(work, ignore_errors=True)
        folder.finish()
        shutil.rmtree(folder.meta / TUNING, ignore_errors=True)
    return Tuned(output_dir, report)


def _own(settings: TuneRunSettings) -> Settings:
    """The settings of training alone, which still tell what the user set.

    Raises:
        SettingError: one of them has no effect on a search.
    """
    if settings.evaluate.learning_curve:
        raise SettingError(
            "has no effect on a search for settings", where="evaluate.learning_curve",
            fix="Leave it out, and train with the winning settings and --learning-curve",
        )  # fmt: skip
    given = {name: value_of(settings, name) for name in explicit(settings)}
    return load_settings(
        None, (), {name: value for name, value in given.items() if not name.startswith("tune.")}
    )


def _finished(folder: RunFolder) -> Tuned:
    """A search that was finished before; what a kill in its last moment left undone is done."""
    path = folder.meta / "tuning.json"
    if not path.is_file():
        raise FolderError(
            "the folder holds a finished run that is no search for settings",
            where=str(folder.path), fix="Give another --output",
        )  # fmt: skip
    if not folder.manifest.is_file():
        folder.finish()
    shutil.rmtree(folder.meta / TUNING, ignore_errors=True)
    log.info(f"{folder.path} is finished already; nothing was done")
    return Tuned(folder.path, read_json(path))


def _begin(
    data: Any, settings: Settings, tune: TuneSettings, folder: RunFolder, before: Journal | None
) -> Search:
    """Read the rows, choose what to search, and say so; or take up what was begun before."""
    base = set_up(data, settings, work=folder.meta / "work", rejected=folder.rejected)
    metric = base.settings.train.best_by
    if base.validation is None or metric is None:
        raise SettingError(
            "settings are chosen on validation rows, and there are none",
            where="data.validation_share", value=settings.data.validation_share,
            fix="Leave it out, or give a file with --validation",
        )  # fmt: skip
    if before is None:
        for reason in base.reasons:
            log.info(reason)
    check_rivals(base.task, base.settings)
    asked = plain_json(
        {**identity(base), "tune": {"search": tune.search, "usual": tune.usual,
                                    "prune": tune.prune}}
    )  # fmt: skip
    fixed = fixed_settings(base, settings)
    if before is None:
        space = choose_space(base, settings, tune)
        check_space(space, fixed, base)
        journal = Journal(
            folder, asked=asked, space=space, metric=metric, maximise=metric != "loss",
            sampler=sampler_name(),
        )  # fmt: skip
    else:
        check_asked(before.asked, asked)
        journal = before
        if journal.sampler != sampler_name():
            log.warning(
                f"the search was begun with {journal.sampler} and goes on with {sampler_name()}: "
                "it will not make the same trials"
            )
    _say_space(journal)
    write_json(folder.run, {**describe_run(base, data), "verb": "tune"})
    journal.drop_weights()
    journal.save()
    base.loaded.model = None  # every trial has its own
    total = tune.trials or (TRIALS if tune.max_minutes is None else None)
    return Search(data, settings, tune, folder, base, fixed, journal, total, (), _tell_nobody)


def _say_space(journal: Journal) -> None:
    for parameter in journal.space.parameters:
        log.info(f"searching {parameter.name}: {parameter.shown()} ({parameter.why})")
    for note in journal.space.notes:
        log.info(note)


def _tell_nobody(_: News) -> None:
    return


def _run_trials(search: Search) -> str:
    """All trials that are left to do; returns why there are no more."""
    journal = search.journal
    warn_of_other_programs(search.base)
    while True:
        trial = next((t for t in journal.trials if t.state == "running"), None)
        if trial is None:
            ended, trial = _next(search)
            if trial is None:
                return ended
            journal.trials.append(trial)
            journal.save()
        search.tell(search.news(trial))
        run_trial(search, trial)
        journal.save()
        journal.drop_weights()
        journal.save()
        search.folder.drop_replaced()
        search.tell(search.news(trial))
        if trial.default:
            _say_what_it_takes(search, trial)


def _next(search: Search) -> tuple[str, Trial | None]:
    """The next trial; or why there is none."""
    journal, made = search.journal, len(search.journal.trials)
    if search.total is not None and made >= search.total:
        return f"All {made} trials were made.", None
    minutes = _minutes(search)
    if minutes is None:
        return "The time was used up.", None
    values: dict[str, Any] | None
    if not made:
        values = default_values(journal.space, search.base)
    else:
        seed = search.settings.train.seed
        values = propose(journal.space, journal.trials, maximise=journal.maximise, seed=seed)
    if values is None:
        return "Everything there is to try was tried.", None
    own = search.settings.train.max_minutes or math.inf
    limit = min(float(f"{minutes:.3g}"), own)
    return "", Trial(made + 1, values, max_minutes=None if limit in (math.inf, own) else limit)


def _minutes(search: Search) -> float | None:
    """Minutes of training that the next trial may take; None where the time is used up.

    A fair share: what is left, divided by the trials that are left. So a trial that ends early
    leaves its time to the others. Where the number of trials is open, the default settings get a
    fifth of all, and every other trial at most twice what they took, or as much if the clock
    stopped them.
    """
    budget = search.tune.max_minutes
    if budget is None:
        return math.inf
    trials = search.journal.trials
    left = budget - search.journal.seconds / 60
    whole = [t for t in trials if t.outcome is not None]
    beside = [t.seconds / 60 - (t.outcome or {})["seconds"] / 60 for t in whole]
    overhead = sum(beside) / len(beside) if beside else 0.0
    if search.total is not None:
        share = left / (search.total - len(trials))
    elif not trials:
        share = FIRST_SHARE * budget
    else:
        first = trials[0].seconds / 60
        cut = (trials[0].outcome or {}).get("stopped_because") == "max_minutes"
        most = first if cut else TIMES_THE_FIRST * first
        share = min(left, most) if left >= first / 2 else 0.0
    share -= max(overhead, 0.0)
    return None if trials and share < LEAST_SHARE * budget / (search.total or 1) else share


def _say_what_it_takes(search: Search, first: Trial) -> None:
    """How long the search takes; a warning where trials are too short for the default settings."""
    outcome = first.outcome
    if outcome is None:
        return
    estimate = outcome["estimate"]
    if outcome["stopped_because"] == "max_minutes" and estimate is not None:
        whole = estimate["steps"] * estimate["seconds_per_step"]
        log.warning(
            f"the clock stopped the default settings after {seconds_text(outcome['seconds'])}; "
            f"left alone they take about {seconds_text(whole)}, and may do better than any short "
            f"trial: give more --max-minutes{'' if search.total is None else ' or fewer --trials'}"
        )
    elif search.total is not None and search.tune.max_minutes is None:
        others = search.total - 1
        log.info(
            f"{others} more {'trial' if others == 1 else 'trials'} like this one take about "
            f"{seconds_text(others * first.seconds)}"
        )


def _table(report: Mapping[str, Any]) -> list[str]:
    """The best trials, and the one of the default settings."""
    sign = -1 if report["higher_is_better"] else 1
    whole = [trial for trial in report["trials"] if trial["state"] == "complete"]
    whole.sort(key=lambda t: (t["number"] != report["best"], sign * t["value"], t["number"]))
    shown = whole[:_SHOWN] + [trial for trial in whole[_SHOWN:] if trial["number"] == 1]
    rows = [("trial", report["title"].lower(), "time", "settings")]
    for trial in shown:
        name = f"{trial['number']}" + (" (default)" if trial["number"] == 1 else "")
        rows.append((
            name, f"{trial['value']:.4g}", seconds_text(trial["seconds"]),
            settings_text(trial["values"]),
        ))  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return [
        f"  {row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}"
        for row in rows
    ]
