"""Corpora in three parts: ends held out, passages to judge on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.parts import LONG, EndsHeldOut, open_parts, passages
from tinyforge.errors import DataError
from tinyforge.records.documents import Document

LINES = "".join(f"line {number} of a long text\n" for number in range(1_000))


class Whole:
    """A corpus of which all is training."""

    fingerprint = "abc"

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = texts
        self.sources = {"a": None}

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        if part == "train":
            yield from (Document(name, text, "a") for name, text in self.texts.items())


def test_a_long_text_is_cut_at_lines_and_loses_nothing() -> None:
    corpus = EndsHeldOut(Whole({"book": LINES}), 0.1)
    parts = {part: list(corpus.documents(part)) for part in ("train", "validation", "test")}
    assert "".join(parts[part][0].text for part in parts) == LINES
    assert all(documents[0].text.endswith("\n") for documents in parts.values())
    assert 0.08 < len(parts["test"][0].text) / len(LINES) < 0.12
    assert [parts[part][0].id for part in parts] == ["book", "book#validation", "book#test"]


def test_of_a_short_text_more_is_held_out_for_the_test() -> None:
    shares = []
    for lines in (1_000, 8_000, 20_000):
        text = "".join(f"line {number} of a long text\n" for number in range(lines))
        corpus = EndsHeldOut(Whole({"book": text}), None)
        held = [sum(len(d.text) for d in corpus.documents(part)) / len(text)
                for part in ("validation", "test")]  # fmt: skip
        assert held[0] == pytest.approx(0.05, abs=0.01)
        assert held[1] == pytest.approx(corpus.test_share, abs=0.01)
        shares.append(corpus.test_share)
    assert shares[0] == 0.2
    assert 0.05 < shares[1] < 0.2
    assert shares[2] == 0.05


def test_no_passage_is_learnt_and_held_out() -> None:
    """The text's end repeats its beginning, but for a stretch in the middle of that end."""
    rng = random.Random(0)
    words = [f"w{rng.randrange(5_000)}" for _ in range(6_000)]
    lines = [" ".join(words[i : i + 10]) + "\n" for i in range(0, 6_000, 10)]
    fresh = [" ".join(f"n{rng.randrange(5_000)}" for _ in range(10)) + "\n" for _ in range(60)]
    text = "".join([*lines, *lines[:40], *fresh, *lines[40:80]])
    corpus = EndsHeldOut(Whole({"book": text}), 0.15)
    (learnt,) = corpus.documents("train")
    (test,) = corpus.documents("test")
    assert not set(test.text.splitlines()[2:-2]) & set(learnt.text.splitlines())
    assert len(test.text) > 0.8 * len("".join(fresh))
    repeated = EndsHeldOut(Whole({"book": "".join(lines[:100]) * 12}), 0.15)
    assert next(iter(repeated.documents("train")), None)
    assert not list(repeated.documents("test"))
    assert not list(repeated.documents("validation"))


def test_short_texts_are_held_out_whole() -> None:
    texts = {f"note {number}": f"short text {number}" for number in range(2_000)}
    corpus = EndsHeldOut(Whole(texts), 0.1)
    counts = {part: {d.id for d in corpus.documents(part)} for part in
              ("train", "validation", "test")}  # fmt: skip
    assert set().union(*counts.values()) == set(texts)
    assert sum(map(len, counts.values())) == len(texts)
    assert all(150 < len(counts[part]) < 250 for part in ("validation", "test"))


def test_the_fingerprint_knows_the_share() -> None:
    whole = Whole({"book": LINES})
    assert EndsHeldOut(whole, 0.1).fingerprint != EndsHeldOut(whole, 0.2).fingerprint


def test_raw_files_are_taken_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "play.txt").write_text(LINES, encoding="utf-8")
    corpus, how = open_parts([str(tmp_path / "play.txt")], ReadSettings(), held_share=0.05)
    text = "".join(
        d.text for part in ("train", "validation", "test") for d in corpus.documents(part)
    )
    assert text == LINES
    assert "last part" in how


def test_too_little_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("a short note", encoding="utf-8")
    with pytest.raises(DataError, match="too small"):
        open_parts([str(tmp_path / "note.txt")], ReadSettings(), held_share=0.05)


def test_passages_come_from_all_over_and_keep_to_the_limit() -> None:
    documents = [Document(f"d{n}", LINES, "a") for n in range(10)]
    every = passages(lambda: documents, characters=1_000, limit=10**9)
    assert "".join(text for document, text in every if document.id == "d3") == LINES
    assert max(len(text) for _, text in every) <= 1_600
    some = passages(lambda: documents, characters=1_000, limit=20_000)
    assert 15_000 < sum(len(text) for _, text in some) < 25_000
    assert {document.id for document, _ in some} == {document.id for document in documents}
    assert LONG > 1_000
