"""AUROC and average precision against scikit-learn, with any weights, and their resamples."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from tinyforge.metrics.ranking import areas_of, rank_tallies
from tinyforge.metrics.tally import bootstrap, mean_tally, randomisation_p

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.25, 0.5, 0.9]), st.booleans(), st.integers(0, 3)),
    min_size=4,
    max_size=40,
).filter(lambda rows: len({truth for _, truth, _ in rows}) == 2)


def test_values_of_scikit_learns_own_examples() -> None:
    """The examples of roc_auc_score's and average_precision_score's documentation."""
    tallies = rank_tallies(
        np.array([[0.1], [0.4], [0.35], [0.8]]), np.array([[False], [False], [True], [True]])
    )
    assert tallies["auroc"].value() == 0.75
    assert tallies["average_precision"].value() == pytest.approx(0.83, abs=0.005)


@settings(deadline=None)
@given(ROWS)
def test_weighted_values_equal_scikit_learn(rows: list[tuple[float, bool, int]]) -> None:
    scores, truth = np.array([[r[0]] for r in rows]), np.array([[r[1]] for r in rows])
    weights = np.array([r[2] for r in rows], dtype=float)
    tallies = rank_tallies(scores, truth)
    flat = truth[:, 0]
    for weight in (np.ones(len(rows)), weights):
        drawn = {name: t.weighted(weight[None], {})[0] for name, t in tallies.items()}
        right, wrong = weight[flat].sum(), weight[~flat].sum()
        area = roc_auc_score(flat, scores[:, 0], sample_weight=weight) if right * wrong else 0.5
        assert drawn["auroc"] == pytest.approx(area)
        precision = (
            average_precision_score(flat, scores[:, 0], sample_weight=weight) if right else 0.0
        )
        assert drawn["average_precision"] == pytest.approx(precision)
    assert tallies["auroc"].value() == pytest.approx(roc_auc_score(flat, scores[:, 0]))
    once = areas_of(scores.T, flat)
    assert once["auroc"][0] == pytest.approx(tallies["auroc"].value())
    assert once["average_precision"][0] == pytest.approx(tallies["average_precision"].value())


def test_several_labels_are_averaged_one_against_the_rest() -> None:
    generator = np.random.default_rng(0)
    gold = generator.integers(0, 4, 200)
    scores = generator.random((200, 5)) + 0.3 * np.eye(5)[gold]
    truth = gold[:, None] == np.arange(5)
    tallies = rank_tallies(scores, truth)
    used = range(4)  # nobody carries the last label, so it does not count
    for name, metric in (("auroc", roc_auc_score), ("average_precision", average_precision_score)):
        expected = np.mean([metric(truth[:, i], scores[:, i]) for i in used])
        assert tallies[name].value() == pytest.approx(expected)


def test_bootstrap_equals_scoring_the_drawn_rows_again() -> None:
    generator = np.random.default_rng(1)
    truth = generator.random(50) < 0.4
    scores = np.round(generator.random(50) + 0.3 * truth, 1)
    drawn = bootstrap(rank_tallies(scores[:, None], truth[:, None]), samples=100, seed=7)
    repeat = np.random.default_rng([7, 50])
    for i in range(25):
        rows = repeat.integers(0, 50, 50)
        assert drawn["auroc"][i] == pytest.approx(roc_auc_score(truth[rows], scores[rows]))
        expected = average_precision_score(truth[rows], scores[rows])
        assert drawn["average_precision"][i] == pytest.approx(expected)


def test_same_rows_as_other_metrics_in_any_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    truth = generator.random((60, 3)) < 0.4
    scores = generator.random((60, 3))
    tallies = rank_tallies(scores, truth) | {"mean": mean_tally(scores[:, 0])}
    whole = bootstrap(tallies, samples=120, seed=3)
    monkeypatch.setattr("tinyforge.metrics.tally._CELLS", 500)
    parts = bootstrap(tallies, samples=120, seed=3)
    for name in tallies:
        np.testing.assert_allclose(whole[name], parts[name])


def test_rows_of_a_group_are_drawn_together() -> None:
    generator = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 3)
    truth = generator.random((60, 2)) < 0.5
    scores = np.round(generator.random((60, 2)), 1)
    tally = rank_tallies(scores, truth)["auroc"]
    joined = tally.grouped(groups)
    assert joined.rows == 20
    assert joined.value() == pytest.approx(tally.value())
    weights = generator.integers(0, 3, 20).astype(float)
    assert joined.weighted(weights[None], {})[0] == pytest.approx(
        tally.weighted(weights[groups][None], {})[0]
    )
    assert tally.grouped(np.arange(60)) is tally


def test_a_draw_without_one_kind_of_row_says_nothing() -> None:
    tallies = rank_tallies(np.array([[0.2], [0.8]]), np.array([[False], [True]]))
    nothing = np.array([[2.0, 0.0]])
    assert tallies["auroc"].weighted(nothing, {})[0] == 0.5
    assert tallies["average_precision"].weighted(nothing, {})[0] == 0
    assert rank_tallies(np.array([[0.2], [0.8]]), np.array([[True], [True]])) == {}


def test_randomisation_of_ranks() -> None:
    generator = np.random.default_rng(5)
    truth = generator.random(80) < 0.5
    good = 100 * (truth + generator.normal(0, 0.4, 80))
    poor, other = generator.random(80), generator.random(80)
    tallies = [rank_tallies(s[:, None], truth[:, None])["auroc"] for s in (good, poor, other)]
    assert randomisation_p(tallies[0], tallies[1], samples=300, seed=0, sign=1) < 0.02
    assert randomisation_p(tallies[1], tallies[0], samples=300, seed=0, sign=1) > 0.9
    assert randomisation_p(tallies[1], tallies[2], samples=300, seed=0, sign=1) > 0.02
    grouped = [t.grouped(np.arange(80) // 2) for t in tallies]
    assert randomisation_p(grouped[0], grouped[1], samples=300, seed=0, sign=1) < 0.05


def test_equal_systems_are_rarely_told_apart() -> None:
    """p at or below 0.05 in at most about 5 % of comparisons of systems that are alike."""
    generator = np.random.default_rng(6)
    hits = 0
    for _ in range(100):
        truth = np.arange(60) % 2 == 0
        scores = [truth + generator.normal(0, 1, 60) for _ in "ab"]
        a, b = (rank_tallies(s[:, None], truth[:, None])["auroc"] for s in scores)
        hits += randomisation_p(a, b, samples=99, seed=0, sign=1) <= 0.05
    assert hits <= 11


def test_other_kinds_of_metric_cannot_be_exchanged() -> None:
    tally = rank_tallies(np.array([[0.2], [0.8]]), np.array([[False], [True]]))["auroc"]
    with pytest.raises(TypeError):
        next(iter(tally.exchanged(mean_tally(np.ones(2)), 10, 0)))
    with pytest.raises(TypeError):
        next(iter(mean_tally(np.ones(2)).exchanged(tally, 10, 0)))
