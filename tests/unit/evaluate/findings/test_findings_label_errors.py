"""Planted wrong labels are found, by rows that were not learnt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from findings_fakes import rows

from tinyforge.errors import DataError
from tinyforge.evaluate.findings.label_errors import (
    FOLDS,
    confident_joint,
    find_label_errors,
    folds_of,
    suspects_of,
)
from tinyforge.records.examples import Example

TOPICS = {
    "money": ["bank", "card", "loan", "price", "cash", "fee"],
    "sport": ["goal", "team", "match", "coach", "race", "score"],
    "food": ["bread", "soup", "salt", "oven", "taste", "plate"],
}
COMMON = ["the", "a", "we", "have", "some", "very", "about", "today", "again", "more"]


def planted(count: int, share: float, seed: int = 0) -> tuple[list[Example], np.ndarray]:
    """Rows about three topics, and which of them were given a wrong label."""
    random = np.random.default_rng(seed)
    names = list(TOPICS)
    true = random.integers(0, 3, count)
    inputs = [
        " ".join([*random.choice(TOPICS[names[t]], 2), *random.choice(COMMON, 5)]) + f" {i}"
        for i, t in enumerate(true)
    ]
    wrong = random.random(count) < share
    given = np.where(wrong, (true + random.integers(1, 3, count)) % 3, true)
    return rows([names[g] for g in given], inputs), wrong


def test_planted_noise_is_found() -> None:
    examples, wrong = planted(600, 0.05)
    found = find_label_errors(examples)
    hit = [bool(wrong[suspect.row]) for suspect in found.suspects]
    assert np.mean(hit) > 0.85
    assert sum(hit) > 0.75 * wrong.sum()
    assert found.agreement > 0.9
    assert abs(found.estimated - wrong.sum()) < 0.5 * wrong.sum()
    scores = [suspect.score for suspect in found.suspects]
    assert scores == sorted(scores, reverse=True)
    first = found.suspects[0]
    assert first.where == f"test.jsonl:{first.row + 1}"
    assert first.given != first.suggested
    assert first.p_suggested > first.p_given
    assert sum(pair.rows for pair in found.pairs) == len(found.suspects)
    assert first.where in found.sentence


def test_clean_labels_raise_little_suspicion() -> None:
    examples, _ = planted(600, 0.0)
    assert find_label_errors(examples).share < 0.01


def test_the_same_seed_gives_the_same_suspects() -> None:
    examples, _ = planted(200, 0.1)
    assert find_label_errors(examples, seed=3) == find_label_errors(examples, seed=3)


def test_a_trained_models_view_counts() -> None:
    """Where the words say nothing, a model that knows better finds the wrong labels."""
    examples = rows(["a", "b"] * 100, ["nothing to see"] * 200)
    known = np.tile([[0.95, 0.05], [0.05, 0.95]], (100, 1))
    known[10] = known[10][::-1]
    known[150:] = np.nan
    found = find_label_errors(examples, known=known, labels=("a", "b"), margin=0.2)
    assert [suspect.row for suspect in found.suspects][:1] == [10]


def test_vectors_count() -> None:
    random = np.random.default_rng(0)
    own = np.arange(200) % 2
    vectors = random.standard_normal((200, 8)) + 4.0 * own[:, None]
    given = own.copy()
    given[[6, 7]] = 1 - given[[6, 7]]
    examples = rows([f"label {g}" for g in given], ["nothing to see"] * 200)
    found = find_label_errors(examples, vectors=vectors, margin=0.2)
    assert {6, 7} <= {suspect.row for suspect in found.suspects}


def test_the_confident_joint_of_a_worked_example() -> None:
    """Two labels with thresholds 0.7 and 0.8; one row of label 0 is confidently label 1."""
    own = np.array([0, 0, 0, 1, 1])
    first = np.array([0.9, 0.95, 0.25, 0.3, 0.1])
    found = confident_joint(own, np.stack([first, 1 - first], axis=1))
    assert found.thresholds == pytest.approx([0.7, 0.8])
    assert found.likely.tolist() == [0, 0, -1, -1, 1]
    first[2] = 0.15
    found = confident_joint(own, np.stack([first, 1 - first], axis=1))
    assert found.counts.tolist() == [[2, 1], [0, 1]]
    assert found.joint == pytest.approx(np.array([[2, 1], [0, 2]]))
    suspects, likely, scores = suspects_of(own, np.stack([first, 1 - first], axis=1))
    assert suspects.tolist() == [2]
    assert likely.tolist() == [1]
    assert scores == pytest.approx([0.7])


def test_folds_keep_clusters_together_and_labels_spread() -> None:
    own = np.repeat([0, 1], [300, 100])
    clusters = np.arange(400) // 2
    folds = folds_of(own, clusters, seed=0)
    assert (folds[0::2] == folds[1::2]).all()
    counts = np.array([np.bincount(folds[own == label], minlength=FOLDS) for label in (0, 1)])
    assert (counts.max(axis=1) - counts.min(axis=1) <= 2).all()


@pytest.mark.parametrize(
    ("examples", "what"),
    [
        (rows(["a", "b"] * 10), "at least 50 rows"),
        (rows(["a"] * 60), "two labels"),
        ([Example("x", labels=("a", "b"))] * 60, "one label each"),
        ([Example("x")] * 60, "one label each"),
    ],
)
def test_rows_that_cannot_be_looked_at(examples: list[Example], what: str) -> None:
    with pytest.raises(DataError, match=what):
        find_label_errors(examples)


def test_suspects_are_written_for_review(tmp_path: Path) -> None:
    import csv
    import json

    from tinyforge.recipes.label_errors import write_suspects

    examples, _ = planted(200, 0.1)
    suspects = find_label_errors(examples).suspects
    write_suspects(suspects, tmp_path / "a.csv")
    write_suspects(suspects, tmp_path / "a.jsonl")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [row["where"] for row in table] == [s.where for s in suspects]
    assert [row["suggested"] for row in lines] == [s.suggested for s in suspects]
