"""What to try next, and what to give up: Optuna asked anew each time, with all that is known.

Nothing of Optuna lies on disk. For each trial a study is built from the journal, with a sampler
seeded by the search's seed and the trial's number, so that a search that was killed goes on with
the same trials. The sampler is the tree-structured Parzen estimator (Bergstra et al. 2011; all
settings together: Falkner et al. 2018, arXiv:1807.01774); trials are stopped by the median rule
(Golovin et al. 2017, Google Vizier).
"""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinyforge.errors import MissingPackageError
from tinyforge.recipes.tune_journal import Trial
from tinyforge.recipes.tune_space import Parameter, Space

DRAWN = 6
"""Trials, that of the default settings counted, before the sampler learns from them; until then
it draws at random."""

COMPLETE_FIRST = 3
"""Trials that are trained to their end before one can be stopped."""

RUNGS = (0.25, 0.5, 0.75)
"""Shares of a training at which trials are compared."""

ATTEMPTS = 20
"""Times that the sampler is asked for something that was not tried before."""

FEWEST_TRIALS = 8
"""With fewer complete trials nobody knows which setting mattered."""


def optuna() -> Any:
    """The package.

    Raises:
        MissingPackageError: it is not installed.
    """
    try:
        import optuna as package
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            error.name or "optuna", needed_for="a search for settings", extra="tune"
        ) from None
    logging.getLogger("optuna").setLevel(logging.WARNING)
    return package


def sampler_name() -> str:
    """What proposes the trials: equal names propose equal ones."""
    return f"TPE of Optuna {optuna().__version__}"


def propose(
    space: Space, trials: Sequence[Trial], *, maximise: bool, seed: int
) -> dict[str, Any] | None:
    """Values for the next trial; None where everything was tried already.

    Depends on nothing but the arguments.

    Args:
        trials: all earlier ones, ended.
    """
    tried = [trial.values for trial in trials]
    values: dict[str, Any] = {}
    for attempt in range(ATTEMPTS):
        number = np.random.SeedSequence([seed, len(trials), attempt]).generate_state(1)[0]
        study = _study(space, trials, maximise, seed=int(number))
        with _quiet():
            asked = study.ask({p.name: _distribution(p) for p in space.parameters}).params
        values = {p.name: p.tidy(asked[p.name]) for p in space.parameters}
        if values not in tried:
            return values
    return _untried(space, tried)


def worse_than_others(trials: Sequence[Trial], rungs: Sequence[float], *, maximise: bool) -> bool:
    """Whether a trial should be stopped at the last of the places where it was compared.

    Args:
        trials: the ended ones. rungs: the trial's best value so far at each of ``RUNGS``.
    """
    package = optuna()
    study = _study(Space(()), trials, maximise, seed=0)
    with _quiet():
        running = package.trial.create_trial(
            state=package.trial.TrialState.RUNNING, intermediate_values=dict(enumerate(rungs))
        )
        pruner = package.pruners.MedianPruner(n_startup_trials=COMPLETE_FIRST, n_warmup_steps=0)
        return bool(pruner.prune(study, running))


def importance(
    space: Space, trials: Sequence[Trial], *, maximise: bool, seed: int
) -> tuple[dict[str, float], str]:
    """How much of the difference between trials each setting explains, the most first.

    By functional ANOVA over a forest (Hutter et al. 2014).

    Returns:
        Setting to share, adding up to 1; empty where it would mean nothing. And one sentence.
    """
    whole = [
        trial
        for trial in trials
        if trial.state == "complete" and all(_fits(p, trial) for p in space.parameters)
    ]
    if len(whole) < FEWEST_TRIALS:
        return {}, (
            f"Which setting mattered cannot be told from {len(whole)} trials that were trained to "
            f"their end; {FEWEST_TRIALS} are needed."
        )
    if len({trial.value for trial in whole}) == 1:
        return {}, "All trials came out the same, so no setting mattered."
    package = optuna()
    study = _study(space, whole, maximise, seed=seed)
    with _quiet():
        evaluator = package.importance.FanovaImportanceEvaluator(seed=seed)
        found = package.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(share) for name, share in found.items()}, (
        f"Share of the difference between {len(whole)} trials that each setting explains "
        "(functional ANOVA); rough, as the trials are few."
    )


def _study(space: Space, trials: Sequence[Trial], maximise: bool, *, seed: int) -> Any:
    package = optuna()
    with _quiet():
        sampler = package.samplers.TPESampler(seed=seed, n_startup_trials=DRAWN, multivariate=True)
        study = package.create_study(
            direction="maximize" if maximise else "minimize", sampler=sampler,
            pruner=package.pruners.NopPruner(),
        )  # fmt: skip
        for trial in trials:
            study.add_trial(_frozen(package, space, trial))
    return study


def _frozen(package: Any, space: Space, trial: Trial) -> Any:
    """A trial as Optuna knows it.

    The default settings may lie outside of what is searched; such values are left out. One that
    failed counts as stopped before its first value, which is the worst there is.
    """
    known = [p for p in space.parameters if _fits(p, trial)]
    states = package.trial.TrialState
    complete = trial.state == "complete"
    return package.trial.create_trial(
        state=states.COMPLETE if complete else states.PRUNED,
        value=trial.value if complete else None,
        params={p.name: _plain(p, trial.values[p.name]) for p in known},
        distributions={p.name: _distribution(p) for p in known},
        intermediate_values={} if trial.state == "failed" else dict(enumerate(trial.rungs)),
    )


def _fits(parameter: Parameter, trial: Trial) -> bool:
    return parameter.name in trial.values and parameter.contains(trial.values[parameter.name])


def _plain(parameter: Parameter, value: Any) -> Any:
    return int(value) if parameter.whole else value


def _distribution(parameter: Parameter) -> Any:
    package = optuna()
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        return package.distributions.CategoricalDistribution(parameter.values)
    if parameter.whole:
        return package.distributions.IntDistribution(int(low), int(high), log=parameter.log)
    return package.distributions.FloatDistribution(low, high, log=parameter.log)


def _untried(space: Space, tried: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """The first combination that was not tried; None where there is none."""
    names = [parameter.name for parameter in space.parameters]
    for combination in itertools.product(*map(_all_values, space.parameters)):
        values = dict(zip(names, combination, strict=True))
        if values not in tried:
            return values
    return None


def _all_values(parameter: Parameter) -> Sequence[Any]:
    """Every value, or of an endless range some."""
    low, high = parameter.low, parameter.high
    if low is None or high is None:
        return parameter.values
    if parameter.whole:
        return range(int(low), int(high) + 1)
    return [parameter.tidy(value) for value in np.linspace(low, high, 100).tolist()]


class _quiet(warnings.catch_warnings):  # noqa: N801 - used as a function
    """No warnings of parts that Optuna calls experimental."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
