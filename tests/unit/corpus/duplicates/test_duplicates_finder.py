"""Documents that repeat others: planted, chained, contained; through the disk; after a kill."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates import DuplicateFinder, Duplicates, signatures, sorting
from tinyforge.corpus.duplicates.signatures import distinct_shingles
from tinyforge.errors import FolderError

SETTINGS = DuplicateSettings(long_document=5_000)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(chooser: random.Random) -> str:
    return "".join(chooser.choices(LETTERS, k=chooser.randint(2, 9)))


def prose(seed: int, words: int) -> str:
    chooser = random.Random(seed)
    return " ".join(word(chooser) for _ in range(words))


def edited(text: str, share: float, seed: int) -> str:
    chooser = random.Random(seed)
    words = text.split()
    for place in chooser.sample(range(len(words)), round(share * len(words))):
        words[place] = chooser.choice(("", word(chooser), f"{words[place]} {word(chooser)}"))
    return " ".join(words)


def find(
    folder: Path, texts: list[str], chosen: DuplicateSettings = SETTINGS, batch: int = 50
) -> Duplicates:
    finder = DuplicateFinder(folder, chosen)
    for first in range(0, len(texts), batch):
        finder.add(first, signatures(texts[first : first + batch], chosen))
    found = finder.find(texts.__getitem__)
    finder.close()
    return found


def same(one: Duplicates, other: Duplicates) -> bool:
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in ("cluster", "duplicate_of", "similarity", "exact")
    )


def planted() -> tuple[list[str], dict[int, int]]:
    """Documents, some of them edited by 5 %, and the original of each of these."""
    texts = [prose(seed, random.Random(seed).randint(60, 400)) for seed in range(300)]
    originals = {}
    for seed in range(0, 300, 3):
        originals[len(texts)] = seed
        texts.append(edited(texts[seed], 0.05, seed))
    return texts, originals


def test_planted_copies_are_found_and_nothing_else(tmp_path: Path) -> None:
    texts, originals = planted()
    found = find(tmp_path, texts)
    right = sum(found.duplicate_of[copy] == original for copy, original in originals.items())
    assert right >= 99
    dropped = set(np.flatnonzero(found.duplicate_of >= 0).tolist())
    assert dropped <= set(originals)
    for copy in dropped:
        assert found.cluster[copy] == found.cluster[originals[copy]] == originals[copy]
        assert 0.7 <= found.similarity[copy] < 1
    assert not found.exact.any()
    assert found.facts["near"] == len(dropped)
    assert found.facts["clusters"] == len(texts) - len(dropped)


def test_memory_and_grouping_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts, _ = planted()
    texts += texts[:20]
    whole = find(tmp_path / "whole", texts, batch=1_000)
    monkeypatch.setattr(sorting, "_COPIES", 4 << 7)  # memory holds so few records now
    monkeypatch.setattr(sorting, "_read", counted := Counted(sorting._read))
    small = DuplicateSettings(long_document=5_000, memory=16)
    assert same(find(tmp_path / "disk", texts, small, batch=7), whole)
    assert counted.calls > 10


class Counted:
    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, path: Path, size: int, start: int, end: int) -> Any:
        self.calls += 1
        return self.function(path, size, start, end)


def test_likeness_is_the_true_one(tmp_path: Path) -> None:
    texts = [prose(1, 200), edited(prose(1, 200), 0.04, 1)]
    found = find(tmp_path, texts)
    one, other = (distinct_shingles(text, SETTINGS.shingle) for text in texts)
    true = len(np.intersect1d(one, other)) / len(np.union1d(one, other))
    assert found.similarity[1] == np.float32(true)


def test_equal_texts_share_what_their_first_one_got(tmp_path: Path) -> None:
    first, second = prose(1, 200), edited(prose(1, 200), 0.03, 1)
    texts = [first, second, second.upper() + "\n", first, prose(2, 100), "", " ", "?"]
    found = find(tmp_path, texts)
    assert found.duplicate_of.tolist() == [-1, 0, 0, 0, -1, -1, 5, -1]
    assert found.exact.tolist() == [False, False, True, True, False, False, True, False]
    assert found.cluster.tolist() == [0, 0, 0, 0, 4, 5, 5, 7]
    assert found.similarity[3] == 1
    assert found.similarity[2] == found.similarity[1] < 1
    assert found.facts["exact"] == 3


def test_a_chain_drops_nothing_at_its_far_end(tmp_path: Path) -> None:
    texts = [prose(1, 400)]
    for seed in range(4):
        texts.append(edited(texts[-1], 0.06, seed))
    found = find(tmp_path, texts)
    assert set(found.cluster.tolist()) == {0}
    kept = found.duplicate_of < 0
    assert kept.sum() > 1
    for number, other in enumerate(found.duplicate_of.tolist()):
        if other >= 0:
            assert kept[other]
            one, two = (distinct_shingles(texts[i], SETTINGS.shingle) for i in (number, other))
            assert len(np.intersect1d(one, two)) / len(np.union1d(one, two)) >= 0.7


def test_part_of_a_longer_document_is_dropped_for_it(tmp_path: Path) -> None:
    book = prose(1, 8_000)
    half = book[: len(book) // 2]
    other = prose(2, 6_000)
    found = find(tmp_path, [half, other, book])
    assert found.duplicate_of.tolist() == [2, -1, -1]
    assert found.similarity[0] > 0.99
    assert found.cluster.tolist() == [0, 1, 0]
    assert found.facts["contained"] == 1
    never = SETTINGS.model_copy(update={"containment": 1})
    assert (find(tmp_path / "never", [half, other, book], never).duplicate_of == -1).all()


def test_editions_of_a_book_are_one(tmp_path: Path) -> None:
    book = prose(1, 8_000)
    edition = prose(3, 400) + " " + edited(book, 0.02, 5) + " " + prose(4, 700)
    texts = [book, prose(2, 6_000), edition]
    assert find(tmp_path, texts).duplicate_of.tolist() == [-1, -1, 0]


def test_a_killed_process_adds_again_and_gets_the_same(tmp_path: Path) -> None:
    texts, _ = planted()
    texts.append(prose(1, 8_000))
    whole = find(tmp_path / "whole", texts)
    killed = DuplicateFinder(tmp_path / "killed", SETTINGS)
    for first in range(0, 200, 50):
        killed.add(first, signatures(texts[first : first + 50], SETTINGS))
    killed.add(400, signatures(texts[400:], SETTINGS))
    killed.close()
    with (tmp_path / "killed" / "passages.bin").open("ab") as file:
        file.write(b"torn")
    again = DuplicateFinder(tmp_path / "killed", SETTINGS)
    with pytest.raises(FolderError, match=r"signature is missing \(got 200\)"):
        again.find(texts.__getitem__)
    for first in range(150, len(texts), 50):
        again.add(first, signatures(texts[first : first + 50], SETTINGS))
    again.sync()
    found = again.find(texts.__getitem__)
    assert same(found, whole)
    assert same(Duplicates.open(tmp_path / "killed"), whole)
    assert same(again.find(texts.__getitem__), whole)
    again.close()


def test_other_settings_are_refused(tmp_path: Path) -> None:
    DuplicateFinder(tmp_path, SETTINGS).close()
    with pytest.raises(FolderError, match="made with other settings"):
        DuplicateFinder(tmp_path, SETTINGS.model_copy(update={"similarity": 0.8}))
    DuplicateFinder(tmp_path, SETTINGS.model_copy(update={"memory": 99})).close()


def test_each_kind_can_be_left_out(tmp_path: Path) -> None:
    book = prose(1, 3_000)
    texts = [book, book, edited(book, 0.02, 1)]
    off: dict[str, Any] = {"similarity": 1, "containment": 1}
    exact = find(tmp_path / "a", texts, SETTINGS.model_copy(update=off))
    assert exact.duplicate_of.tolist() == [-1, 0, -1]
    none = find(tmp_path / "b", texts, SETTINGS.model_copy(update={**off, "exact": False}))
    assert none.duplicate_of.tolist() == [-1, -1, -1]


def test_an_empty_corpus(tmp_path: Path) -> None:
    found = find(tmp_path, [])
    assert len(found.cluster) == 0
    assert found.facts["documents"] == 0


def test_only_likely_pairs_are_read(tmp_path: Path) -> None:
    texts, originals = planted()
    read: list[int] = []
    finder = DuplicateFinder(tmp_path, SETTINGS)
    finder.add(0, signatures(texts, SETTINGS))
    finder.find(lambda number: read.append(number) or texts[number])  # type: ignore[func-returns-value]
    finder.close()
    assert len(set(read)) <= 2 * len(originals) + 10


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), max_size=12), st.integers(1, 5))
def test_what_is_dropped_is_like_what_is_kept(
    tmp_path_factory: pytest.TempPathFactory, made: list[tuple[int, int]], batch: int
) -> None:
    texts = [edited(prose(seed, 80), 0.05 * edits, 7 * seed + edits) for seed, edits in made]
    found = find(tmp_path_factory.mktemp("any"), texts, batch=batch)
    for number, other in enumerate(found.duplicate_of.tolist()):
        assert found.cluster[number] <= number
        if other < 0:
            assert found.similarity[number] == 0
            assert not found.exact[number]
            continue
        assert found.duplicate_of[other] == -1
        assert found.cluster[number] == found.cluster[other]
        assert found.similarity[number] >= np.float32(SETTINGS.similarity)
        assert found.exact[number] == (texts[number] in texts[:number])
