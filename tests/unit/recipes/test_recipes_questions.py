"""Which part of a row is asked, and what becomes of rows that cannot be."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.errors import DataError, SettingError
from tinyforge.recipes.questions import given_texts, input_columns, read_questions
from tinyforge.records.examples import Example
from tinyforge.records.rows import Rejected

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]


def asked(source: Any, task: str = "text2text", **settings: Any) -> list[Example | Rejected]:
    return list(read_questions(source, DataSettings(**settings)).examples(task))


def texts(found: list[Example | Rejected]) -> list[str | None]:
    return [item.input if isinstance(item, Example) else None for item in found]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"input": "a"}, "a"),
        ({"text": "a", "label": "x"}, "a"),
        ({"label": "x", "text": "a"}, "a"),
        ({"prompt": "a", "completion": "b"}, "a"),
        ({"prompt": "a"}, "a"),
        ({"instruction": "do", "input": "a"}, "do\n\na"),
        ({"instruction": "do", "input": ""}, "do"),
        ({"question": "why", "context": "so"}, "question: why context: so"),
        ({"question": "why", "answer": "so"}, "why"),
        ({"mr": "facts", "ref": "words"}, "facts"),
        ({"id": 3, "foo": "a"}, "a"),
        ({"foo": "a", "output": "b"}, "a"),
    ],
)
def test_the_column_is_found_by_its_name(row: dict[str, Any], text: str) -> None:
    assert texts(asked([row])) == [text]


def test_a_chat_is_asked_its_last_question() -> None:
    found = asked([{"messages": CHAT}, {"messages": CHAT[:1]}], "instruct")
    assert texts(found) == ["hi", "hi"]
    assert [len(e.messages) for e in found if isinstance(e, Example)] == [2, 1]
    with pytest.raises(DataError, match="classify"):
        asked([{"messages": CHAT}], "classify")


def test_a_named_column_wins() -> None:
    assert texts(asked([{"text": "a", "other": "b"}], input="other")) == ["b"]
    with pytest.raises(SettingError, match="Did you mean 'other'"):
        asked([{"text": "a", "other": "b"}], input="othr")


def test_several_candidates_are_not_guessed_between() -> None:
    with pytest.raises(DataError, match=r"data\.input"):
        input_columns([{"foo": "a b", "bar": "c d"}], DataSettings(), "x.csv")


def test_lines_of_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbffirst\r\n\nthi\xffrd\n  last"))
    found = asked(path)
    assert texts(found) == ["first", None, None, "  last"]
    lines = [item.source.line for item in found]
    assert lines == [1, 2, 3, 4]
    assert texts(asked(path, max_rows=1)) == ["first"]
    with pytest.raises(SettingError, match="no columns"):
        asked(path, input="text")


def test_bad_rows_keep_their_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = ['{"input": "a"}', "{bad", '{"other": 1}', json.dumps({"input": "b", "output": "c"})]
    path.write_text("\n".join(rows))
    found = asked(path)
    assert texts(found) == ["a", None, None, "b"]
    assert str(found[1].source) == f"{path}:2"


def test_a_file_without_content(tmp_path: Path) -> None:
    path = tmp_path / "none.txt"
    path.write_text("\n")
    with pytest.raises(DataError, match="empty"):
        asked(path)


def test_given_texts() -> None:
    assert texts(list(given_texts(["a", " ", "b"]).examples("classify"))) == ["a", None, "b"]
