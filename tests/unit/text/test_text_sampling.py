"""Samples are even, bounded and taken in one pass; pieces are cut where words end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tinyforge.text import sampling
from tinyforge.text.sampling import Piece, Sample, mended, pieces_of, utf8_size, whole_words


def test_a_sample_is_within_its_limit_at_every_moment() -> None:
    sample = Sample(1_000)
    for number in range(5_000):
        sample.add(Piece(f"piece {number:06d}", "a" if number % 2 else "b"))
        assert sample.kept <= 1_000
    assert sample.total == 5_000 * 12
    kept = sample.pieces()
    assert len(kept) == 83
    numbers = [int(piece.text.split()[1]) for piece in kept]
    assert numbers == sorted(numbers)
    # As many from each fifth of the corpus, and from each source.
    assert all(15 <= sum(n // 1_000 == fifth for n in numbers) <= 18 for fifth in range(5))
    assert abs(sum(piece.source == "a" for piece in kept) - 41.5) < 10


def test_a_larger_limit_only_adds() -> None:
    samples = [Sample(limit) for limit in (500, 5_000)]
    for number in range(1_000):
        for sample in samples:
            sample.add(Piece(f"piece {number:06d}"))
    assert set(samples[0].pieces()) < set(samples[1].pieces())


@given(st.text(max_size=300))
def test_pieces_make_the_whole(text: str) -> None:
    old = sampling.PIECE_CHARACTERS
    try:
        sampling.PIECE_CHARACTERS = 10
        assert "".join(pieces_of(text)) == text
        assert "".join(whole_words(text)) == text
        assert all(len(piece) <= 20 for piece in pieces_of(text))
        for piece in list(whole_words(text))[1:]:
            assert piece[0] == " "
            assert not piece[1].isspace()
    finally:
        sampling.PIECE_CHARACTERS = old


def test_lone_surrogates_become_replacement_characters() -> None:
    assert mended("a\ud800b") == "a\ufffdb"
    assert mended("\ud83d\ude00") == "😀"
    assert mended("é") == "é"
    assert utf8_size("a\ud800é") == 1 + 3 + 2


@given(st.text())
def test_sizes_are_those_of_utf8(text: str) -> None:
    assert utf8_size(text) == len(mended(text).encode())
