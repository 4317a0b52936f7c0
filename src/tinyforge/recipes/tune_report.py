"""A search as plain data and in words: ``tuning.json``, and the winning settings as YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml

from tinyforge.config.names import explicit, value_of
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.report import describe, metrics_of, to_plain
from tinyforge.evaluate.verdict import Verdict
from tinyforge.evaluate.wording import change_text, interval_text, value_text
from tinyforge.metrics import METRICS
from tinyforge.recipes.machine import describe_machine
from tinyforge.recipes.setup import Setup
from tinyforge.recipes.train import name_of
from tinyforge.recipes.tune_journal import Trial
from tinyforge.recipes.tune_optuna import importance
from tinyforge.recipes.tune_space import default_values
from tinyforge.recipes.tune_trial import Search, trial_settings

FORMAT = 1
DEFAULT = "the default settings"


@dataclass(frozen=True)
class Judged:
    """What the test rows said.

    Attributes:
        ours: the winner; None where there are no test rows.
        theirs: the default settings; None where they are the winner, or could not be trained.
        ours_value, theirs_value: the value that trials were chosen by, on the test rows.
        verdict: whether tuning helped.
    """

    ours: Evaluation | None
    theirs: Evaluation | None
    ours_value: float | None
    theirs_value: float | None
    verdict: Verdict


def report_search(
    search: Search, ended: str, best: Trial, winner: Setup, found: Judged
) -> dict[str, Any]:
    """Everything about the search as plain data.

    Args:
        ended: why there were no more trials.
        winner: the best trial, set up.
    """
    journal = search.journal
    shares, why = importance(
        journal.space, journal.trials, maximise=journal.maximise, seed=search.settings.train.seed
    )
    evaluations = [each for each in (found.ours, found.theirs) if each is not None]
    plain: dict[str, Any] = to_plain(
        {
            "format": FORMAT,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "output_dir": str(search.folder.path),
            "data": name_of(search.data),
            "task": winner.task.name,
            "model": {"name": winner.loaded.name, "parameters": winner.loaded.parameters},
            "metric": journal.metric,
            "title": _title(journal.metric),
            "higher_is_better": journal.maximise,
            "verdict": _verdict(found),
            "optimism": optimism(
                journal.metric, journal.maximise, journal.trials, best,
                ours_test=found.ours_value, theirs_test=found.theirs_value,
            ),
            "scores": {
                "best": None if found.ours is None else describe(found.ours)["scores"],
                "default": None if found.theirs is None else describe(found.theirs)["scores"],
            },
            "metrics": metrics_of(evaluations),
            "best": best.number,
            "ended": ended,
            "trials": [_trial(trial) for trial in journal.trials],
            "default_values": default_values(journal.space, search.base),
            "space": [{**p.to_json(), "shown": p.shown()} for p in journal.space.parameters],
            "notes": list(journal.space.notes),
            "importance": {"shares": shares, "sentence": why},
            "seconds": journal.seconds,
            "seed": search.settings.train.seed,
            "sampler": journal.sampler,
            "yaml": _yaml(search, best),
            "machine": describe_machine(),
            "command": _command(search),
        }
    )  # fmt: skip
    return plain


def optimism(
    metric: str,
    maximise: bool,
    trials: Sequence[Trial],
    best: Trial,
    *,
    ours_test: float | None,
    theirs_test: float | None,
) -> dict[str, Any]:
    """By how much the values that trials were chosen by are worse on the test rows.

    Args:
        trials: all, that of the default settings first.
        ours_test, theirs_test: the same value on the test rows, of the best trial and of the
            default settings; None where it is not known.

    Returns:
        ``best`` and ``default`` with ``validation``, ``test`` and ``shrank`` (above zero: worse on
        the test rows), ``gain`` of the one over the other (above zero: better), ``sentence``.
    """
    first, sign = trials[0], 1 if maximise else -1

    def pair(trial: Trial, test: float | None) -> dict[str, float] | None:
        if trial.value is None or test is None:
            return None
        return {"validation": trial.value, "test": test, "shrank": sign * (trial.value - test)}

    ours = pair(best, ours_test)
    theirs = pair(first, ours_test if first is best else theirs_test)
    gain = None
    if ours is not None and theirs is not None and best is not first:
        gain = {part: sign * (ours[part] - theirs[part]) for part in ("validation", "test")}
    said = _optimism_text(metric, len(trials), ours, theirs, gain)
    return {"best": ours, "default": theirs, "gain": gain, "sentence": said}


def _optimism_text(
    metric: str,
    trials: int,
    ours: Mapping[str, float] | None,
    theirs: Mapping[str, float] | None,
    gain: Mapping[str, float] | None,
) -> str:
    if ours is None:
        return (
            "There are no test rows, so nobody knows how much of the winner's validation value is "
            f"the luck of choosing among {trials} trials."
        )
    shrank = ours["shrank"]
    text = (
        f"Choosing among {trials} trials on the validation rows tends to flatter the winner: its "
        f"{_title(metric).lower()} is {_value(metric, ours['validation'])} there and "
        f"{_value(metric, ours['test'])} on the test rows "
        f"({'better' if shrank < 0 else 'worse'} by {_change(metric, abs(shrank)).lstrip('+')})."
    )
    if gain is None or theirs is None:
        return text
    return (
        f"{text} {DEFAULT.capitalize()} have {_value(metric, theirs['validation'])} and "
        f"{_value(metric, theirs['test'])}. Of the gain of "
        f"{_change(metric, gain['validation'])} seen while choosing, "
        f"{_change(metric, gain['test'])} is there on the test rows."
    )


def _verdict(found: Judged) -> dict[str, Any]:
    verdict = found.verdict
    metric, change, low, high = verdict.metric, verdict.difference, verdict.low, verdict.high
    said = ""
    if metric is not None and change is not None and low is not None and high is not None:
        said = interval_text(metric, change, low, high)
    first = verdict.comparisons[0] if verdict.comparisons else None
    return {
        "word": verdict.word, "sentence": verdict.sentence, "metric": metric,
        "rows": None if found.ours is None else found.ours.sample.rows,
        "difference": change, "low": low, "high": high, "interval": said,
        "p_value": None if first is None else first.p_value,
    }  # fmt: skip


def _trial(trial: Trial) -> dict[str, Any]:
    outcome = trial.outcome or {}
    return {
        "number": trial.number, "values": trial.values, "state": trial.state,
        "value": trial.value, "loss": trial.loss, "rungs": trial.rungs, "reason": trial.reason,
        "steps": trial.steps, "seconds": trial.seconds, "max_minutes": trial.max_minutes,
        "stopped_because": outcome.get("stopped_because"), "best_step": outcome.get("best_step"),
    }  # fmt: skip


def _title(metric: str) -> str:
    """What a person calls the value that trials are compared by."""
    return METRICS[metric].title if metric in METRICS else metric.capitalize()


def _value(metric: str, value: float) -> str:
    return value_text(metric, value) if metric in METRICS else f"{value:.4g}"


def _change(metric: str, change: float) -> str:
    """A gain with its sign and unit."""
    if metric not in METRICS:
        return f"{change:+.3g}".replace("-", "−")
    kind = METRICS[metric]
    points = " points" if kind.proportion or kind.scale == "points" else ""
    return change_text(metric, change) + points


def _yaml(search: Search, best: Trial) -> str:
    """The winning settings as ``train --config`` takes them."""
    settings = trial_settings(search, best)
    plain = settings.model_dump(mode="json")
    tree: dict[str, Any] = {}
    for name in explicit(settings):
        if name == "train.max_minutes" and _share_made_no_difference(search, best):
            continue
        stage, _, field = name.rpartition(".")
        holder, values = (tree.setdefault(stage, {}), plain[stage]) if stage else (tree, plain)
        holder[field] = values[field]
    journal = search.journal
    value = "" if best.value is None else f" {_value(journal.metric, best.value)}"
    return (
        f"# Trial {best.number} of {len(journal.trials)} of tinyforge tune; on the validation rows "
        f"{_title(journal.metric).lower()}{value}\n"
        "# tinyforge train DATA --output NEW-FOLDER --config best.yaml\n"
        + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
    )


def _share_made_no_difference(search: Search, best: Trial) -> bool:
    """Whether the trial ended before its share of the time budget was used up."""
    stopped = (best.outcome or {}).get("stopped_because")
    return "train.max_minutes" not in search.fixed and stopped != "max_minutes"


def _command(search: Search) -> str:
    """The command line that repeats the search."""
    tune, settings = search.tune, search.settings
    words = ["tinyforge tune", name_of(search.data), "--output NEW-FOLDER"]
    if search.total is not None:
        words.append(f"--trials {search.total}")
    if tune.max_minutes is not None:
        words.append(f"--max-minutes {tune.max_minutes:g}")
    words += [f"--search {name}={text}" for name, text in tune.search.items()]
    off = [name for name in ("usual", "prune") if not getattr(tune, name)]
    words += [f"--set tune.{name}=false" for name in off]
    words += [f"--set {name}={value_of(settings, name)}" for name in explicit(settings)]
    return " ".join(words)
