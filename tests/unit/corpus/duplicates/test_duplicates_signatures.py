"""Signatures: the same for any grouping, and as alike as the texts are."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates import folding
from tinyforge.corpus.duplicates.signatures import (
    VALUES,
    Signatures,
    bands_of,
    distinct_shingles,
    signatures,
)

SETTINGS = DuplicateSettings(long_document=1_000)
WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in ("lt", "n", "rs", "mp")]
COLUMNS = ("exact", "bands", "bits", "sizes", "passages", "owners")


def prose(seed: int, words: int) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def alike(found: Signatures, first: int, second: int) -> float:
    one, other = found.bits[first], found.bits[second]
    same = np.count_nonzero((one ^ other) & 0xF0 == 0) + np.count_nonzero((one ^ other) & 15 == 0)
    return (same / VALUES - 1 / 16) / (15 / 16)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.text("ab ,\né", max_size=30) | st.builds(prose, st.integers(0, 99), st.integers(0, 400)),
        max_size=8,
    ),
    st.integers(0, 8),
)
def test_grouping_does_not_matter(texts: list[str], cut: int) -> None:
    whole = signatures(texts, SETTINGS)
    before, after = signatures(texts[:cut], SETTINGS), signatures(texts[cut:], SETTINGS)
    for name in COLUMNS:
        second = getattr(after, name) + (min(cut, len(texts)) if name == "owners" else 0)
        assert np.array_equal(
            np.concatenate((getattr(before, name), second)), getattr(whole, name)
        ), name


def test_a_text_read_in_pieces_has_the_same_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    text = prose(1, 3_000)
    whole = signatures([text], SETTINGS)
    short = signatures([text], SETTINGS.model_copy(update={"long_document": 10**9}))
    monkeypatch.setattr(folding, "PIECE", 700)
    pieces = signatures([text], SETTINGS)
    for name in COLUMNS:
        assert np.array_equal(getattr(whole, name), getattr(pieces, name)), name
    for name in ("exact", "bands", "bits", "sizes"):
        assert np.array_equal(getattr(whole, name), getattr(short, name)), name
    assert len(whole.passages) > 50
    assert len(short.passages) == 0


def test_exact_hash_ignores_case_accents_punctuation_and_white_space() -> None:
    texts = ["Ab c, ete, 12", "ab\n c “été” 12", "ab d ete 12", "1+1", "1-1", "", " "]
    found = [tuple(row) for row in signatures(texts, SETTINGS).exact.tolist()]
    assert found[0] == found[1]
    assert found[5] == found[6]  # of short texts white space alone
    assert len(set(found)) == 5


@pytest.mark.parametrize("words", [40, 150, 600, 4_000])
@pytest.mark.parametrize("changed", [0.02, 0.1, 0.5])
def test_agreement_estimates_jaccard_similarity(words: int, changed: float) -> None:
    chooser = random.Random(words)
    errors = []
    for seed in range(12):
        text = prose(seed, words)
        other = " ".join(
            chooser.choice(WORDS) if chooser.random() < changed else word for word in text.split()
        )
        one, two = distinct_shingles(text, 8), distinct_shingles(other, 8)
        true = len(np.intersect1d(one, two)) / len(np.union1d(one, two))
        errors.append(alike(signatures([text, other], SETTINGS), 0, 1) - true)
    assert abs(np.mean(errors)) < 0.04
    assert np.max(np.abs(errors)) < 0.2


def test_nothing_to_compare() -> None:
    found = signatures(["", "...", "ab", "longer than a shingle"], SETTINGS)
    assert found.sizes.tolist() == [0, 0, 0, 11]
    assert len(signatures([], SETTINGS)) == 0


def test_without_near_duplicates_there_are_no_bands() -> None:
    off = DuplicateSettings(similarity=1, containment=1, long_document=1_000)
    found = signatures([prose(1, 3_000)], off)
    assert bands_of(off)[0] == 0
    assert found.bands.shape == (1, 0)
    assert found.bits.shape == (1, 0)
    assert len(found.passages) == 0


def test_signatures_travel_between_processes() -> None:
    found = signatures([prose(1, 2_000)], SETTINGS)
    other = pickle.loads(pickle.dumps(found))
    assert all(np.array_equal(getattr(found, name), getattr(other, name)) for name in COLUMNS)
