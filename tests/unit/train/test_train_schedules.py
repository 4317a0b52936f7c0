"""Learning rates at known points, and what holds at all points."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.config.train import TrainSettings
from tinyforge.train.schedules import (
    SCHEDULES,
    Constant,
    Cosine,
    Linear,
    Schedule,
    progress_of,
    schedule_of,
)


def shares(schedule: Schedule, steps: int) -> list[float]:
    return [schedule.share(i / steps, 1 / steps) for i in range(steps)]


def test_linear_by_hand() -> None:
    expected = [0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert shares(Linear(0.2), 10) == pytest.approx(expected)


def test_cosine_by_hand() -> None:
    found = shares(Cosine(0.0), 4)
    assert found == pytest.approx([1, 0.5 + math.sqrt(0.5) / 2, 0.5, 0.5 - math.sqrt(0.5) / 2])


def test_constant_by_hand() -> None:
    assert shares(Constant(0.5), 4) == pytest.approx([0.5, 1, 1, 1])


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@given(warmup=st.floats(0, 0.99), steps=st.integers(1, 500), step=st.integers(0, 499))
def test_shares_are_above_0_and_at_most_1(name: str, warmup: float, steps: int, step: int) -> None:
    schedule = SCHEDULES[name](warmup)
    assert 0 < schedule.share(min(step, steps - 1) / steps, 1 / steps) <= 1


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_ends_at_0(name: str) -> None:
    assert SCHEDULES[name](0.1).share(1.0, 0.001) == pytest.approx(0, abs=1e-12)


def test_the_settings_name_it() -> None:
    chosen = schedule_of(TrainSettings(schedule="cosine", warmup_share=0.3))
    assert chosen == Cosine(0.3)


def test_progress_follows_what_is_further_on() -> None:
    assert progress_of(5, 20) == 0.25
    assert progress_of(5, 20, seconds=30, max_seconds=60) == 0.5
    assert progress_of(15, 20, seconds=30, max_seconds=60) == 0.75
    assert progress_of(5, 20, seconds=90, max_seconds=60) == 1.0
