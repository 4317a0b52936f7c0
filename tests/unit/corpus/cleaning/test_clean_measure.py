"""The figures by numpy against plain Python."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyforge.corpus.cleaning.measure import STOP_WORDS, Measured
from tinyforge.corpus.cleaning.repeats import COPY_LENGTHS, TOP_LENGTHS, ngram_shares
from tinyforge.corpus.cleaning.words import hash_pieces, hash_words, ngrams, plain_words

texts = st.text(st.sampled_from("ab.cé日 \n…!•-#7The "), max_size=120)


@settings(deadline=None)
@given(texts)
@example("a\n\n\nb\n...\n… …\n• x\n  • y")
def test_words_and_lines(text: str) -> None:
    measured = Measured(text)
    words = text.split()
    lines = [line for line in text.split("\n") if line]
    count = max(1, len(words))
    assert measured.word_count == len(words)
    assert measured.mean_word == pytest.approx(sum(map(len, words)) / count)
    lettered = sum(any(c.isalpha() for c in word) for word in words) / count
    assert measured.lettered_words == pytest.approx(lettered)
    assert measured.stop_words == len(set(words) & set(STOP_WORDS))
    assert measured.hash_marks == text.count("#") / count
    assert measured.letters == sum(c.isalpha() for c in text)
    each = max(1, len(lines))
    dots = sum(line.endswith(("...", "…")) for line in lines) / each
    assert measured.ellipsis_lines == pytest.approx(dots)
    closed = sum(line[-1] in ".!…" for line in lines) / each
    assert measured.punctuated_lines == pytest.approx(closed)
    short = sum(len(line) <= 30 for line in lines) / each
    assert measured.lines_up_to(30) == pytest.approx(short if lines else 0)
    assert measured.longest_line == max(map(len, lines), default=0)
    assert measured.mean_line == pytest.approx(sum(map(len, lines)) / each)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "a b", "ab", "c.", "日本"]), max_size=12),
       st.lists(st.sampled_from(["\n", "\n\n"]), min_size=12, max_size=12))  # fmt: skip
def test_copies_of_lines_and_paragraphs(lines: list[str], gaps: list[str]) -> None:
    text = "".join(line + gap for line, gap in zip(lines, gaps, strict=False)).strip("\n")
    measured = Measured(text)
    paragraphs = [p for p in re.split(r"\n{2,}", text) if p]
    assert measured.copied_lines == pytest.approx(_copied(lines))
    assert measured.copied_paragraphs == pytest.approx(_copied(paragraphs))


def _copied(pieces: list[str]) -> tuple[float, float]:
    copies = [piece for i, piece in enumerate(pieces) if piece in pieces[:i]]
    size = max(1, sum(map(len, pieces)))
    return len(copies) / max(1, len(pieces)), sum(map(len, copies)) / size


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "bc", "def", "g"]), max_size=60))
@example(["a"] * 30)
def test_repeated_ngrams(words: list[str]) -> None:
    sizes = np.array([len(word) for word in words], dtype=np.int64)
    hashes = hash_words(tuple(words)) if words else np.empty(0, dtype=np.uint64)
    shares = ngram_shares(hashes, sizes)
    total = max(1, int(sizes.sum()))
    for length in TOP_LENGTHS:
        assert shares[length] == pytest.approx(_top(words, length) / total)
    for length in COPY_LENGTHS:
        assert shares[length] == pytest.approx(_covered(words, length) / total)


def _top(words: list[str], length: int) -> int:
    grams = [tuple(words[i : i + length]) for i in range(len(words) - length + 1)]
    most = max((grams.count(gram) for gram in grams), default=0)
    if most < 2:
        return 0
    return most * max(sum(map(len, gram)) for gram in grams if grams.count(gram) == most)


def _covered(words: list[str], length: int) -> int:
    seen = set()
    covered = set()
    for i in range(len(words) - length + 1):
        gram = tuple(words[i : i + length])
        if gram in seen:
            covered |= set(range(i, i + length))
        seen.add(gram)
    return sum(len(words[i]) for i in covered)


@settings(deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=30))
def test_equal_pieces_and_only_these_have_equal_hashes(pieces: list[str]) -> None:
    pieces = [piece.replace("\0", "") or "x" for piece in pieces]
    hashes = hash_words(tuple(pieces)).tolist()
    same_plane = [all(ord(c) < 0x10000 for c in piece) for piece in pieces]
    for i, first in enumerate(pieces):
        for j, second in enumerate(pieces):
            if same_plane[i] and same_plane[j]:
                assert (first == second) == (hashes[i] == hashes[j])


def test_hashes_do_not_depend_on_where_a_word_stands() -> None:
    text = "word " * 100_000 + "x" * 300_000 + " word"
    starts, ends, hashes = plain_words(text)
    assert len(starts) == 100_002
    assert len(set(hashes.tolist())) == 2
    assert hashes[0] == hashes[-1] == hash_words(("word",))[0]
    assert ends[-2] - starts[-2] == 300_000


def test_plain_words_have_no_case_and_punctuation() -> None:
    first, second = plain_words("Don’t STOP, Élan!"), plain_words("don t (stop) élan")
    assert first[2].tolist() == second[2].tolist()
    assert [int(place) for place in first[0]] == [0, 4, 6, 12]


def test_ngrams_are_ordered() -> None:
    one, two = plain_words("a b c")[2], plain_words("b a c")[2]
    assert len(ngrams(one, 2)) == 2
    assert ngrams(one, 3) != ngrams(two, 3)
    assert len(ngrams(one, 4)) == 0
    codes = np.array([], dtype=np.uint32)
    assert len(hash_pieces(codes, np.empty(0, np.int64), np.empty(0, np.int64))) == 0


def test_chinese_is_not_judged_by_spaces() -> None:
    measured = Measured("我能吞下玻璃而不伤身体。我能吞下玻璃。")
    assert measured.unspaced
    assert measured.sentences == 2
    assert not Measured("Ich kann Glas essen. Größe!").unspaced
    assert Measured("One. Two! 3.5 is no end? Yes.”").sentences == 4
