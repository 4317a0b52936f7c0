"""What a test of some size can show, against simulated tests."""

from __future__ import annotations

import numpy as np
import pytest
from findings_fakes import judged, rows

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.findings.power import (
    Z_TEST,
    detectable,
    power,
    round_up,
    rows_to_settle,
    standard_error,
)
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.metrics import METRICS

ACCURACY = METRICS["accuracy"]


def compared(ours: list[bool], theirs: list[bool]) -> tuple[Evaluation, Evaluation, Verdict]:
    gold = ["yes" if i % 2 else "no" for i in range(len(ours))]
    wrong = {"yes": "no", "no": "yes"}
    examples = rows(gold)
    made = [
        judged(examples, [g if hit else wrong[g] for g, hit in zip(gold, hits, strict=True)])
        for hits in (ours, theirs)
    ]
    return made[0], made[1], judge(made[0], {"other": made[1]})


@pytest.mark.parametrize(("rows_judged", "disagree"), [(200, 0.3), (1_000, 0.1)])
def test_the_detectable_difference_shows_in_80_percent_of_tests(
    rows_judged: int, disagree: float
) -> None:
    """Paired right and wrong answers with exactly that true difference, tested many times."""
    difference = 0.0
    for _ in range(20):
        error = np.sqrt((disagree - difference**2) / rows_judged)
        difference = detectable(error, ACCURACY, rows_judged)
    random = np.random.default_rng(0)
    wins, losses = (disagree + difference) / 2, (disagree - difference) / 2
    drawn = random.multinomial(rows_judged, [wins, losses, 1 - disagree], size=20_000)
    mean = (drawn[:, 0] - drawn[:, 1]) / rows_judged
    spread = np.sqrt((drawn[:, 0] + drawn[:, 1]) / rows_judged - mean**2)
    found = (mean - Z_TEST * spread / np.sqrt(rows_judged) > 0).mean()
    assert found == pytest.approx(0.8, abs=0.02)


def test_the_standard_error_is_that_of_paired_answers() -> None:
    random = np.random.default_rng(1)
    ours, theirs = random.random((2, 500)) < np.array([[0.8], [0.75]])
    first, second, verdict = compared(list(ours), list(theirs))
    found = power(first, {"other": second}, verdict)
    assert found is not None
    exact = np.std(ours.astype(float) - theirs, ddof=1) / np.sqrt(500)
    assert found.standard_error == pytest.approx(exact, rel=0.1)
    assert found.groups == 500
    assert found.baseline == "other"
    assert "80 % certainty" in found.sentence


def test_an_open_verdict_says_how_many_rows_would_settle_it() -> None:
    random = np.random.default_rng(2)
    ours = random.random(150) < 0.8
    theirs = np.where(random.random(150) < 0.3, random.random(150) < 0.72, ours)
    first, second, verdict = compared(list(ours), list(theirs))
    assert verdict.word == "cannot tell"
    found = power(first, {"other": second}, verdict)
    assert found is not None
    assert found.settles is not None
    assert found.settles.half is not None
    assert found.settles.likely is not None
    assert 0 < found.settles.half < found.settles.likely
    assert "more test rows would settle the verdict" in found.sentence


def test_a_settled_verdict_needs_no_more_rows() -> None:
    first, second, verdict = compared([True] * 300, [True] * 200 + [False] * 100)
    assert verdict.word == "better"
    found = power(first, {"other": second}, verdict)
    assert found is not None
    assert found.settles is None


def test_the_promised_rows_settle_four_of_five_verdicts() -> None:
    """Small tests of differences of any size; each is then made as large as was advised."""
    random = np.random.default_rng(3)
    groups, spread = 150, 0.5
    settled = tried = 0
    while tried < 60:
        true = random.uniform(-0.4, 0.4)
        seen = true + spread / np.sqrt(groups) * random.standard_normal()
        half = Z_TEST * spread / np.sqrt(groups)
        if seen - half > 0 or seen + half < 0 or (seen <= 0.005 and seen + half <= 0.05):
            continue
        more = rows_to_settle(seen, spread / np.sqrt(groups), groups, ACCURACY).likely
        if more is None:
            continue
        tried += 1
        added = true + spread / np.sqrt(more) * random.standard_normal(50)
        total = groups + more
        after = (groups * seen + more * added) / total
        width = Z_TEST * spread / np.sqrt(total)
        low, high = after - width, after + width
        narrow = (after <= ACCURACY.margin) & (high <= ACCURACY.resolution)
        small = (low >= -ACCURACY.margin) & (high <= ACCURACY.margin)
        settled += ((low > 0) | (high < 0) | narrow | small).mean()
    assert settled / tried == pytest.approx(0.8, abs=0.12)


def test_equal_answers_on_few_rows() -> None:
    """Two systems that never differ: as many rows as rule out what would matter."""
    found = rows_to_settle(0.0, 0.0, 30, ACCURACY)
    assert found.likely == found.half == 42
    assert rows_to_settle(0.0, 0.0, 100, ACCURACY).likely == 0
    assert detectable(0.0, ACCURACY, 30) == pytest.approx(7.906 / 30)


def test_what_cannot_be_compared() -> None:
    first, second, verdict = compared([True] * 20, [False] * 20)
    assert power(first, {}, verdict) is None
    assert power(first, {"other": second}, judge(first, {})) is None
    infinite = np.array([np.inf, 1.0])
    assert standard_error(infinite, np.ones(2), 10) == np.inf


@pytest.mark.parametrize(("number", "text"), [(7, 7), (99, 99), (101, 110), (1_234, 1_300)])
def test_round_up(number: int, text: int) -> None:
    assert round_up(number) == text
