"""Several models on the same rows: pairs, ranks, flips and their tests."""

from __future__ import annotations

import json

import numpy as np
import pytest
from evaluate_fakes import judged, labelled
from hypothesis import given, settings
from hypothesis import strategies as st
from verdict_fakes import measured

from tinyforge.evaluate.compared import build_comparison, changed_rows
from tinyforge.evaluate.evaluation import Evaluation
from tinyforge.evaluate.pairs import flips, holm, rank, sign_test
from tinyforge.metrics.tally import mean_tally

GOLD = ["yes", "no"] * 100


def answers(wrong: range) -> list[str]:
    other = {"yes": "no", "no": "yes"}
    return [other[gold] if i in wrong else gold for i, gold in enumerate(GOLD)]


def systems(**wrong: range) -> dict[str, Evaluation]:
    return {name: judged(GOLD, answers(rows), name=name) for name, rows in wrong.items()}


def test_a_better_model_is_ranked_first_with_what_changed() -> None:
    found = rank(systems(old=range(60), new=range(50, 80)))
    assert (found.word, found.best, found.order) == ("better", "new", ["new", "old"])
    assert found.ranks == {"new": 1, "old": 2}
    (pair,) = found.pairs
    assert (pair.before, pair.after, pair.word) == ("old", "new", "better")
    assert pair.comparison.difference == pytest.approx(0.15)
    assert pair.flips.gained.tolist() == list(range(50))
    assert sorted(pair.flips.lost.tolist()) == list(range(60, 80))
    assert (pair.flips.same, pair.flips.both_right, pair.flips.both_wrong) == (130, 120, 10)
    assert pair.flips.rewritten == 70
    assert found.sentence.startswith("Better: new beats old: Accuracy 85.0 % against 70.0 % on 200")
    worse = rank(systems(new=range(50, 80), old=range(60)))
    assert (worse.word, worse.best) == ("worse", "new")


def test_a_handful_of_rows_tells_nothing() -> None:
    gold = ["yes", "no"] * 4
    found = rank({"old": judged(gold, gold[::-1]), "new": judged(gold, gold)})
    assert found.pairs[0].comparison.low > 0
    assert (found.word, found.best) == ("cannot tell", None)


def test_mcnemar_is_the_exact_binomial_test() -> None:
    from scipy.stats import binomtest

    pair = rank(systems(old=range(60), new=range(50, 80))).pairs[0]
    assert pair.flips.p_value == pytest.approx(binomtest(50, 70, 0.5).pvalue)
    assert sign_test(0, 0) == 1.0
    assert sign_test(3, 3) == 1.0
    assert sign_test(0, 6) == pytest.approx(2 * 0.5**6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(a >= p for a, p in zip(adjusted, p_values, strict=True))
    assert max(adjusted) <= 1
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_holm_on_figures_worked_out_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5]) == [0.5]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60))
def test_a_model_is_never_better_than_itself(right: list[bool]) -> None:
    value = np.array(right, dtype=float)
    same = {
        name: measured("accuracy", mean_tally(value), name=name, task="classify", quality=value,
                       answers=["x"] * len(right))
        for name in ("a", "b")
    }  # fmt: skip
    found = rank(same)
    assert found.word in ("alike", "cannot tell")
    assert found.best is None
    assert len(found.pairs[0].flips.gained) == len(found.pairs[0].flips.lost) == 0
    assert found.pairs[0].flips.same == len(right)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_flips_add_up(rows: list[tuple[bool, bool]]) -> None:
    first, second = (np.array(side, dtype=float) for side in zip(*rows, strict=True))
    before, after = (
        measured("accuracy", mean_tally(value), task="classify", quality=value,
                 answers=["x"] * len(rows))
        for value in (first, second)
    )  # fmt: skip
    found = flips(before, after)
    assert len(found.gained) + len(found.lost) + found.same == len(rows)
    assert found.both_right is not None
    assert found.both_wrong is not None
    assert found.both_right + found.both_wrong == found.same
    assert second.sum() - first.sum() == len(found.gained) - len(found.lost)
    back = flips(after, before)
    assert sorted(back.gained) == sorted(found.lost)
    assert back.p_value == pytest.approx(found.p_value)


def test_written_answers_get_better_and_worse() -> None:
    before, after = np.array([0.2, 0.9, 0.5, 1.0]), np.array([0.6, 0.3, 0.5, 1.0])
    old, new = (
        measured("chrf", mean_tally(100 * value), quality=value, answers=list("wxyz"))
        for value in (before, after)
    )
    found = flips(old, new)
    assert not found.right_or_wrong
    assert (found.gained.tolist(), found.lost.tolist(), found.same) == ([0], [1], 2)
    assert found.both_right is None


def test_rows_of_a_group_are_one_vote() -> None:
    """Forty wins that all come from one group are no evidence of anything."""
    before, after = np.zeros(60), np.r_[np.ones(40), np.zeros(20)]
    groups = np.r_[np.zeros(40, int), np.arange(1, 21)]
    old, new = (
        measured("accuracy", mean_tally(value), task="classify", quality=value, groups=groups,
                 answers=["x"] * 60)
        for value in (before, after)
    )  # fmt: skip
    assert len(flips(old, new).gained) == 40
    assert flips(old, new).p_value == 1.0


def test_three_models_where_none_beats_all() -> None:
    found = rank(systems(a=range(80), b=range(30), c=range(2, 32)))
    assert found.best is None
    assert found.ranks == {"b": 1, "c": 1, "a": 3}
    assert "not beaten: b, c" in found.sentence
    assert [pair.adjusted_p >= pair.p_value for pair in found.pairs] == [True] * 3


def test_models_on_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="same rows"):
        rank({"a": judged(GOLD, GOLD), "b": judged(GOLD[:100], GOLD[:100])})


def test_plain_data_of_a_comparison() -> None:
    evaluations = systems(old=range(60), new=range(50, 80))
    ranking = rank(evaluations)
    examples = labelled(GOLD)
    content = build_comparison(
        evaluations, ranking, examples, costs={}, data={"read": 200}, machine={}, command="c"
    )
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert [model["rank"] for model in content["models"]] == [2, 1]
    (pair,) = content["pairs"]
    assert (pair["flips"]["gained"], pair["flips"]["lost"], pair["flips"]["same"]) == (50, 20, 130)
    row = pair["rows"][0]
    assert row["change"] == "lost"
    assert row["before"]["output"] == row["expected"] != row["after"]["output"]
    assert row["before"]["model"] == row["after"]["model"] == "abc123"
    every = list(changed_rows(ranking.pairs[0], evaluations, examples))
    assert len(every) == 70
