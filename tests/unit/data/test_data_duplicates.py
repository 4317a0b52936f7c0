"""Near-duplicates are found as comparing all pairs would find them."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.data.duplicates import Clusters, find_clusters, join_groups
from tinyforge.data.similar import Comparer, band_rows, normal_form, short_hash

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in ("lt", "n", "rk", "mp")]


def clusters_of(texts: list[str], folder: Path, threshold: float = 0.7) -> Clusters:
    hashes = np.array([short_hash(text) for text in texts], dtype=np.uint64)
    characters = sum(map(len, texts))
    return find_clusters(hashes, texts.__getitem__, characters, threshold, folder)


def shingle_set(text: str) -> set[str]:
    text = text.ljust(5)
    return {text[i : i + 5] for i in range(len(text) - 4)}


def jaccard(first: str, second: str) -> float:
    a, b = shingle_set(first), shingle_set(second)
    return len(a & b) / len(a | b)


def near_texts(seed: int, count: int) -> list[str]:
    """Sentences, and versions of them with some words changed."""
    chance = random.Random(seed)
    texts = []
    for _ in range(count):
        words = chance.choices(WORDS, k=chance.randint(6, 40))
        texts.append(" ".join(words))
        for _ in range(chance.randint(0, 3)):
            for _ in range(chance.randint(1, 4)):
                words[chance.randrange(len(words))] = chance.choice(WORDS)
            texts.append(" ".join(words))
    return texts


def test_no_pair_at_the_threshold_is_apart(tmp_path: Path) -> None:
    texts = near_texts(0, 110)
    found = clusters_of(texts, tmp_path)
    pairs = together = 0
    for i, first in enumerate(texts):
        for j in range(i):
            if jaccard(first, texts[j]) >= 0.7:
                pairs += 1
                together += found.cluster[i] == found.cluster[j]
    assert pairs > 40
    assert together == pairs
    apart = [(i, j) for i in range(len(texts)) for j in range(i) if i % 7 == 0]
    linked = sum(found.cluster[i] == found.cluster[j] for i, j in apart)
    assert linked < len(apart) / 50


def test_every_link_is_a_true_one(tmp_path: Path) -> None:
    texts = near_texts(1, 200)
    found = clusters_of(texts, tmp_path)
    for number in set(found.cluster.tolist()):
        members = [texts[i] for i in np.flatnonzero(found.cluster == number)]
        reached = [members.pop()]
        while members:  # each member is near one that is reached already
            near = [m for m in members if any(jaccard(m, r) >= 0.7 for r in reached)]
            assert near
            reached += near
            members = [m for m in members if m not in near]


@given(st.text(max_size=30), st.text(max_size=30))
def test_jaccard_is_that_of_shingle_sets(first: str, second: str) -> None:
    texts = [normal_form(first), normal_form(second)]
    found = Comparer(texts.__getitem__).jaccard(0, 1)
    assert found == pytest.approx(jaccard(texts[0], texts[1]))


def test_normal_form() -> None:
    assert normal_form("  Ｆｕｌｌ  STRASSE\n\tﬁ ") == normal_form("full straße fi")


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.sampled_from(["", "a", "ab", "the same", "other text", "other  text!"])))
def test_equal_texts_are_exact_duplicates(tmp_path: Path, texts: list[str]) -> None:
    if not texts:
        return
    found = clusters_of(texts, tmp_path)
    for i, first in enumerate(texts):
        for j, second in enumerate(texts):
            assert (found.exact[i] == found.exact[j]) == (first == second)
            assert first != second or found.cluster[i] == found.cluster[j]


def test_threshold_one_means_exact_only(tmp_path: Path) -> None:
    found = clusters_of(["some longer text here", "some longer text here!", "x"], tmp_path, 1.0)
    assert len(set(found.cluster.tolist())) == 3
    assert found.near == 0


def test_chained_templates_do_not_become_one_cluster(tmp_path: Path) -> None:
    texts = [
        f"name[{a}], eat type[restaurant], food[{b}], area[city centre], near[{c}]"
        for a in WORDS[:8]
        for b in WORDS[8:14]
        for c in WORDS[14:20]
    ]
    found = clusters_of(texts, tmp_path)
    assert np.bincount(found.cluster).max() < len(texts)
    assert len(found.notes) == 1
    assert "templated" in found.notes[0]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.9, 0.95])
def test_bands_find_pairs_at_the_threshold(threshold: float) -> None:
    rows = band_rows(threshold, 128)
    assert 1 - (1 - threshold**rows) ** (128 // rows) >= 0.999


def test_groups_join_clusters() -> None:
    joined = join_groups(np.array([0, 0, 1, 2, 3, 4]), np.array([-1, 7, 7, 8, -1, 8]))
    assert joined.tolist() == [0, 0, 0, 2, 3, 2]
