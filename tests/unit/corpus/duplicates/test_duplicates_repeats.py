"""Repeated lines and passages: dropped but for the first, counted, and nothing else."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates import Repeats, count_repeats, repeats, sorting, words
from tinyforge.corpus.duplicates.cutting import cut
from tinyforge.corpus.duplicates.passages import fingerprints
from tinyforge.errors import DataError, FolderError

SETTINGS = DuplicateSettings(
    line_documents=3, line_characters=12, passage_words=12, passage_documents=2
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def prose(seed: int, count: int) -> str:
    chooser = random.Random(seed)
    made = ("".join(chooser.choices(LETTERS, k=chooser.randint(2, 9))) for _ in range(count))
    return " ".join(made)


def stripped(
    folder: Path, texts: list[str], chosen: DuplicateSettings = SETTINGS
) -> tuple[list[str], list[dict[str, int]]]:
    count_repeats(iter(texts), folder, chosen)
    found = Repeats.open(folder)
    pairs = [found.strip(text, number) for number, text in enumerate(texts)]
    return [text for text, _ in pairs], [counts for _, counts in pairs]


def test_a_line_of_many_documents_stays_where_it_stands_first(tmp_path: Path) -> None:
    line = "Copyright (c) 2020 All rights reserved."
    texts = [f"{prose(i, 8)}\n{line}\n{prose(10 + i, 8)}\n{line.upper()}\n" for i in range(3)]
    texts.append("all rights reserved\n" + prose(9, 5))
    found, counts = stripped(tmp_path, texts)
    assert found[0] == f"{prose(0, 8)}\n{line}\n{prose(10, 8)}\n"
    assert found[1] == f"{prose(1, 8)}\n{prose(11, 8)}\n"
    assert found[3] == texts[3]
    assert counts[1] == {"repeated.lines": 2, "repeated.characters": 2 * len(line) + 2}
    assert counts[3] == {}
    assert Repeats.open(tmp_path).facts["lines"] == 1


def test_lines_of_few_documents_and_short_lines_stay(tmp_path: Path) -> None:
    twice, short = "this line stands in two documents", "said he."
    texts = [f"{twice}\n{short}\n", f"{short}\n{twice}\n{twice}", f"{short}\nother\n{short}"]
    assert stripped(tmp_path, texts) == (texts, [{}, {}, {}])


def test_a_passage_goes_from_later_documents(tmp_path: Path) -> None:
    passage = prose(1, 30)
    quoted = "“" + passage.capitalize().replace(" ", ",\n", 9) + "!”"
    texts = [
        f"{prose(2, 40)} {passage}. {prose(3, 5)}",
        f"{prose(4, 6)}\n\n{quoted}\n\n{prose(5, 70)}",
        prose(6, 50),
        f"{passage}",
    ]
    found, counts = stripped(tmp_path, texts)
    assert found[0] == texts[0]
    assert found[1] == f"{prose(4, 6)}\n\n{prose(5, 70)}"
    assert found[2] == texts[2]
    assert found[3] == ""
    assert counts[1]["repeated.passages"] == 1
    assert counts[1]["repeated.characters"] == len(texts[1]) - len(found[1])
    assert Repeats.open(tmp_path).facts["passage_words"] == 60


@pytest.mark.parametrize(("count", "goes"), [(11, False), (12, True), (13, True), (60, True)])
def test_shorter_passages_stay(tmp_path: Path, count: int, goes: bool) -> None:
    passage = prose(1, count)
    texts = [f"{prose(2, 20)} {passage} {prose(3, 20)}", f"{prose(4, 20)} {passage} {prose(5, 20)}"]
    found, _ = stripped(tmp_path, texts)
    assert found[1] == (f"{prose(4, 20)} {prose(5, 20)}" if goes else texts[1])


def test_a_refrain_within_one_document_stays(tmp_path: Path) -> None:
    refrain = prose(1, 40)
    texts = [f"{refrain}\n{prose(2, 20)}\n{refrain}\n" * 4, prose(3, 40)]
    assert stripped(tmp_path, texts)[0] == texts


def test_a_longer_match_with_a_document_in_between_is_found(tmp_path: Path) -> None:
    begin, middle, end = prose(1, 9), prose(2, 9), prose(3, 9)
    texts = [f"{middle} {prose(4, 30)}", f"{prose(5, 30)} {begin} {middle} {end}",
             f"{begin} {middle} {end} {prose(6, 30)}"]  # fmt: skip
    found, _ = stripped(tmp_path, texts)
    assert found == [texts[0], texts[1], prose(6, 30)]


def test_passages_of_few_documents_can_stay(tmp_path: Path) -> None:
    passage = prose(1, 30)
    texts = [f"{passage} {prose(seed, 20)}" for seed in range(2, 5)]
    three = SETTINGS.model_copy(update={"passage_documents": 3})
    assert stripped(tmp_path / "two", texts[:2], three)[0] == texts[:2]
    assert stripped(tmp_path / "three", texts, three)[0] == [texts[0], prose(3, 20), prose(4, 20)]


def test_each_kind_can_be_left_out(tmp_path: Path) -> None:
    texts = [f"{prose(1, 20)}\n{prose(seed, 9)}" for seed in range(2, 6)]
    none = SETTINGS.model_copy(update={"line_documents": 0, "passage_words": 0})
    assert stripped(tmp_path / "none", texts, none)[0] == texts
    lines = SETTINGS.model_copy(update={"passage_words": 0})
    assert stripped(tmp_path / "lines", texts, lines)[0] == [
        texts[0],
        *(prose(s, 9) for s in (3, 4, 5)),
    ]


def corpus() -> list[str]:
    """Short and long documents that share passages and lines."""
    chooser = random.Random(3)
    shared = [prose(-1 - seed, chooser.randint(8, 60)) for seed in range(12)]
    texts = []
    for seed in range(60):
        parts = []
        for number in range(chooser.choice((1, 3, 3, 40))):
            parts.append(prose(1_000 * seed + number, chooser.randint(3, 40)))
            if chooser.random() < 0.4:
                parts.append(chooser.choice(shared))
        texts.append(chooser.choice(("\n", "\n\n")).join(parts))
    return ["", *texts[:30], "", "…", *texts[30:]]


def test_memory_and_pieces_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = corpus()
    whole, counts = stripped(tmp_path / "whole", texts)
    assert sum("repeated.passages" in count for count in counts) > 20
    assert sum("repeated.lines" in count for count in counts) > 20
    monkeypatch.setattr(sorting, "_COPIES", 4 << 8)
    for size in (500, 3_000):  # no line is longer
        monkeypatch.setattr(words, "PIECE", size)
        monkeypatch.setattr(repeats, "PIECE", size)
        assert stripped(tmp_path / str(size), texts) == (whole, counts)


def test_every_passage_of_unique_words_is_found(tmp_path: Path) -> None:
    """What is left shares no passage with an earlier document, and nothing went that did not."""
    texts = corpus()
    chosen = SETTINGS.model_copy(update={"line_documents": 0})
    found, _ = stripped(tmp_path, texts, chosen)
    count = chosen.passage_words
    seen: set[tuple[str, ...]] = set()
    for before, after in zip(texts, found, strict=True):
        tokens = before.split()
        grams = [tuple(tokens[i : i + count]) for i in range(len(tokens) - count + 1)]
        repeated = np.zeros(len(tokens), dtype=bool)
        for place, gram in enumerate(grams):
            if gram in seen:
                repeated[place : place + count] = True
        left = [token for token, gone in zip(tokens, repeated, strict=True) if not gone]
        assert [token for token in after.split() if token != "…"] == [t for t in left if t != "…"]
        seen.update(grams)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abc"), max_size=40).map(" ".join), min_size=1, max_size=5),
    st.integers(2, 8),
)
def test_what_goes_stands_in_an_earlier_document(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], count: int
) -> None:
    chosen = DuplicateSettings(line_documents=0, passage_words=count)
    folder = tmp_path_factory.mktemp("any")
    count_repeats(texts, folder, chosen)
    for document, first, last in np.load(folder / "spans.npy").tolist():
        gone = texts[document].split()[first:last]
        assert len(gone) >= count
        earlier = [" ".join(text.split()) for text in texts[:document]]
        told = np.zeros(len(gone), dtype=bool)  # several passages may meet in one stretch
        for start in range(len(gone) - count + 1):
            if any(" ".join(gone[start : start + count]) in text for text in earlier):
                told[start : start + count] = True
        assert told.all()


@settings(deadline=None)
@given(st.lists(st.integers(0, 6), max_size=60), st.integers(1, 9), st.integers(0, 60))
def test_every_passage_holds_a_fingerprint(codes: list[int], count: int, cut: int) -> None:
    hashes = np.array(codes, dtype=np.uint64)
    cut = min(cut, len(codes))
    keys, places = fingerprints(hashes, np.array([cut, len(codes)]), count)
    gram = max(1, count // 2)
    for begin, end in ((0, cut), (cut, len(codes))):
        for start in range(begin, end - count + 1):
            assert ((places >= start) & (places + gram <= start + count)).any()
        alone, inside = fingerprints(hashes[begin:end], np.array([end - begin]), count)
        mine = (places >= begin) & (places < end)
        assert np.array_equal(places[mine] - begin, inside)
        assert np.array_equal(keys[mine], alone)


def test_another_text_is_refused(tmp_path: Path) -> None:
    passage = prose(1, 30)
    count_repeats([passage, f"{passage} and more"], tmp_path, SETTINGS)
    with pytest.raises(DataError, match="document 1 has 33 words and had 32"):
        Repeats.open(tmp_path).strip(f"{passage} and more words", 1)


def test_what_did_not_end_is_not_opened(tmp_path: Path) -> None:
    def broken() -> object:
        yield prose(1, 30)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        count_repeats(broken(), tmp_path, SETTINGS)  # type: ignore[arg-type]
    with pytest.raises(FolderError, match=r"repeats\.json: cannot be read"):
        Repeats.open(tmp_path)
    texts = corpus()
    assert stripped(tmp_path, texts) == stripped(tmp_path / "other", texts)


@pytest.mark.parametrize(
    ("text", "lines", "passages", "expected"),
    [
        ("one two three", [], [(4, 7)], "one three"),
        ("one\n\n(two!)\n\nthree", [], [(6, 9)], "one\n\nthree"),
        ("one\ntwo\nthree", [(4, 7)], [], "one\nthree"),
        ("one\n  two.", [(6, 9)], [], "one\n"),
        ("two, three", [], [(0, 3)], "three"),
        ("one two three four", [(4, 7)], [(4, 7), (8, 13)], ""),
        ("one “two” well-known", [], [(5, 14)], "one known"),
    ],
)
def test_what_is_left_still_reads_as_text(
    text: str, lines: list[tuple[int, int]], passages: list[tuple[int, int]], expected: str
) -> None:
    assert cut(text, lines, passages) == expected
