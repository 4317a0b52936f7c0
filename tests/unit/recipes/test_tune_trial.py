"""A trial is watched: compared at set places of its way, also after a resume."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from tinyforge.recipes.tune_trial import Watch, Worse
from tinyforge.train.hooks import Start, Validation


def start(total: int, *, first: int = 0, seconds: float | None = None) -> Start:
    return Start(
        first_step=first, total_steps=total, steps_per_epoch=10, max_seconds=seconds, elapsed=0.0,
        trainable_parameters=1, parameters=1, precision="float32", precision_reason="",
        device="cpu", speedups=(), settings={},
    )  # fmt: skip


def watch(tmp_path: Path, asked: list[list[float]], answer: bool = False, **more: Any) -> Watch:
    def worse(rungs: list[float]) -> bool:
        asked.append(list(rungs))
        return answer

    metrics = tmp_path / "metrics.jsonl"
    metrics.touch()
    return Watch("accuracy", maximise=more.get("maximise", True), metrics=metrics, worse=worse)


def seen(step: int, value: float) -> Validation:
    return Validation(step, 0.0, {"accuracy": value, "loss": 1.0}, False)


def test_the_best_so_far_is_compared_at_each_place(tmp_path: Path) -> None:
    asked: list[list[float]] = []
    watcher = watch(tmp_path, asked)
    watcher.on_start(start(40))
    for step, value in ((4, 0.3), (8, 0.5), (12, 0.4), (16, 0.4), (20, 0.6), (36, 0.7), (40, 0.9)):
        watcher.on_validation(seen(step, value))
    assert asked == [[0.5], [0.5, 0.6], [0.5, 0.6, 0.7]]
    assert (watcher.best, watcher.rungs) == (0.9, [0.5, 0.6, 0.7])


def test_lower_may_be_better(tmp_path: Path) -> None:
    asked: list[list[float]] = []
    watcher = watch(tmp_path, asked, maximise=False)
    watcher.on_start(start(4))
    for step, value in ((1, 0.3), (2, 0.2), (3, 0.25)):
        watcher.on_validation(seen(step, value))
    assert asked[-1] == [0.3, 0.2, 0.2]


def test_a_step_over_several_places_is_one_question_and_the_end_is_none(tmp_path: Path) -> None:
    asked: list[list[float]] = []
    watcher = watch(tmp_path, asked, answer=True)
    watcher.on_start(start(4))
    with pytest.raises(Worse, match="stopped at 50% of its way: worse than the median"):
        watcher.on_validation(seen(2, 0.3))
    assert asked == [[0.3, 0.3]]
    watcher.on_validation(seen(4, 0.1))  # it is over anyway
    assert asked == [[0.3, 0.3]]


def test_a_value_that_is_no_number_ends_it(tmp_path: Path) -> None:
    watcher = watch(tmp_path, [])
    watcher.on_start(start(4))
    with pytest.raises(Worse, match="no validation value was a number"):
        watcher.on_validation(seen(1, math.nan))


def test_what_was_validated_before_a_kill_counts(tmp_path: Path) -> None:
    asked: list[list[float]] = []
    watcher = watch(tmp_path, asked)
    lines = [
        {"step": 2, "validation": {"accuracy": 0.8}},
        {"step": 5, "validation": {"accuracy": 0.9}},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    watcher.on_start(start(8, first=4))  # step 5 is after the checkpoint, and comes again
    watcher.on_validation(seen(4, 0.1))
    assert asked == [[0.8, 0.8]]


def test_a_trial_with_a_clock_is_as_far_as_the_clock(tmp_path: Path) -> None:
    asked: list[list[float]] = []
    watcher = watch(tmp_path, asked)
    watcher.on_start(start(1_000_000, seconds=1e-9))
    watcher.on_validation(seen(1, 0.3))
    assert watcher.rungs == [0.3, 0.3, 0.3]
    assert asked == []
