"""Proposals depend on seed and history alone; bad trials are stopped; settings that matter."""

from __future__ import annotations

import json
import math
import random
import sys
from dataclasses import asdict
from typing import Any

import pytest

from tinyforge.errors import MissingPackageError
from tinyforge.recipes.tune_journal import Trial
from tinyforge.recipes.tune_optuna import importance, optuna, propose, worse_than_others
from tinyforge.recipes.tune_space import Parameter, Space

pytest.importorskip("optuna")

RATE = Parameter("train.learning_rate", "", 1e-5, 1e-1, log=True)
BATCH = Parameter("train.batch_size", "", values=(8, 16, 32))
EPOCHS = Parameter("train.epochs", "", 2, 20, log=True, whole=True)
SPACE = Space((RATE, BATCH, EPOCHS))
DEFAULT = {"train.learning_rate": 1e-4, "train.batch_size": 16, "train.epochs": 5.0}


def quality(values: dict[str, Any]) -> float:
    """Best at a rate of 0.01, whatever the batch."""
    return 1 - 0.1 * abs(math.log10(values["train.learning_rate"]) + 2)


def search(
    trials: int, *, seed: int = 0, default: Any = None, history: list[Trial] | None = None
) -> list[Trial]:  # fmt: skip
    found = history or [ended(0, default or DEFAULT)]
    while len(found) < trials:
        values = propose(SPACE, found, maximise=True, seed=seed)
        assert values is not None
        found.append(ended(len(found), values))
    return found


def ended(number: int, values: dict[str, Any], state: Any = "complete") -> Trial:
    value = quality(values)
    return Trial(number, values, state=state, value=value, rungs=[value] * 3)


def test_the_same_seed_makes_the_same_trials_whatever_interrupts_them() -> None:
    whole = search(10)
    assert search(10, seed=1)[1].values != whole[1].values
    assert len({json.dumps(trial.values) for trial in whole}) == 10
    halfway = [Trial.from_json(json.loads(json.dumps(asdict(t)))) for t in search(7)]
    random.seed(99)  # other users of random numbers have no say
    assert [t.values for t in search(10, history=halfway)] == [t.values for t in whole]
    for trial in whole:
        for parameter in SPACE.parameters:
            assert parameter.contains(trial.values[parameter.name])
            assert isinstance(trial.values["train.batch_size"], int)


def test_it_learns_where_the_good_ones_are() -> None:
    """Better than drawing at random, which comes within a factor of three in about one of four."""
    near = [
        0.0033 <= trial.values["train.learning_rate"] <= 0.03
        for seed in range(3)
        for trial in search(22, seed=seed)[12:]
    ]
    assert sum(near) / len(near) > 0.4


def test_a_default_outside_of_the_limits_is_no_obstacle() -> None:
    found = search(9, default={**DEFAULT, "train.learning_rate": 0.5, "train.batch_size": 64})
    assert all(RATE.contains(trial.values[RATE.name]) for trial in found[1:])
    shares, _ = importance(SPACE, found, maximise=True, seed=0)
    assert set(shares) == {"train.learning_rate", "train.batch_size", "train.epochs"}


def test_failed_trials_count_as_bad_ones() -> None:
    """All with a high rate fail, half of what there is; the sampler goes where they do not."""
    found = [ended(0, DEFAULT)]
    while len(found) < 24:
        values = propose(SPACE, found, maximise=True, seed=0)
        assert values is not None
        failed = values["train.learning_rate"] > 1e-3
        trial = ended(len(found), values, "failed" if failed else "complete")
        trial.value = None if failed else 0.5 + 0.01 * (len(found) % 3)
        found.append(trial)
    late = [trial.state for trial in found[10:]]
    assert late.count("failed") < len(late) / 2


def test_everything_was_tried() -> None:
    space = Space((BATCH, Parameter("train.schedule", "", values=("linear", "cosine"))))
    found = [Trial(0, {"train.batch_size": 16, "train.schedule": "linear"}, state="failed")]
    while (values := propose(space, found, maximise=True, seed=0)) is not None:
        assert values not in [trial.values for trial in found]
        found.append(Trial(len(found), values, state="complete", value=0.5))
        assert len(found) <= 6
    assert len(found) == 6


def test_a_trial_is_stopped_below_the_median_of_the_finished_ones() -> None:
    def others(*values: float) -> list[Trial]:
        return [
            Trial(i, DEFAULT, state="complete", value=v, rungs=[v - 0.2, v - 0.1, v])
            for i, v in enumerate(values)
        ]  # fmt: skip

    three = others(0.7, 0.8, 0.9)  # at the first place: 0.5, 0.6, 0.7
    assert worse_than_others(three, [0.55], maximise=True)
    assert not worse_than_others(three, [0.65], maximise=True)
    assert not worse_than_others(three[:2], [0.0], maximise=True)
    assert worse_than_others(three, [0.65, 0.65], maximise=True)
    assert worse_than_others(three, [0.65], maximise=False)
    assert not worse_than_others(three, [0.55], maximise=False)
    stopped = [Trial(3, DEFAULT, state="pruned", value=0.1, rungs=[0.1])] * 5
    assert worse_than_others([*three, *stopped], [0.55], maximise=True)


def test_what_mattered() -> None:
    shares, sentence = importance(SPACE, search(20, seed=2), maximise=True, seed=0)
    assert next(iter(shares)) == "train.learning_rate"
    assert shares["train.learning_rate"] > 0.6
    assert sum(shares.values()) == pytest.approx(1)
    assert "20 trials" in sentence
    few, sentence = importance(SPACE, search(5), maximise=True, seed=0)
    assert few == {}
    assert "cannot be told from 5 trials" in sentence
    same = [Trial(i, t.values, state="complete", value=0.5) for i, t in enumerate(search(9))]
    assert importance(SPACE, same, maximise=True, seed=0)[0] == {}


def test_without_optuna(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingPackageError, match=r"'optuna'.*pip install 'tinyforge\[tune\]'"):
        optuna()
