"""The verdict against systems whose true quality is known: how often it errs, how often it sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from verdict_fakes import CASES, measured

from tinyforge.evaluate.pairs import rank
from tinyforge.evaluate.verdict import judge
from tinyforge.metrics.tally import mean_tally

TRIALS = 400
POWER_TRIALS = 50


def words(case: str, rows: int, gain: float, trials: int, *, group: int = 1) -> Counter[str]:
    """What the verdict says of so many pairs of systems."""
    rng = np.random.default_rng([len(case), rows, group])
    kind = CASES[case]
    said: Counter[str] = Counter()
    for trial in range(trials):
        ours, theirs = kind.make(rng, rows, gain)
        groups = np.arange(rows) // group
        mine = measured(kind.metric, ours, groups=groups, seed=trial)
        other = measured(kind.metric, theirs, groups=groups, seed=trial, name="the other")
        said[judge(mine, {"other": other}).word] += 1
    return said


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [12, 80])
def test_equal_systems_are_called_better_at_most_one_time_in_twenty(case: str, rows: int) -> None:
    assert words(case, rows, 0.0, TRIALS)["better"] <= 0.05 * TRIALS


@pytest.mark.parametrize("case", CASES)
def test_a_better_system_is_found_and_never_called_no_better(case: str) -> None:
    said = words(case, 300, CASES[case].gain, POWER_TRIALS)
    assert said["better"] >= 0.8 * POWER_TRIALS
    assert said["not better"] == 0


@pytest.mark.parametrize("case", CASES)
def test_few_rows_do_not_hide_a_gain(case: str) -> None:
    """Of a system that is better for sure, 'not better' is said at most one time in twenty."""
    assert words(case, 15, CASES[case].gain, TRIALS // 2)["not better"] <= 0.05 * TRIALS // 2


def test_rows_that_belong_together_are_not_counted_as_many() -> None:
    """Each of 15 questions is asked twenty times; the answers to one question are all alike."""
    rng = np.random.default_rng(1)
    better = 0
    for trial in range(TRIALS // 2):
        groups = np.repeat(np.arange(15), 20)
        ours, theirs = (np.repeat(rng.random(15) < 0.7, 20) for _ in "ab")
        mine = measured("accuracy", mean_tally(ours), groups=groups, seed=trial)
        other = measured("accuracy", mean_tally(theirs), groups=groups, seed=trial, name="b")
        better += judge(mine, {"b": other}).word == "better"
    assert better <= 0.05 * TRIALS // 2


def test_a_baseline_that_needs_luck_does_not_get_it() -> None:
    """With many equal baselines the best one is lucky; that never helps the model."""
    rng = np.random.default_rng(2)
    better = 0
    for trial in range(100):
        systems = [measured("accuracy", mean_tally(rng.random(60) < 0.7), seed=trial, name=str(i))
                   for i in range(6)]  # fmt: skip
        others = {system.name: system for system in systems[1:]}
        better += judge(systems[0], others).word == "better"
    assert better == 0


def test_among_several_equal_models_hardly_any_is_told_apart() -> None:
    """Holm's correction: of four equal models, at most one list in twenty has a winner."""
    rng = np.random.default_rng(3)
    told = 0
    for trial in range(100):
        models = {
            str(i): measured("accuracy", mean_tally(rng.random(60) < 0.7), seed=trial,
                             name=str(i), answers=["x"] * 60)
            for i in range(4)
        }  # fmt: skip
        told += any(pair.word in ("better", "worse") for pair in rank(models).pairs)
    assert told <= 10


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("rows", [10, 20, 100, 1000])
def test_thousand_pairs_of_equal_systems(case: str, rows: int) -> None:
    """More of the same; 5 % is promised, about 2.5 % is meant."""
    assert words(case, rows, 0.0, 1000)["better"] <= 0.04 * 1000
