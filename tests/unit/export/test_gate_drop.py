"""Whether a metric was kept: what was seen, what can be known, and what is said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinyforge.export.gate.drop import Change, allowance, check_metric, judge
from tinyforge.metrics import METRICS

TEXTS = {
    "source": "93.1 %", "exported": "93.0 %", "difference": "−0.1 points", "low": "−0.4",
    "high": "+0.2", "allowed": "0.5 points",
}  # fmt: skip


def change(
    difference: float = 0.0, low: float = -0.004, high: float = 0.004, *, changed: int = 3,
    exact: bool = False, metric: str = "accuracy", source: float = 0.9, groups: int = 1_000,
) -> Change:  # fmt: skip
    return Change(
        METRICS[metric], source, source + difference, difference, low, high, groups, groups,
        changed, exact,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("found", "word"),
    [
        (change(), "kept"),
        (change(0.01, -0.001, 0.02), "kept"),
        (change(-0.005, -0.005, 0.0), "kept"),
        (change(0.0, -0.03, 0.03), "not shown"),
        (change(-0.004, -0.02, 0.01), "not shown"),
        (change(-0.006, -0.02, 0.01), "lost"),
        (change(-0.2, -0.3, -0.1), "lost"),
        (change(0.0, -0.2, 0.2, changed=0, exact=True), "same"),
        (change(0.0, -0.2, 0.2, changed=0), "not shown"),
        (change(0.0, -0.2, 0.2, changed=2, exact=True), "not shown"),
    ],
)
def test_words(found: Change, word: str) -> None:
    assert judge(found, 0.005) == word


def test_half_a_per_cent_is_half_a_point_or_a_share_of_what_has_no_bound() -> None:
    assert allowance(METRICS["accuracy"], 0.005, 0.9) == 0.005
    assert allowance(METRICS["chrf"], 0.005, 60.0) == 0.5
    assert allowance(METRICS["bits_per_byte"], 0.005, 2.0) == pytest.approx(0.01)


def test_few_rows_pass_and_it_is_said() -> None:
    found = change(0.0, -0.03, 0.03, groups=120)
    check = check_metric(found, 0.005, TEXTS, strict=False)
    assert check.passed
    assert "120 independent rows cannot rule it out" in check.sentence
    assert "was not seen" in check.sentence
    assert not check_metric(found, 0.005, TEXTS, strict=True).passed


def test_what_is_lost_never_passes() -> None:
    check = check_metric(change(-0.01, -0.05, 0.03), 0.005, TEXTS, strict=False)
    assert not check.passed
    assert "more than the 0.5 points allowed is lost" in check.sentence
    assert check.figures["word"] == "lost"


def test_strict_takes_equal_numbers_for_an_answer() -> None:
    same = change(0.0, -0.2, 0.2, changed=0, exact=True)
    assert check_metric(same, 0.005, TEXTS, strict=True).passed


@given(
    st.floats(-0.2, 0.2), st.floats(0, 0.2), st.floats(0, 0.1), st.floats(0, 0.05), st.booleans()
)
def test_less_is_never_judged_better(
    difference: float, width: float, allowed: float, less: float, exact: bool
) -> None:
    order = ["lost", "not shown", "kept", "same"]
    found = change(difference, difference - width, difference + width, exact=exact)
    worse = change(difference - less, difference - less - width, difference + width, exact=exact)
    assert order.index(judge(worse, allowed)) <= order.index(judge(found, allowed))
    more = allowed + less
    assert order.index(judge(found, allowed)) <= order.index(judge(found, more))
