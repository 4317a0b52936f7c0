"""How far a search's choice is to be trusted, in words; and how its time is shared out."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tinyforge.config.load import load_settings
from tinyforge.config.tune import TuneSettings
from tinyforge.recipes.tune import _minutes
from tinyforge.recipes.tune_journal import Trial
from tinyforge.recipes.tune_report import optimism


def found(metric: str, first: float, best: float, *, test: tuple[Any, Any]) -> dict[str, Any]:
    trials = [
        Trial(number, {}, state="complete", value=v) for number, v in enumerate((first, best), 1)
    ]
    return optimism(
        metric, metric != "loss", trials, trials[1], ours_test=test[1], theirs_test=test[0]
    )


def test_what_is_left_of_the_gain() -> None:
    told = found("accuracy", 0.90, 0.95, test=(0.895, 0.91))
    assert told["best"]["shrank"] == pytest.approx(0.04)
    assert told["default"]["shrank"] == pytest.approx(0.005)
    assert told["gain"] == pytest.approx({"validation": 0.05, "test": 0.015})
    for part in (
        "Choosing among 2 trials", "accuracy is 95.0 % there and 91.0 % on the test rows",
        "worse by 4.0 points", "Of the gain of +5.0 points seen while choosing, +1.5",
    ):  # fmt: skip
        assert part in told["sentence"], told["sentence"]


def test_a_loss_shrinks_the_other_way_round() -> None:
    told = found("loss", 0.50, 0.40, test=(0.52, 0.55))
    assert told["best"]["shrank"] == pytest.approx(0.15)
    assert told["gain"] == pytest.approx({"validation": 0.1, "test": -0.03})
    assert "worse by 0.15" in told["sentence"]
    assert "−0.03 is there on the test rows" in told["sentence"]


def test_a_test_that_is_easier_is_said_so() -> None:
    told = found("accuracy", 0.90, 0.91, test=(0.9, 0.94))
    assert told["best"]["shrank"] == pytest.approx(-0.03)
    assert "better by 3.0 points" in told["sentence"]


def test_without_test_rows_nobody_knows() -> None:
    told = found("accuracy", 0.9, 0.95, test=(None, None))
    assert (told["best"], told["default"], told["gain"]) == (None, None, None)
    assert "There are no test rows" in told["sentence"]


def budget(
    *seconds: float, total: int | None, minutes: float | None = 10.0, ended: str = "done"
) -> float | None:
    trials = [
        Trial(
            i, {}, state="complete", seconds=each,
            outcome={"seconds": each - 6.0, "stopped_because": ended},
        )
        for i, each in enumerate(seconds, 1)
    ]  # fmt: skip
    journal = SimpleNamespace(trials=trials, seconds=sum(seconds))
    search: Any = SimpleNamespace(
        tune=TuneSettings(max_minutes=minutes), journal=journal, total=total,
        settings=load_settings(),
    )  # fmt: skip
    return _minutes(search)


def test_every_trial_gets_a_fair_share_of_what_is_left() -> None:
    assert budget(total=5) == pytest.approx(2.0)
    # One minute used; nine for four; each needs six seconds beside its training.
    assert budget(60.0, total=5) == pytest.approx(9 / 4 - 0.1)
    assert budget(60.0, 30.0, total=5) == pytest.approx(8.5 / 3 - 0.1)
    assert budget(300.0, 299.0, total=3) is None
    assert budget(100.0, 100.0, total=9, minutes=None) == float("inf")


def test_with_time_alone_there_are_as_many_trials_as_fit() -> None:
    assert budget(total=None) == pytest.approx(10 / 5)
    assert budget(60.0, total=None) == pytest.approx(2 - 0.1)
    assert budget(60.0, total=None, ended="max_minutes") == pytest.approx(1 - 0.1)
    assert budget(60.0, *[60.0] * 8, total=None) == pytest.approx(1 - 0.1)
    assert budget(60.0, *[60.0] * 8, 40.0, total=None) is None
