"""Slices that are planted are found, and none is found in noise."""

from __future__ import annotations

import numpy as np
import pytest
from findings_fakes import judged, rows, yes_no
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.evaluate.findings.slice_features import Candidates, candidates
from tinyforge.evaluate.findings.slices import (
    difference_interval,
    find_slices,
    fisher,
    holm,
    slice_tests,
)
from tinyforge.records.examples import Example
from tinyforge.records.rows import Source

WORDS = [a + b for a in "bcdfghjklmnpqrstvwxz" for b in "aeiouy"]


def texts(count: int, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    chances = 1 / np.arange(1, len(WORDS) + 1)
    chances /= chances.sum()
    return [" ".join(random.choice(WORDS, random.integers(3, 12), p=chances)) for _ in range(count)]


def test_a_word_that_marks_errors_is_found() -> None:
    random = np.random.default_rng(0)
    inputs = texts(800)
    bad = [i for i in range(800) if i % 16 == 0]
    for i in bad:
        inputs[i] += " please refund"
    right = random.random(800) < 0.9
    right[bad] = random.random(len(bad)) < 0.3
    evaluation, examples = yes_no(list(right), inputs)
    found = find_slices(evaluation, examples)
    assert found is not None
    (slice_,) = found.found
    assert slice_.kind in ("word", "pair")
    assert slice_.rows == len(bad)
    assert slice_.inside == pytest.approx(right[bad].mean())
    assert slice_.low < slice_.difference < slice_.high < 0
    assert slice_.p < 0.001
    assert {"with “please”", "with “refund”", "with “please refund”"} <= {
        slice_.name, *slice_.also,
    }  # fmt: skip
    assert slice_.where[0].startswith("test.jsonl:")
    assert found.sentence.startswith("The model is worst on rows with “")
    assert "Fisher" in found.method


KINDS = {
    "length": "characters (the longest", "label": "whose true label is 'rare'",
    "source": "from b.csv", "group": "of the group 'one'", "form": "with a number",
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_other_kinds_of_slices(kind: str) -> None:
    """A sixth of the rows differ in one way, and are answered worse."""
    random = np.random.default_rng(1)
    count = 600
    chosen = random.random(count) < 1 / 6
    more = {"length": " and so on" * 20, "form": " 7"}.get(kind, "")
    examples = [
        Example(
            f"{text} {i:b}".replace("0", "o").replace("1", "i") + (more if odd else ""),
            "rare" if kind == "label" and odd else "common",
            group="one" if kind == "group" and odd else None,
            source=Source("b.csv" if kind == "source" and odd else "a.csv", i + 1),
        )
        for i, (text, odd) in enumerate(zip(texts(count), chosen, strict=True))
    ]
    right = np.where(chosen, random.random(count) < 0.4, random.random(count) < 0.95)
    answers = [e.output if hit else "other" for e, hit in zip(examples, right, strict=True)]
    found = find_slices(judged(examples, [answer or "" for answer in answers]), examples)
    assert found is not None
    named = [name for slice_ in found.found for name in (slice_.name, *slice_.also)]
    assert any(KINDS[kind] in name for name in named)
    assert found.found[0].inside < 0.6


@pytest.mark.parametrize("quality", ["right and wrong", "graded", "grouped"])
def test_noise_has_no_slices(quality: str) -> None:
    """Over 200 sets of answers that have nothing to do with the rows, at most 5 % false alarms."""
    count = 500
    table = candidates(rows(["a", "b"] * (count // 2), texts(count)), "classify")
    assert len(table.names) > 100
    alarms = 0
    for seed in range(200):
        random = np.random.default_rng(seed)
        units = np.arange(count)
        if quality == "right and wrong":
            values = (random.random(count) < 0.85).astype(float)
        elif quality == "graded":
            values = random.beta(2, 1, count)
        else:
            values = np.repeat((random.random(count // 2) < 0.7).astype(float), 2)
            units = np.arange(0, count, 2)
        p_values, _ = slice_tests(table, values, units)
        alarms += holm(p_values).min() <= 0.05
    assert alarms <= 10 + 2.33 * np.sqrt(200 * 0.05 * 0.95)


def test_rows_of_one_group_count_once() -> None:
    """Fifty copies of one wrong row are one piece of evidence."""
    inputs = texts(400) + ["the very same refund question"] * 50
    right = [True] * 380 + [False] * 20 + [False] * 50
    evaluation, examples = yes_no(right, inputs)
    found = find_slices(evaluation, examples)
    assert found is not None
    assert found.units < found.rows
    assert not any("refund" in slice_.name for slice_ in found.found)


def test_too_few_rows_have_no_slices() -> None:
    evaluation, examples = yes_no([True] * 10)
    assert find_slices(evaluation, examples) is None


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), st.data())
@settings(max_examples=60, deadline=None)
def test_fisher_is_the_exact_test(inside: int, outside: int, bad: int, data: st.DataObject) -> None:
    from scipy.stats import fisher_exact

    total = inside + outside
    bad = min(bad, total)
    hits = data.draw(st.integers(max(0, bad - outside), min(inside, bad)))
    mine = fisher(np.array([float(hits)]), np.array([float(inside)]), bad, total)[0]
    cells = [[hits, inside - hits], [bad - hits, outside - bad + hits]]
    if hits * total > inside * bad:
        assert mine == pytest.approx(fisher_exact(cells, alternative="greater").pvalue, rel=1e-6)
    else:
        assert mine == 1.0


def test_holm() -> None:
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_intervals_of_differences() -> None:
    """Newcombe's own example: 56 of 70 against 48 of 80."""
    ours = np.repeat([1.0, 0.0], [56, 14])
    theirs = np.repeat([1.0, 0.0], [48, 32])
    assert difference_interval(ours, theirs) == pytest.approx((0.0524, 0.3339), abs=1e-4)
    low, high = difference_interval(np.array([0.1, 0.2, 0.3]), np.array([0.5, 0.6, 0.7]))
    assert low < -0.4 < high < 0


def test_only_slices_of_a_fitting_size_are_looked_at() -> None:
    table = candidates(rows(["a"] * 100, ["same words here"] * 100), "classify")
    assert isinstance(table, Candidates)
    assert table.names == []
