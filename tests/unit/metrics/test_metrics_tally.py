"""Bootstrap, randomisation, likelihood, calibration, and the table of metrics."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tinyforge.metrics import (
    METRICS,
    TASK_METRICS,
    better_first,
    primary_for_answers,
    primary_for_labels,
)
from tinyforge.metrics.calibration import calibration_tally
from tinyforge.metrics.classification import label_tallies
from tinyforge.metrics.likelihood import likelihood_tallies
from tinyforge.metrics.tally import (
    Means,
    bootstrap,
    mean_tally,
    percentile_interval,
    randomisation_p,
    widest_unseen,
)
from tinyforge.records.predictions import Likelihood


def test_bootstrap_of_a_mean_has_its_standard_error() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    drawn = bootstrap({"mean": mean_tally(values)}, samples=4000, seed=1)["mean"]
    assert drawn.mean() == pytest.approx(values.mean(), abs=0.01)
    assert drawn.std() == pytest.approx(values.std() / 20, rel=0.05)


def test_bootstrap_equals_scoring_the_drawn_rows_again() -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(3)
    gold = generator.choice(list("abc"), 40, p=[0.6, 0.35, 0.05])
    answered = generator.choice(list("abc"), 40)
    drawn = bootstrap(label_tallies(list(gold), list(answered), "abc"), samples=100, seed=7)
    repeat = np.random.default_rng([7, 40])
    for i in range(20):
        rows = repeat.integers(0, 40, 40)
        expected = f1_score(gold[rows], answered[rows], average="macro", zero_division=0)
        assert drawn["macro_f1"][i] == pytest.approx(expected)


def test_same_seed_draws_the_same_rows_for_every_system_in_any_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = mean_tally(np.arange(50.0)), mean_tally(np.arange(50.0) + 1)
    a = bootstrap({"m": first}, samples=100, seed=5)["m"]
    monkeypatch.setattr("tinyforge.metrics.tally._CELLS", 333)
    b = bootstrap({"m": second}, samples=100, seed=5)["m"]
    np.testing.assert_allclose(b - a, 1)


def test_rows_of_a_group_are_drawn_together() -> None:
    values = np.repeat([0.0, 1.0], 50)
    groups = np.repeat([0, 1], 50)
    joined = mean_tally(values).grouped(groups)
    assert joined.rows == 2
    assert joined.value() == 0.5
    assert set(bootstrap({"m": joined}, samples=100, seed=0)["m"]) == {0.0, 0.5, 1.0}
    tallies = label_tallies(["a", "b", "a"], ["a", "a", "b"], "ab")
    grouped = tallies["macro_f1"].grouped(np.array([0, 0, 1]))
    assert grouped.rows == 2
    assert grouped.value() == pytest.approx(tallies["macro_f1"].value())


def test_groups_are_joined_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    groups = generator.permutation(np.repeat(np.arange(23), 3))
    gold = [str(i) for i in generator.integers(0, 3, 69)]
    tallies = [mean_tally(generator.random(69)), label_tallies(gold, gold[::-1], "012")["macro_f1"]]
    for tally in tallies:
        whole = tally.grouped(groups)
        monkeypatch.setattr("tinyforge.metrics.tally._JOINED", 5)
        parts = tally.grouped(groups)
        monkeypatch.undo()
        weights = generator.integers(0, 3, (4, 23)).astype(float)
        np.testing.assert_allclose(whole.weighted(weights, {}), parts.weighted(weights, {}))
        np.testing.assert_allclose(
            whole.weighted(weights, {}), tally.weighted(weights[:, groups], {})
        )


def test_several_means_share_their_statistics() -> None:
    means = Means(["a", "b"])
    means.add({"a": [1.0, 2.0], "b": [0.0, 1.0]})
    means.add({"a": [6.0], "b": [1.0]})
    tallies = means.close()
    assert {name: tally.value() for name, tally in tallies.items()} == {
        "a": 3.0, "b": pytest.approx(2 / 3),
    }  # fmt: skip


def test_randomisation_agrees_with_the_sign_test() -> None:
    ours, theirs = np.ones(20), np.ones(20)
    theirs[:5] = 0
    p = randomisation_p(mean_tally(ours), mean_tally(theirs), samples=20_000, seed=0, sign=1)
    assert p == pytest.approx(1 / 32, abs=0.005)
    assert randomisation_p(mean_tally(theirs), mean_tally(ours), samples=500, seed=0, sign=1) == 1
    assert randomisation_p(mean_tally(ours), mean_tally(ours), samples=500, seed=0, sign=1) == 1


def test_randomisation_of_counts_by_label() -> None:
    gold = ["a", "b"] * 20
    ours = label_tallies(gold, gold, "ab")["macro_f1"]
    theirs = label_tallies(gold, ["b", "a"] * 20, "ab")["macro_f1"]
    assert randomisation_p(ours, theirs, samples=500, seed=0, sign=1) == pytest.approx(1 / 501)


def test_interval_takes_the_middle_and_bears_infinity() -> None:
    low, high = percentile_interval(np.arange(1001.0))
    assert (low, high) == (25, 975)
    assert percentile_interval(np.array([math.inf] * 10)) == (math.inf, math.inf)
    assert widest_unseen(100) == pytest.approx(0.0362, abs=1e-4)


def test_likelihoods() -> None:
    tallies = likelihood_tallies([Likelihood(2.0, 2, 4, 3), Likelihood(4.0, 1, 4, 2)])
    assert tallies["bits_per_character"].value() == pytest.approx(6 / 5 / math.log(2))
    assert tallies["perplexity"].value() == pytest.approx(math.exp(2))
    assert tallies["bits_per_byte"].value() == pytest.approx(6 / 8 / math.log(2))
    assert set(likelihood_tallies([Likelihood(2.0, 0, 4)])) == {"bits_per_byte"}
    assert likelihood_tallies([]) == {}
    assert likelihood_tallies([Likelihood(1e6, 1, 4)])["perplexity"].value() == math.inf


def test_calibration_error() -> None:
    right = np.array([True, False, True, True])
    assert calibration_tally([0.5, 0.5, 1.0, 1.0], right).value() == pytest.approx(0)
    assert calibration_tally([0.9, 0.9, 0.9, 0.9], right).value() == pytest.approx(0.15)
    assert calibration_tally([0.0, 1.0, 1.0, 1.0], ~right).value() == pytest.approx(0.5)


def test_every_task_names_known_metrics() -> None:
    assert all(name in METRICS for names in TASK_METRICS.values() for name in names)


@pytest.mark.parametrize(
    ("gold", "name"),
    [(["a"] * 8 + ["b"] * 2, "accuracy"), (["a"] * 9 + ["b"], "macro_f1"), (["a"], "macro_f1")],
)
def test_headline_of_labels(gold: list[str], name: str) -> None:
    assert primary_for_labels(gold).name == name
    counts = {label: gold.count(label) for label in gold}
    assert primary_for_labels(counts) == primary_for_labels(gold)


def test_headline_of_answers() -> None:
    sentences = [f"the {i} quick brown foxes of number {i * 7} jump over dogs" for i in range(30)]
    reversed_ = [" ".join(reversed(text.split())) for text in sentences]
    inputs = ["reverse: " + text for text in sentences]
    assert primary_for_answers(sentences, ["yes", "no", "not at all"] * 10).name == "exact_match"
    assert primary_for_answers(inputs, reversed_).name == "exact_match"
    assert primary_for_answers([""] * 30, sentences).name == "chrf"
    assert primary_for_answers([""] * 30, sentences[:15] * 2).name == "exact_match"
    actions = [f"walk left jump turn right run look {'walk ' * i}" for i in range(30)]
    assert primary_for_answers(sentences, actions).name == "exact_match"


def test_better_first_knows_which_way_is_up() -> None:
    assert better_first({"a": 1, "b": 2}, "accuracy") == ["b", "a"]
    assert better_first({"a": 1, "b": 2}, "bits_per_byte") == ["a", "b"]
