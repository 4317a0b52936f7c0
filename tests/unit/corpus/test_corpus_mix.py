"""The mix: shares, epochs, repeats, and one order whatever the way through it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tinyforge.corpus.mix import Mix, permuted, tijdeman
from tinyforge.errors import DataError, SettingError


class Store:
    """A store in memory; every token is unique, so that a repeat shows."""

    folder = Path("nowhere")

    def __init__(self, documents: Mapping[str, list[int]]) -> None:
        self.sources = tuple(documents)
        self._offsets = {
            name: np.concatenate([[0], np.cumsum(np.array(sizes, dtype=np.int64))])
            for name, sizes in documents.items()
        }

    def tokens(self, source: str) -> int:
        return int(self._offsets[source][-1])

    def stretch(self, source: str, start: int, stop: int) -> tuple[NDArray[Any], NDArray[Any]]:
        assert 0 <= start < stop <= self.tokens(source)
        inner = [int(o) - start for o in self._offsets[source] if start < o < stop]
        return np.arange(start, stop), np.array([0, *inner], dtype=np.int64)


def mix(
    documents: Mapping[str, list[int]], weights: Any = None, window: int = 8, **more: Any
) -> Mix:
    more = {"seed": 0, "cross_documents": False, **more}
    return Mix(Store(documents), weights, window, **more)  # type: ignore[arg-type]


SIZES = {"web": [50, 3, 70, 1, 26], "books": [200], "wiki": [10] * 4}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_every_share_is_within_one_turn_of_its_weight(parts: list[int]) -> None:
    order = tijdeman(np.array(parts, dtype=np.int64))
    total = sum(parts)
    assert len(order) == total
    counts = [0] * len(parts)
    for turn, which in enumerate(order, start=1):
        counts[which] += 1
        for count, part in zip(counts, parts, strict=True):
            assert abs(count - Fraction(turn * part, total)) < 1
    assert counts == parts


def test_shares_hold_over_many_turns() -> None:
    weights = {"web": 60, "books": 22.5, "wiki": 0.7}
    found = mix(SIZES, weights)
    assert sum(found.weights.values()) == 1
    counts: Counter[str] = Counter()
    for number in range(3_000):
        counts[found.window(number).source] += 1
        for name, weight in weights.items():
            assert abs(counts[name] - (number + 1) * weight / 83.2) < 1
        assert found.counts(number + 1) == {name: counts[name] for name in found.sources}


def test_without_weights_all_are_seen_equally_often() -> None:
    found = mix(SIZES, window=10)
    assert found.weights == {
        "web": Fraction(15, 39), "books": Fraction(20, 39), "wiki": Fraction(4, 39)
    }  # fmt: skip
    assert found.epochs(39) == {"web": 1.0, "books": 1.0, "wiki": 1.0}
    assert found.epochs(78)["web"] == 2.0


def test_epochs_of_a_source_that_repeats() -> None:
    found = mix(SIZES, {"web": 1, "books": 1, "wiki": 2}, window=10)
    assert found.epochs(40) == {"web": 10 / 15, "books": 0.5, "wiki": 5.0}


@pytest.mark.parametrize("window", [1, 7, 8, 64, 150, 151, 400])
@pytest.mark.parametrize("cross", [True, False])
def test_nothing_repeats_before_all_was_seen(window: int, cross: bool) -> None:
    found = mix({"web": SIZES["web"]}, window=window, cross_documents=cross)
    tokens = [int(t) for n in range(-(-700 // window)) for t in found.window(n).tokens]
    counts: Counter[int] = Counter()
    for token in tokens:
        counts[token] += 1
        if counts[token] == max(counts.values()) and len(counts) == 150:
            assert max(counts.values()) - min(counts.values()) <= 1
        elif len(counts) < 150:
            assert counts[token] == 1


@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(sum),
    window=st.integers(1, 40),
    seed=st.integers(0, 5),
)
@settings(max_examples=80, deadline=None)
def test_each_epoch_holds_every_token_once(sizes: list[int], window: int, seed: int) -> None:
    found = mix({"s": sizes}, window=window, seed=seed)
    total = sum(sizes)
    tokens: list[int] = []
    number = 0
    while len(tokens) < 3 * total:
        made = found.window(number).tokens
        assert len(made) == window
        tokens += made.tolist()
        number += 1
    # In the stream's own order an epoch ends within a window, so that it is cut by tokens.
    for epoch in range(3):
        assert sorted(tokens[epoch * total : (epoch + 1) * total]) == list(range(total))


def test_each_epoch_has_a_new_order_and_so_has_each_seed_and_source() -> None:
    found = mix({"a": [1000], "b": [1000]}, window=10)
    orders = {
        source: [
            tuple(int(w.tokens[0]) for n in range(e * 200, e * 200 + 200)
                  if (w := found.window(n)).source == source)
            for e in range(3)
        ]
        for source in ("a", "b")
    }  # fmt: skip
    assert len({*orders["a"], *orders["b"]}) == 6
    other = mix({"a": [1000], "b": [1000]}, window=10, seed=1)
    assert [w.tokens[0] for w in map(other.window, range(50))] != [
        w.tokens[0] for w in map(found.window, range(50))
    ]
    assert list(orders["a"][0]) != sorted(orders["a"][0])


def test_the_order_does_not_depend_on_the_way_through_it() -> None:
    first, again = mix(SIZES, window=16, seed=3), mix(SIZES, window=16, seed=3)
    numbers = list(range(300))
    straight = {n: first.window(n) for n in numbers}
    random.Random(0).shuffle(numbers)
    for number in numbers:
        window = again.window(number)
        assert window.source == straight[number].source
        assert window.tokens.tolist() == straight[number].tokens.tolist()
        assert window.starts.tolist() == straight[number].starts.tolist()
    assert len(first.window(10**12).tokens) == 16
    with pytest.raises(IndexError):
        first.window(-1)


def test_a_pinned_order() -> None:
    """A run that was stopped under an older version goes on with the same windows."""
    found = mix(SIZES, {"web": 3, "books": 2, "wiki": 1}, window=16, seed=7)
    windows = [found.window(n) for n in range(6)]
    assert [(w.source, int(w.tokens[0]), len(w.starts)) for w in windows] == PINNED


PINNED = [
    ("web", 47, 3), ("books", 58, 1), ("web", 69, 1), ("wiki", 20, 2), ("books", 26, 1),
    ("web", 85, 1),
]  # fmt: skip


def test_starts_are_those_of_documents_or_none() -> None:
    kept = mix({"s": [5, 5, 5, 5]}, window=8)
    crossed = mix({"s": [5, 5, 5, 5]}, window=8, cross_documents=True)
    for number in range(20):
        window = kept.window(number)
        expected = [0] + [
            i for i in range(1, 8)
            if window.tokens[i] % 5 == 0 or window.tokens[i] != window.tokens[i - 1] + 1
        ]  # fmt: skip
        # An epoch may by chance begin with the token after the last one's end.
        assert set(expected) <= set(window.starts.tolist())
        assert len(window.starts) <= len(expected) + 1
        assert crossed.window(number).starts.tolist() == [0]
        assert crossed.window(number).tokens.tolist() == window.tokens.tolist()


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"web": 1, "books": 1, "wikis": 1}, "Did you mean 'wiki'"),
        ({"web": 1, "books": 1}, "'wiki'"),
        ({"web": 1, "books": -1, "wiki": 1}, "mix.books: a weight is a number, at least 0"),
        ({"web": float("nan"), "books": 1, "wiki": 1}, "mix.web"),
        ({"web": 0, "books": 0, "wiki": 0}, "all weights are 0"),
    ],
)
def test_mistakes(weights: dict[str, float], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        mix(SIZES, weights)


def test_an_empty_source() -> None:
    with pytest.raises(DataError, match="has no tokens"):
        mix({"a": [3], "b": [0]}, {"a": 1, "b": 1})
    assert mix({"a": [3], "b": [0]}, {"a": 1, "b": 0}).sources == ("a",)
    assert mix({"a": [3], "b": []}).sources == ("a",)
    with pytest.raises(DataError, match="no tokens to learn from"):
        mix({"b": [0]})
    with pytest.raises(SettingError, match="at least one token"):
        mix(SIZES, window=0)


def test_weights_that_no_fraction_holds_are_kept_as_they_are_shown() -> None:
    found = mix({"a": [100], "b": [100]}, {"a": 1 / 3, "b": 2**0.5}, window=5)
    assert found.weights["a"] == pytest.approx((1 / 3) / (1 / 3 + 2**0.5), abs=1e-4)
    assert abs(found.counts(1000)["a"] - 1000 * found.weights["a"]) < 1


@given(st.integers(1, 500), st.lists(st.integers(0, 2**64 - 1), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_permutation_without_a_list(many: int, keys: list[int]) -> None:
    assert sorted(permuted(i, many, keys) for i in range(many)) == list(range(many))
