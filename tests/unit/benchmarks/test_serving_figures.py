"""How fast something grows, and how sure that is."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.serving.figures import percentile, slope


def wandering(seed: int, count: int, trend: float) -> tuple[list[float], list[float]]:
    """Times in hours, and values that are each like the one before, as a process's memory is."""
    random = np.random.default_rng(seed)
    values, value = [], 0.0
    for step in random.normal(size=count):
        value = 0.8 * value + float(step)
        values.append(value)
    times = [number / count for number in range(count)]
    return times, [300 + trend * at + value for at, value in zip(times, values, strict=True)]


def test_a_straight_line_is_found_exactly() -> None:
    times = [number / 10 for number in range(100)]
    found = slope(times, [5 + 3 * at for at in times], blocks=20)
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))
    assert str(slope(times, [7.0] * 100, blocks=20)) == "+0.00 (+0.00 to +0.00)"


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    held = 0
    for seed in range(200):
        found = slope(*wandering(seed, 600, 2.0), blocks=20)
        held += found.low <= 2.0 <= found.high
    assert 175 <= held <= 199  # an interval of all samples would hold it in some 90 of 200


def test_growth_is_seen() -> None:
    assert slope(*wandering(0, 600, 20.0), blocks=20).low > 2


def test_few_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        slope([0.0] * 59, [0.0] * 59, blocks=20)


def test_a_percentile_is_a_value_that_was_there() -> None:
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0
    assert percentile([], 99) is None
