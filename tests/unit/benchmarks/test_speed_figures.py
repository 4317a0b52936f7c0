"""Medians, pairs and the rule by which a result counts."""

from __future__ import annotations

import pytest
from benchmarks.speed import figures


def steps(seconds: list[float], examples: int = 4, tokens: int = 40) -> list[dict[str, float]]:
    return [{"seconds": s, "examples": examples, "tokens": tokens} for s in seconds]


def test_rates_leave_the_first_steps_out() -> None:
    found = figures.rates(steps([100.0, 1.0, 3.0]), dropped=1)
    assert found == {"seconds": 4.0, "examples_per_second": 2.0, "tokens_per_second": 20.0}


def test_examples_are_rows_of_the_mean_length() -> None:
    long_rows_first = steps([9.0], tokens=120) + steps([1.0, 1.0], tokens=30)
    found = figures.rates(long_rows_first, dropped=1)
    assert found["tokens_per_second"] == 30.0
    assert found["examples_per_second"] == 2.0  # of 15 tokens each, and not 4 short ones


def test_rates_need_a_step_that_counts() -> None:
    with pytest.raises(ValueError, match="do not count"):
        figures.rates(steps([1.0]), dropped=1)


def test_ratio_is_of_medians_and_its_spread_of_pairs() -> None:
    found = figures.ratios([10.0, 20.0, 30.0], [5.0, 5.0, 20.0])
    assert found == {"ratio": 4.0, "low": 1.5, "high": 4.0}


def test_ratio_needs_pairs() -> None:
    with pytest.raises(ValueError):
        figures.ratios([1.0], [1.0, 2.0])


def test_end_loss_is_the_mean_of_the_last_fifth() -> None:
    assert figures.end_loss([9.0] * 8 + [1.0, 3.0]) == 2.0
    assert figures.end_loss([5.0]) == 5.0


@pytest.mark.parametrize(
    ("ours", "peer", "word"),
    [
        ([1.02], [1.0], "same"),
        ([1.04], [1.0], "ours higher"),
        ([0.90], [1.0], "ours lower"),
        ([1.0, 1.1, 1.2], [1.0, 1.0, 1.0], "same"),  # its own seeds differ by more
    ],
)
def test_losses_agree_within_three_percent_or_the_spread(
    ours: list[float], peer: list[float], word: str
) -> None:
    assert figures.agreement("loss", ours, peer).word == word


def test_accuracy_has_an_absolute_tolerance() -> None:
    found = figures.agreement("accuracy", [0.91], [0.92], relative=0.0, absolute=0.015)
    assert (found.word, found.tolerance) == ("same", 0.015)


def test_rows_are_the_same_or_the_reason_is_told() -> None:
    assert not figures.same_rows(steps([1, 1]), steps([1, 1], tokens=40))
    assert not figures.same_rows(steps([1], 8, 1000), steps([1, 1], 4, 504))
    assert "9 examples" in figures.same_rows(steps([1], 9), steps([1], 8))
    assert "tokens" in figures.same_rows(steps([1], 8, 1000), steps([1], 8, 1011))
