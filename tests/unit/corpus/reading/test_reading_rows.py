"""Tables: which column holds the text, what is kept beside it, and bad rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reading_files import parquet, read, reasons, texts, write

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.reading import find, find_units, read_unit, rows
from tinyforge.errors import DataError
from tinyforge.records.rows import Row, Source


def jsonl(*values: dict[str, Any]) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_every_format_of_rows(tmp_path: Path) -> None:
    values = [{"id": "1", "text": "Eins, zwei."}, {"id": "2", "text": "Drei.\nVier."}]
    write(tmp_path / "raw" / "a.jsonl", jsonl(*values))
    write(tmp_path / "raw" / "b.json", json.dumps(values, indent=1))
    write(tmp_path / "raw" / "c.csv", 'id,text\n1,"Eins, zwei."\n2,"Drei.\nVier."\n')
    write(tmp_path / "raw" / "d.tsv", "id\ttext\n1\tEins, zwei.\n")
    write(tmp_path / "raw" / "e.parquet", parquet(values))
    found = texts(tmp_path / "raw")
    assert list(found.values()) == ["Eins, zwei.", "Drei.\nVier."] * 3 + [
        "Eins, zwei.", "Eins, zwei.", "Drei.\nVier.",
    ]  # fmt: skip
    assert list(found)[:2] == ["raw/a.jsonl:1", "raw/a.jsonl:2"]
    assert list(found)[-2:] == ["raw/e.parquet:1", "raw/e.parquet:2"]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"title": "T", "content": "C"}, "C"),
        ({"content": "C", "text": "T"}, "T"),
        ({"Document": "D", "label": "x"}, "D"),
        ({"raw-content": "R", "digest": "d"}, "R"),
        ({"words": "W", "n": 3}, "W"),
        ({"text": None, "body": "B"}, "B"),
        ({"n": 1, "text": ["One.", "Two."]}, "One.\nTwo."),
        ({"comment": "A longer comment.", "toxic": "yes"}, "A longer comment."),
    ],
)
def test_the_text_column_is_known(tmp_path: Path, row: dict[str, Any], expected: str) -> None:
    assert texts(write(tmp_path / "a.jsonl", jsonl(row))) == {"a.jsonl:1": expected}


def test_an_unclear_text_column_is_refused_once_and_can_be_named(tmp_path: Path) -> None:
    note = jsonl({"comment": "short", "original": "the text itself", "fixed": "the text mended"})
    assert reasons(write(tmp_path / "b.jsonl", note)) == {"b.jsonl": "no text column"}
    path = write(tmp_path / "a.jsonl", jsonl(*[{"left": "L", "right": "R"}] * 100))
    _, refused = read(path)
    assert [(item.id, item.reason) for item in refused] == [("a.jsonl", "no text column")]
    assert "'left', 'right'" in refused[0].detail
    assert "read.text_column" in refused[0].detail
    assert set(texts(path, text_column="right").values()) == {"R"}
    assert reasons(path, text_column="middle") == {"a.jsonl": "no such text column"}


def test_known_columns_are_kept_beside_the_text(tmp_path: Path) -> None:
    row = {
        "text": "T", "url": "u", "timestamp": 12, "License": "MIT", "lang": "en", "digest": "x",
        "meta": {"deep": 1}, "title": None, "id": 2**70,
    }  # fmt: skip
    path = write(tmp_path / "a.json", json.dumps([row]))
    kept, _ = read(path)
    assert kept[0].meta == {
        "url": "u", "date": 12, "licence": "MIT", "language": "en",
        "id": pytest.approx(2**70),
    }  # fmt: skip
    assert kept[0].language == ""
    kept, _ = read(path, meta_columns=("digest", "absent"))
    assert kept[0].meta == {"digest": "x"}


def test_bad_rows_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    lines = ['{"text": "One"}', "{broken", '{"text": 7}', '{"other": "x"}', '{"text": ""}',
             '{"text": "Two"}']  # fmt: skip
    kept, refused = read(write(tmp_path / "a.jsonl", "\n".join(lines)))
    assert [document.text for document in kept] == ["One", "Two"]
    assert [(item.id, item.reason) for item in refused] == [
        ("a.jsonl:2", "invalid JSON"),
        ("a.jsonl:3", "no text"),
        ("a.jsonl:4", "no text"),
        ("a.jsonl:5", "empty"),
    ]


def test_rows_on_one_line_have_names_of_their_own(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps([{"text": word} for word in ("a", "b", "c")]))
    assert texts(path) == {"a.json:1": "a", "a.json:1.2": "b", "a.json:1.3": "c"}


def test_an_object_without_rows_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "package.json", json.dumps({"name": "x", "version": "1"}, indent=1))
    assert reasons(path) == {"package.json": "no readable rows"}


def test_a_long_row_is_cut_into_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", jsonl({"text": "word " * 500}, {"text": "short"}))
    kept, _ = read(path, max_characters=1_000)
    assert [document.id for document in kept] == [
        "a.jsonl:1:1", "a.jsonl:1:2", "a.jsonl:1:3", "a.jsonl:2",
    ]  # fmt: skip


def test_latin_1_tables_are_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "id,text\n1,Déjà vu à la forêt\n".encode("latin-1"))
    assert texts(path) == {"a.csv:2": "Déjà vu à la forêt"}


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    data = parquet([{"text": "One"}])
    write(tmp_path / "raw" / "a.parquet", data[: len(data) // 2])
    write(tmp_path / "raw" / "b.parquet", b"PAR1" + b"x" * 100 + b"PAR1")
    found = reasons(tmp_path / "raw")
    assert found == {"raw/a.parquet": "no readable rows", "raw/b.parquet": "no readable rows"}


def test_a_data_set_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def some(name: str) -> Iterator[Row]:
        assert name == "someone/stories"
        yield from (Row({"text": f"Story {i}"}, Source(name, i)) for i in (1, 2))

    monkeypatch.setattr(find, "rows_of_hub", some)
    monkeypatch.setattr(rows, "rows_of_hub", some)
    settings = ReadSettings()
    units = find_units(["someone/stories"], settings)
    assert [(unit.source, unit.kind) for unit in units] == [("someone/stories", "hub")]
    assert [result.id for result in read_unit(units[0], settings)] == [
        "someone/stories:1", "someone/stories:2",
    ]  # fmt: skip


def test_a_data_set_out_of_reach_is_refused_before_the_work_begins(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none(name: str) -> Iterator[Row]:
        raise DataError("not in the cache and the hub is out of reach", where=name)

    monkeypatch.setattr(find, "rows_of_hub", none)
    with pytest.raises(DataError, match="out of reach"):
        find_units(["someone/stories"], ReadSettings())
