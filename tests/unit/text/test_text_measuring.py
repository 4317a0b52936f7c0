"""What is measured of a tokenizer, the curve over sizes, and the advice."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tinyforge.errors import DataError
from tinyforge.text.measuring import HOSTILE, measure
from tinyforge.text.sampling import Piece
from tinyforge.text.tokenizer_training import train_tokenizer
from tinyforge.text.vocabulary import Point, advise, curve, first_entries


def some_text(words: int, seed: int = 0) -> str:
    """Words of a made-up language, frequent and rare ones, as in a real one."""
    draw = random.Random(seed)
    stems = [
        "".join(draw.choice("bcdfgklmnprst") + draw.choice("aeiou") for _ in range(size))
        for size in (1, 2, 2, 3, 3, 3, 4)
        for _ in range(120)
    ]
    weights = [1 / (rank + 1) for rank in range(len(stems))]
    return " ".join(draw.choices(stems, weights, k=words)) + "."


PIECES = [Piece(some_text(300, seed), "a" if seed % 2 else "b", "xx") for seed in range(40)]


def test_counts_are_those_of_the_tokenizer() -> None:
    tokenizer = train_tokenizer([p.text for p in PIECES], "bpe", 500)
    pieces = [Piece("one two", "s", "en"), Piece("größer", "t", "de"), Piece("漢", "t")]
    found = measure(tokenizer, pieces)
    tokens = [len(tokenizer(p.text, add_special_tokens=False)["input_ids"]) for p in pieces]
    assert found.all.tokens == sum(tokens)
    assert found.all.bytes == 7 + 8 + 3
    assert found.all.characters == 7 + 6 + 1
    assert found.all.bytes_per_token == pytest.approx(18 / sum(tokens))
    assert found.by_source["t"].tokens == tokens[1] + tokens[2]
    assert set(found.by_language) == {"en", "de"}
    assert found.by_language["de"].bytes_per_token == pytest.approx(8 / tokens[1])
    assert found.exact
    assert found.hostile == (len(HOSTILE), len(HOSTILE))
    assert found.damaged is None
    assert found.all.unknown == 0
    ids = {i for p in pieces for i in tokenizer(p.text)["input_ids"]}
    assert found.used == len(ids)


def test_unknown_and_damaged_text_is_named() -> None:
    tokenizer = train_tokenizer(["abc abd acd"] * 3, "characters", 20, byte_fallback=False)
    found = measure(tokenizer, [Piece("abx yab x", "s")])
    assert found.all.unknown == 3
    assert found.all.unknown_share == pytest.approx(3 / 9)
    assert found.unknown_characters == ["x", "y"]
    assert not found.exact
    assert found.damaged is not None
    assert found.to_json()["round_trip"]["texts_exact"] == 0


@pytest.mark.parametrize("size", [260, 300, 411, 600, 700])
@pytest.mark.parametrize("family", ["decoder", "encoder-decoder"])
def test_a_smaller_bpe_is_the_beginning_of_a_larger_one(size: int, family: Any) -> None:
    texts = [p.text for p in PIECES]
    large = train_tokenizer(texts, "bpe", 700, family=family)
    small = train_tokenizer(texts, "bpe", size, family=family)
    cut = first_entries(large, size, family)
    assert cut.get_vocab() == small.get_vocab()
    assert cut.backend_tokenizer.to_str() == small.backend_tokenizer.to_str()


def test_the_curve_rises_and_ends_with_the_text() -> None:
    points = curve(PIECES, sum(len(p.text) for p in PIECES), "bpe", sizes=(300, 400, 800, 65536))
    assert [p.vocab_size for p in points] == [300, 400, 800, 65536]
    assert points[-1].entries < 65536
    ratios = [p.bytes_per_token for p in points]
    assert ratios == sorted(ratios)
    assert points[0].saved is None
    assert points[1].saved == pytest.approx(1 - ratios[0] / ratios[1])
    assert points[0].often >= points[-1].often


@pytest.mark.parametrize("kind", ["unigram", "wordpiece", "words", "characters"])
def test_every_kind_has_a_curve(kind: str) -> None:
    points = curve(PIECES, 10**6, kind, sizes=(300, 400, 500))
    assert points
    assert all(p.bytes_per_token > 0 for p in points)


def test_one_short_text_is_held_out_in_part() -> None:
    assert curve([Piece(some_text(500))], 2_000, "bpe", sizes=(300,))
    with pytest.raises(DataError, match="too little text"):
        curve([Piece("a")], 1, "bpe", sizes=(300,))


def point(size: int, *, often: float = 1.0, saved: float | None = 0.2) -> Point:
    return Point(size, size, 3.0, 0.0, often, saved)


def test_advice_takes_the_largest_size_that_is_seen_often_and_pays() -> None:
    points = [point(512, saved=None), point(1024), point(2048), point(4096, often=0.5)]
    advice = advise(points, 2_000_000)
    assert advice.vocab_size == 2048
    assert "only 50% of the entries occur 100 times or more in 2 MB" in advice.why[0]
    advice = advise([point(512, saved=None), point(1024, saved=0.01)], 10**9)
    assert advice.vocab_size == 512
    assert "1,024 would shorten the text by 1.0% only" in advice.why[0]
    advice = advise([point(512, saved=None), point(1024)], 10**9)
    assert advice.vocab_size == 1024
    assert "largest size tried" in advice.why[0]


def test_advice_says_where_even_the_smallest_is_too_large() -> None:
    advice = advise([point(512, often=0.4, saved=None), point(1024, often=0.1)], 9_000)
    assert advice.vocab_size == 512
    assert "60% of its entries occur fewer than 100 times" in " ".join(advice.why)
