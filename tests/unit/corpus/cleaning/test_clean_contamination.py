"""Evaluation text: found by its n-grams, cut out or dropped, and named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.config.corpus_clean import CleanSettings
from tinyforge.corpus.cleaning import Cleaner, build_contamination_index
from tinyforge.corpus.cleaning.contamination import ContaminationIndex, Hit, without_hits
from tinyforge.errors import DataError, FolderError
from tinyforge.records.documents import Document, Dropped

QUESTION = "Which of the following statements about the moons of Jupiter is not true in any sense?"
SHORT = "Name the largest moon of the planet Jupiter now"  # nine words
TINY = "yes or no"
OTHER = "and then they went on to talk about the weather of the last week at some length "


@pytest.fixture
def index(tmp_path: Path) -> Path:
    (tmp_path / "exam.jsonl").write_text(
        json.dumps({"question": QUESTION, "choices": [TINY, {"deep": SHORT}]}) + "\n"
    )
    (tmp_path / "other.csv").write_text(f"id,text\n1,{TINY}\n2,{OTHER}\n")
    path = tmp_path / "index.bin"
    files = [str(tmp_path / "exam.jsonl"), str(tmp_path / "other.csv")]
    # 16 words make 4 13-grams, nine words one 9-gram, 17 words 5.
    assert build_contamination_index(files, CleanSettings(), path) == 4 + 1 + 5
    return path


def cleaned(
    index: Path, text: str, **settings: object
) -> tuple[Document | Dropped, dict[str, int]]:
    cleaner = Cleaner(CleanSettings(recipe="none", **settings), index)  # type: ignore[arg-type]
    done = cleaner.clean(Document("a.txt", text, "s"))
    return done.result, done.changes


def test_found_without_case_and_punctuation(index: Path) -> None:
    text = "Before. WHICH of the following -- statements about the moons, of jupiter; is not true?"
    [hit] = ContaminationIndex(index).find(text)
    assert text[hit.start : hit.end] == text[len("Before. ") : -1]
    assert (hit.file, hit.row) == ("exam.jsonl", 1)


def test_twelve_words_are_not_enough_but_a_whole_short_text_is(index: Path) -> None:
    finder = ContaminationIndex(index)
    assert finder.find(" ".join(QUESTION.split()[:12])) == []
    assert len(finder.find(" ".join(QUESTION.split()[:13]))) == 1
    assert len(finder.find(f"So: {SHORT.lower()}!")) == 1
    assert finder.find(f"{TINY} {TINY} {TINY}") == []


def test_the_passage_and_its_surroundings_are_cut_out(index: Path) -> None:
    before = " ".join(f"before{n}" for n in range(100))
    after = " ".join(f"after{n}" for n in range(100))
    result, changes = cleaned(index, f"{before} {QUESTION} {after}")
    assert isinstance(result, Document)
    first, second = result.text.split("\n\n")
    assert before.startswith(first)
    assert after.endswith(second)
    assert 200 <= len(before) - len(first) < 212
    assert 200 <= len(after) - len(second) < 212
    assert changes == {"contamination.exam.jsonl": 1}
    again, changes = cleaned(index, result.text)
    assert isinstance(again, Document)
    assert (again.text, changes) == (result.text, {})


def test_what_is_dropped_names_file_and_words(index: Path) -> None:
    result, _ = cleaned(index, f"Now: {QUESTION}", contamination_action="drop")
    assert isinstance(result, Dropped)
    assert (result.step, result.reason) == ("contamination", "evaluation text")
    assert result.detail.startswith("exam.jsonl:1: 'Which of the following")
    assert result.detail.endswith("(1 place)")


def test_too_little_left_or_too_many_places_drop_it(index: Path) -> None:
    assert isinstance(cleaned(index, f"Now: {QUESTION}")[0], Dropped)
    filler = " ".join(f"filler{n}" for n in range(200))
    many = f" {filler} ".join([QUESTION] * 3)
    assert isinstance(cleaned(index, many, contamination_places=2)[0], Dropped)
    assert isinstance(cleaned(index, many, contamination_places=3)[0], Document)


def test_clean_text_stays_as_it_is(index: Path) -> None:
    text = "A text about the moons of Saturn, which is not in any exam. " * 40
    result, changes = cleaned(index, text.strip())
    assert isinstance(result, Document)
    assert result.text == text.strip()
    assert not changes


def test_files_that_cannot_serve(tmp_path: Path) -> None:
    (tmp_path / "tiny.jsonl").write_text('{"text": "too short"}\n')
    with pytest.raises(DataError, match="8 words or more"):
        build_contamination_index([str(tmp_path / "tiny.jsonl")], CleanSettings(), tmp_path / "i")
    with pytest.raises(DataError, match="no such file"):
        build_contamination_index([str(tmp_path / "gone.jsonl")], CleanSettings(), tmp_path / "i")
    assert not (tmp_path / "i").exists()


@pytest.mark.parametrize("damage", ["cut", "magic", "gone"])
def test_a_damaged_table_is_refused(index: Path, damage: str) -> None:
    raw = index.read_bytes()
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(raw[:-8] if damage == "cut" else b"WRONGONE" + raw[8:])
    with pytest.raises(FolderError, match="missing or damaged"):
        ContaminationIndex(index)


def test_the_same_files_make_the_same_bytes(index: Path, tmp_path: Path) -> None:
    files = [str(tmp_path / "exam.jsonl"), str(tmp_path / "other.csv")]
    build_contamination_index(files, CleanSettings(), tmp_path / "again.bin")
    assert (tmp_path / "again.bin").read_bytes() == index.read_bytes()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=4), st.integers(0, 9))
def test_cutting_leaves_whole_words_of_the_text(pairs: list[tuple[int, int]], window: int) -> None:
    text = " ".join(f"w{n}" for n in range(20))
    hits = [Hit(start, min(len(text), start + size), "f", 1) for start, size in sorted(pairs)]
    hits = [hit for i, hit in enumerate(hits) if all(hit.start >= h.end for h in hits[:i])]
    left = without_hits(text, hits, window, 0)
    assert set(left.split()) <= set(text.split())
    for hit in hits:
        lost = text[max(0, hit.start - window) : hit.end + window].split()[1:-1]
        assert not set(lost) & set(left.split())
    if not hits:
        assert left == text
