"""What is chosen for a pretraining run, and what it would cost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.config.pretrain import CostSettings
from tinyforge.models.dial import NAMES
from tinyforge.recipes.pretrain_cost import costs, machines, table
from tinyforge.recipes.pretrain_plan import (
    MINUTES,
    MOST_EPOCHS,
    Measured,
    Plan,
    Wish,
    expected_loss,
    make_plan,
    make_stages,
    windows_of,
)

WEIGHTS = dict(zip(NAMES, (2e5, 1.3e6, 5.5e6, 1.6e7, 4.4e7, 1.3e8, 3e8), strict=True))


def measure(size: str) -> Measured:
    """A machine of 2e11 operations a second, that does no more than 100,000 tokens."""
    weights = WEIGHTS[size]
    return Measured(size, int(weights), 256, min(1e5, 2e11 / (6 * weights)))


def wish(**given: Any) -> Wish:
    values: dict[str, Any] = {
        "architecture": "gpt", "size": None, "minutes": None, "max_tokens": None,
        "unique_tokens": 50_000_000,
    }  # fmt: skip
    return Wish(**(values | given))


def test_the_best_number_of_tokens_is_near_twenty_a_weight() -> None:
    """For 1e18 operations on text without end, as in Hoffmann et al.'s and Besiroglu's figures."""
    sizes = [10 ** (power / 20) for power in range(120, 200)]
    best = min(sizes, key=lambda n: expected_loss(n, 1e18 / 6 / n, 1e15))
    assert 10 < 1e18 / 6 / best**2 < 40


def test_repeated_text_is_worth_less_and_less() -> None:
    once, four, sixteen, sixty = (
        expected_loss(1e6, 1e7 * epochs, 1e7) for epochs in (1, 4, 16, 60)
    )
    fresh = expected_loss(1e6, 4e7, 4e7)
    assert once > four > sixteen > sixty
    assert four - fresh < 0.1 * (once - fresh)
    assert sixteen - sixty < 0.2 * (once - four)


@given(minutes=st.floats(1, 2_000), unique=st.integers(10_000, 10**10))
@settings(deadline=None, max_examples=100)
def test_a_plan_keeps_to_the_time_and_to_the_text(minutes: float, unique: int) -> None:
    plan = make_plan(wish(minutes=minutes, unique_tokens=unique), measure)
    assert plan.seconds is not None
    # A step more or less, where there are few.
    slack = plan.window * plan.windows_per_step / plan.tokens_per_second
    assert plan.seconds <= 60 * minutes + slack
    assert plan.tokens <= MOST_EPOCHS * unique + plan.window * plan.windows_per_step
    assert windows_of(plan.stages, plan.steps) * plan.window == plan.tokens
    assert Plan.from_json(plan.to_json()) == plan


def test_more_time_is_worth_a_larger_model() -> None:
    sizes = [
        NAMES.index(make_plan(wish(minutes=minutes, unique_tokens=10**10), measure).size)
        for minutes in (2, 30, 600, 60 * 24 * 7)
    ]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]


def test_less_text_is_worth_a_smaller_model() -> None:
    large, small = (
        make_plan(wish(minutes=600, unique_tokens=unique), measure) for unique in (10**9, 10**6)
    )
    assert NAMES.index(small.size) < NAMES.index(large.size)
    assert any("Fine-tuning" in line for line in small.advice)
    assert any("times" in line for line in small.advice)
    assert not large.advice


def test_the_size_that_was_asked_for_gets_twenty_tokens_a_weight() -> None:
    plan = make_plan(wish(size="tiny"), measure)
    assert plan.size == "tiny"
    assert plan.tokens == pytest.approx(20 * WEIGHTS["tiny"], rel=0.01)
    assert [found.size for found in plan.measured] == ["tiny"]


def test_a_number_of_tokens_alone_gives_the_size_that_it_feeds() -> None:
    plan = make_plan(wish(max_tokens=100_000_000), measure)
    assert plan.size == "mini"
    assert plan.tokens == pytest.approx(100_000_000, rel=0.01)


def test_with_nothing_set_there_is_a_default_time() -> None:
    plan = make_plan(wish(), measure)
    assert plan.minutes == MINUTES
    assert "30" in plan.reasons[0]


def test_steps_and_batch_that_were_asked_for_are_kept() -> None:
    plan = make_plan(
        wish(size="tiny", max_steps=2_000, batch=12, given=frozenset({"optimizer"})), measure,
        short_rows=False, small_batches=False,
    )  # fmt: skip
    assert (plan.steps, plan.windows_per_step) == (2_000, 12)
    assert plan.stages == ((0, 256, 12),)
    assert "learning_rate" not in plan.train
    assert not any("optimizer" in reason for reason in plan.reasons)


def test_a_model_that_is_too_large_for_its_tokens_is_said() -> None:
    plan = make_plan(wish(size="large", max_tokens=10_000_000), measure)
    assert any("a smaller --size" in line for line in plan.advice)


def test_rows_grow_from_a_quarter_to_the_whole() -> None:
    stages = make_stages(1_000, 256, 8, "gpt", None, True)
    assert stages == ((0, 64, 4), (100, 64, 8), (150, 128, 8), (400, 256, 8))
    assert make_stages(1_000, 256, 8, "bert", None, False) == ((0, 256, 8),)
    assert make_stages(1_000, 250, 8, "gpt", True, False) == ((0, 250, 8),)
    assert make_stages(3, 256, 1, "gpt", None, True) == ((0, 256, 1),)


def test_costs_name_every_machine_and_its_source() -> None:
    plan = make_plan(wish(minutes=30), measure)
    found = costs(plan, CostSettings())
    assert [cost.hardware for cost in found] == [
        "this machine", "a laptop", "one RTX 4090", "one H100",
    ]  # fmt: skip
    here, laptop, consumer, large = found
    assert here.seconds == plan.seconds
    assert laptop.seconds == pytest.approx(plan.operations / 1.5e11)
    assert laptop.seconds > consumer.seconds
    assert consumer.seconds >= 0.02 * plan.steps
    assert large.money == pytest.approx(2.5 * large.seconds / 3600)
    assert here.money == pytest.approx(0.3 * here.kilowatt_hours)
    assert all(cost.source for cost in found)
    assert len(table(found)) == 5


def test_prices_and_watts_are_settings() -> None:
    plan = make_plan(wish(minutes=30), measure)
    dear = costs(plan, CostSettings(watts=100, electricity=1, h100_price=10))
    assert machines(CostSettings(watts=100))[0].watts == 100
    assert dear[0].money == pytest.approx(0.1 * dear[0].seconds / 3600)
    assert dear[3].money == pytest.approx(10 * dear[3].seconds / 3600)
