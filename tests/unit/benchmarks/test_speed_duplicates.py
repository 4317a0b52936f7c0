"""Planted copies are what they are said to be, and their results are shown whole."""

from __future__ import annotations

import random
from typing import Any

import pytest
from benchmarks.speed import near_duplicates, planted, table


@pytest.mark.parametrize("edit", ["words", "characters"])
def test_a_tenth_of_the_documents_get_an_edited_copy(edit: str) -> None:
    chooser = random.Random(1)
    originals = [" ".join(chooser.choices(("ab", "cde", "fgh\n"), k=200)) for _ in range(50)]
    texts, pairs = planted.plant(originals, edit, seed=1)
    assert len(texts) == 55
    assert len(pairs) == len(set(pairs)) == 5
    for one, other in pairs:
        assert one < other
        assert texts[one] != texts[other]
        assert (texts[one] in originals) != (texts[other] in originals)
    assert set(originals) <= set(texts)


def test_chains_link_their_ends() -> None:
    root = near_duplicates._components([(1, 2), (2, 5), (7, 8), (5, 9)])
    assert root == {1: 1, 2: 1, 5: 1, 9: 1, 7: 7, 8: 7}


def point(valid: bool) -> dict[str, Any]:
    run = {"recall": 0.995, "precision": 1.0, "peak_bytes": 2**26, "kept": 90}
    spread = {"median": 2.0, "min": 1.0, "max": 3.0}
    why = [] if valid else ["words-1: precision 0.9000"]
    speed = {"ratio": 6.0, "low": 5.0, "high": 7.0}
    return {
        "size": 4, "documents": 11_000, "bytes": 20_000_000,
        "sides": {"ours": [run], "words-1": [run]},
        "seconds": {"ours": spread, "words-1": spread},
        "comparisons": [{"peer": "words-1", "speed": speed, "valid": valid, "why_not": why}],
    }  # fmt: skip


@pytest.mark.parametrize("case", ["near_duplicates", "prepare_throughput"])
def test_each_size_and_side_has_a_row(case: str) -> None:
    result = {
        "case": case, "title": "T", "repeat": 1, "quick": False,
        "points": [point(True), point(False)],
    }  # fmt: skip
    text = table.render(result)
    assert text.count("| 4x | 11,000 | ours | 2 (1 to 3) | 10.0 |") == 2
    assert "6.00x (5.00 to 7.00) | yes |" in text
    assert "no: words-1: precision 0.9000" in text
