"""A corpus is read from anything, counted, and the same every time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinyforge.corpus.texts import Corpus
from tinyforge.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "books").mkdir()
    (tmp_path / "books" / "one.txt").write_text("Größe.\n\nNext.", encoding="utf-8")
    (tmp_path / "books" / "two.txt").write_text("Two", encoding="utf-8")
    rows = [json.dumps({"text": text}) for text in ("row one", "row two")]
    (tmp_path / "rows.jsonl").write_text("\n".join(rows), encoding="utf-8")
    return tmp_path


def test_files_folders_and_rows(folder: Path) -> None:
    corpus = Corpus([str(folder / "books"), str(folder / "rows.jsonl")])
    texts = [document.text for document in corpus.documents()]
    assert len(texts) == 4
    assert "Two" in texts
    assert "row two" in texts
    assert corpus.documents_read == 4
    assert corpus.bytes == sum(len(text.encode()) for text in texts)
    found = corpus.to_json()
    assert len(found["sources"]) == 2
    assert sum(amount["documents"] for amount in found["sources"].values()) == 4


def test_the_digest_is_of_the_texts(folder: Path) -> None:
    corpus = Corpus([str(folder / "books")])
    list(corpus.documents())
    first = corpus.digest
    list(corpus.documents())
    assert corpus.digest == first
    assert corpus.documents_read == 2
    (folder / "books" / "two.txt").write_text("Tow", encoding="utf-8")
    list(corpus.documents())
    assert corpus.digest != first


def test_nothing_to_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    corpus = Corpus([str(tmp_path)])

    def read() -> None:
        list(corpus.documents())
        corpus.require_text()

    with pytest.raises(DataError):
        read()
    with pytest.raises(DataError):
        list(Corpus([str(tmp_path / "missing")]).documents())
