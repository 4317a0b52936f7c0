"""The verdict, and that it does not call equal systems better."""

from __future__ import annotations

import numpy as np
import pytest
from evaluate_fakes import SETTINGS, Surprised, judged

from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.run import evaluate
from tinyforge.evaluate.verdict import Verdict, judge
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
    with pytest.raises(ValueError, match="same rows"):
        judge(judged(gold, gold), {"other": judged(gold, gold, seed=1)})


@pytest.mark.parametrize("rows", [12, 40])
@pytest.mark.parametrize("accuracy", [0.6, 0.9])
def test_equal_systems_are_rarely_called_better(rows: int, accuracy: float) -> None:
    """Two systems, each right with the same chance, independently: at most 5 % 'better'."""
    generator = np.random.default_rng(rows)
    gold = np.array(["yes", "no"] * (rows // 2))
    wrong = np.array(["no", "yes"] * (rows // 2))
    better = 0
    trials = 150
    for _ in range(trials):
        first, second = (np.where(generator.random(rows) < accuracy, gold, wrong) for _ in "ab")
        result = judge(judged(list(gold), list(first)), {"b": judged(list(gold), list(second))})
        better += result.word == "better"
    assert better <= 0.05 * trials


def test_a_real_gain_is_found() -> None:
    generator = np.random.default_rng(0)
    gold = np.array(["yes", "no"] * 150)
    wrong = np.array(["no", "yes"] * 150)
    found = 0
    for _ in range(30):
        first = np.where(generator.random(300) < 0.9, gold, wrong)
        second = np.where(generator.random(300) < 0.75, gold, wrong)
        result = judge(judged(list(gold), list(first)), {"b": judged(list(gold), list(second))})
        found += result.word == "better"
    assert found >= 28
