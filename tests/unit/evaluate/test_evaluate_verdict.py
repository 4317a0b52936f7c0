"""The verdict, row by row; ``test_verdict_honesty.py`` plays it against known systems."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_fakes import SETTINGS, Surprised, judged
from verdict_fakes import measured

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict, judge
from tinyforge.metrics.tally import mean_tally
from tinyforge.records.examples import Example


def answers(right: int, rows: int, *, at: int = 0) -> list[str]:
    """``right`` right answers to the question yes/no/yes/no..., beginning at row ``at``."""
    gold = ["yes", "no"] * (rows // 2)
    wrong = ["no", "yes"] * (rows // 2)
    hits = {(at + i) % rows for i in range(right)}
    return [gold[i] if i in hits else wrong[i] for i in range(rows)]


def verdict(ours: int, rows: int, **others: int) -> Verdict:
    gold = ["yes", "no"] * (rows // 2)
    return judge(
        judged(gold, answers(ours, rows)),
        {
            name: judged(gold, answers(right, rows, at=rows // 3), name=name)
            for name, right in others.items()
        },
    )


def test_better_than_every_baseline() -> None:
    result = verdict(380, 400, weak=200, strong=340)
    assert result.word == "better"
    assert result.best_baseline == "strong"
    assert [c.name for c in result.comparisons] == ["strong", "weak"]
    assert result.sentence.startswith(
        "Better: 95.0 % of 400 unseen rows right, against 85.0 % for strong (difference +10.0 "
        "points, 95 % interval +"
    )
    assert result.difference == pytest.approx(0.1)
    assert result.low is not None
    assert 0.05 < result.low < 0.1


def test_worse_than_one_baseline_is_not_better() -> None:
    result = verdict(300, 400, weak=200, strong=380)
    assert result.word == "not better"
    assert "−20.0 points" in result.sentence
    assert "the baseline is ahead" in result.sentence


def test_a_small_difference_on_few_rows_cannot_be_told() -> None:
    result = verdict(27, 40, other=25)
    assert result.word == "cannot tell"
    assert "may be chance" in result.sentence


def test_equal_on_many_rows_is_not_better() -> None:
    gold = ["yes", "no"] * 200
    same = answers(300, 400)
    result = judge(judged(gold, same), {"twin": judged(gold, same, name="twin")})
    assert result.word == "not better"
    few = judge(judged(gold[:20], same[:20]), {"twin": judged(gold[:20], same[:20])})
    assert few.word == "cannot tell"


def test_too_few_rows() -> None:
    result = verdict(8, 8, other=0)
    assert result.word == "cannot tell"
    assert "8 independent test rows are too few" in result.sentence


def test_every_baseline_must_be_beaten() -> None:
    """The best baseline is beaten, each time on the same rows; a noisier, worse one is not."""
    gold = ["yes", "no"] * 20
    ours = answers(30, 40)
    near = answers(20, 40)
    far = answers(19, 40, at=21)
    result = judge(
        judged(gold, ours),
        {"near": judged(gold, near, name="near"), "far": judged(gold, far, name="far")},
    )
    best, other = result.comparisons
    assert best.name == "near"
    assert best.beaten
    assert not other.beaten
    assert result.word == "cannot tell"
    assert "for far" in result.sentence


def test_few_rows_need_more_than_the_bootstrap() -> None:
    """Four wins and no loss: the bootstrap is sure, but a coin does that one time in sixteen."""
    gold = ["yes", "no"] * 10
    result = judge(judged(gold, gold), {"other": judged(gold, answers(16, 20), name="other")})
    assert result.low is not None
    assert result.low > 0
    assert result.word == "cannot tell"
    assert "randomisation test" in result.sentence


def test_nothing_to_compare_with() -> None:
    assert judge(None, {}).word == "cannot tell"
    alone = judge(judged(["yes", "no"] * 10, ["yes"] * 20), {})
    assert alone.word == "cannot tell"
    assert "no baseline" in alone.sentence


def test_lower_is_better_for_bits_per_byte() -> None:
    examples = [Example(output=f"some text {i}") for i in range(30)]

    def measured(bits: float) -> Evaluation:
        return evaluate(
            Surprised(bits), examples, task="language-model", settings=SETTINGS, seed=0,
            name="the model before training",
        )  # fmt: skip

    result = judge(measured(2.0), {"untuned_model": measured(2.5)})
    assert result.word == "better"
    assert result.difference == pytest.approx(0.5)
    assert "Bits per byte 2.000 (lower is better) on 30 unseen rows" in result.sentence
    assert judge(measured(2.5), {"untuned_model": measured(2.0)}).word == "not better"
    assert judge(measured(2.001), {"untuned_model": measured(2.0)}).word == "not better"


def test_other_rows_cannot_be_compared() -> None:
    gold = ["yes", "no"] * 10
    with pytest.raises(ValueError, match="same rows"):
        judge(judged(gold, gold), {"other": judged(gold[::-1], gold)})
    with pytest.raises(ValueError, match="same labels"):
        judge(judged(gold, gold), {"other": judged(["yes", "no", "maybe"] * 8, ["yes"] * 24)})


def test_other_draws_of_the_same_rows_are_drawn_anew() -> None:
    ours, theirs = answers(360, 400), answers(300, 400, at=100)
    gold = ["yes", "no"] * 200
    same = judge(judged(gold, ours), {"b": judged(gold, theirs, name="b")})
    other = judge(judged(gold, ours), {"b": judged(gold, theirs, name="b", seed=1)})
    assert same == other


def test_a_baseline_judged_on_some_rows_is_compared_on_those() -> None:
    """The difference, its interval and the sentence are those of the rows that both answered."""
    rng = np.random.default_rng(0)
    ours, theirs = rng.random(600) < 0.9, rng.random(600) < 0.7
    some = np.sort(rng.choice(600, 200, replace=False))
    whole = measured("accuracy", mean_tally(ours))
    part = measured("accuracy", mean_tally(theirs[some]), keys=some, name="few-shot")
    result = judge(whole, {"few_shot": part})
    (comparison,) = result.comparisons
    assert (comparison.rows, comparison.groups) == (200, 200)
    assert comparison.ours == pytest.approx(ours[some].mean())
    assert comparison.theirs == pytest.approx(theirs[some].mean())
    alone = judge(
        measured("accuracy", mean_tally(ours[some]), keys=some),
        {"few_shot": part},
    )
    assert (result.low, result.high) == (alone.low, alone.high)
    assert result.word == "better"
    assert "200 unseen rows right" in result.sentence
    assert f"(this model has {100 * ours.mean():.1f} % on all 600 rows)" in result.sentence


def test_groups_stay_together_on_common_rows() -> None:
    groups = np.arange(300) // 3
    value = (np.arange(300) // 3 % 4 > 0).astype(float)
    some = np.arange(0, 300, 2)
    whole = measured("accuracy", mean_tally(value), groups=groups)
    part = measured("accuracy", mean_tally(value[some]), keys=some, groups=groups[some])
    assert judge(whole, {"b": part}).comparisons[0].groups == 100


def test_one_lost_row_in_forty_is_no_proof_of_being_worse() -> None:
    """A bootstrap of one loss and no win never draws a win; rows not seen may well hold some."""
    gold = ["yes", "no"] * 20
    result = judge(judged(gold, answers(39, 40)), {"b": judged(gold, gold, name="b")})
    assert result.word == "cannot tell"
    assert result.high is not None
    assert result.high > 0.05
    won = judge(judged(gold, gold), {"b": judged(gold, answers(39, 40), name="b")})
    assert won.word == "cannot tell"
    assert won.low is not None
    assert won.low < -0.05


def test_being_behind_needs_more_than_the_bootstrap_too() -> None:
    gold = ["yes", "no"] * 10
    four = judge(judged(gold, answers(16, 20)), {"b": judged(gold, gold, name="b")})
    assert not four.comparisons[0].behind
    eight = judge(judged(gold, answers(12, 20)), {"b": judged(gold, gold, name="b")})
    assert eight.comparisons[0].behind
    assert eight.word == "not better"


def test_rows_that_may_have_been_seen_are_not_called_unseen() -> None:
    gold = ["yes", "no"] * 100
    mine, other = judged(gold, gold), judged(gold, answers(100, 200), name="b")
    assert "unseen" not in judge(mine, {"b": other}, unseen=False).sentence
    assert "unseen" not in judge(mine, {}, unseen=False).sentence


def test_intervals_for_few_rows_are_as_wide_as_students() -> None:
    """Means of ten normal numbers: the 95 % interval holds the truth about 95 times in a hundred.

    The plain percentile interval does so only nine times in ten.
    """
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        difference = rng.normal(0.3, 1, 10)
        mine = measured("bits_per_byte", mean_tally(-difference), seed=trial, draws=300)
        other = measured("bits_per_byte", mean_tally(np.zeros(10)), seed=trial, draws=300)
        found = judge(mine, {"b": other}).comparisons[0]
        held += found.low <= 0.3 <= found.high
    assert 0.92 <= held / 200 <= 0.985
