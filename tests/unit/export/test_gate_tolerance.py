"""How far logits may lie apart: what rounding does passes, what a mistake does is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.export.gate.tolerance import TOLERANCES, Floats, agreement, excess, measure


def logits(seed: int = 0, places: int = 40, width: int = 60, size: float = 3.0) -> Floats:
    rng = np.random.default_rng(seed)
    return (size * rng.standard_normal((places, width)) + 7).astype(np.float32)


def noisy(source: Floats, noise: float) -> Floats:
    rng = np.random.default_rng(1)
    return (source + noise * 3.0 * rng.standard_normal(source.shape)).astype(np.float32)


def test_the_same_numbers_agree_in_every_precision() -> None:
    gap = measure(logits(), logits())
    assert (gap.noise, gap.worst, gap.same, gap.places) == (0, 0, 1, 40)
    assert gap.slope == pytest.approx(1)
    assert all(excess(gap, precision) == "" for precision in TOLERANCES)
    assert "0 %" in agreement(gap, "fp32")


@pytest.mark.parametrize(
    ("precision", "passes", "fails"),
    [("fp32", 1e-5, 1e-3), ("fp16", 1e-3, 0.05), ("bf16", 0.01, 0.2), ("int8", 0.08, 0.4),
     ("int4", 0.25, 0.9)],
)  # fmt: skip
def test_each_precision_may_cost_its_own_noise(precision: str, passes: float, fails: float) -> None:
    source = logits()
    assert excess(measure(source, noisy(source, passes)), precision) == ""
    problem = excess(measure(source, noisy(source, fails)), precision)
    assert "spread" in problem
    assert precision in problem or "one logit" in problem


@pytest.mark.parametrize("factor", [8.0, 0.125, 1.5, -1.0])
@pytest.mark.parametrize("precision", list(TOLERANCES))
def test_a_factor_is_refused_though_every_likeliest_token_stays(
    factor: float, precision: str
) -> None:
    source = logits() - 7
    gap = measure(source, (source * factor).astype(np.float32))
    problem = excess(gap, precision)
    assert "times the source's" in problem
    if factor > 0:
        assert gap.same == 1


def test_one_number_that_went_astray_is_seen() -> None:
    source, exported = logits(), logits()
    exported[3, 5] += 0.02
    assert "one logit" in excess(measure(source, exported), "fp32")
    assert excess(measure(source, exported), "int8") == ""


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(wrong: float) -> None:
    exported = logits()
    exported[0, 0] = wrong
    for precision in TOLERANCES:
        assert "not finite" in excess(measure(logits(), exported), precision)


def test_a_shift_counts_since_sets_of_labels_are_decided_by_it() -> None:
    source = logits()
    assert excess(measure(source, source + np.float32(0.01)), "fp32") != ""


def test_a_model_that_says_nothing_of_any_label_is_still_measured() -> None:
    flat = np.full((5, 3), 2.0, dtype=np.float32)
    assert excess(measure(flat, flat), "fp32") == ""
    assert excess(measure(flat, flat + np.float32(0.5)), "fp32") != ""


@given(st.integers(0, 1000), st.permutations(range(6)))
def test_permuted_outputs_never_pass(seed: int, order: list[int]) -> None:
    source = logits(seed, places=12, width=6)
    gap = measure(source, source[:, order])
    assert (excess(gap, "int4") == "") == (order == sorted(order))
