"""Several right answers: in a list, in numbered columns, or in a column of references."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.data.columns import recognise
from tinyforge.data.examples import example_maker
from tinyforge.data.references import numbered
from tinyforge.data.store import ExampleStore
from tinyforge.records.examples import Example
from tinyforge.records.rows import Rejected, Row, Source

LONG = "a long text about many things that nobody has ever said before, number {}"


def rows_of(**columns: Any) -> list[dict[str, Any]]:
    return [
        {k: v.format(i) if isinstance(v, str) else v for k, v in columns.items()} for i in range(20)
    ]


def made(columns: dict[str, Any], task: str = "text2text", **settings: Any) -> Example:
    rows, chosen = rows_of(**columns), DataSettings(**settings)
    found = recognise(rows, chosen, "f")
    example = example_maker(found, task, chosen, where="f")(Row(rows[0], Source("f", 1)))
    assert not isinstance(example, Rejected)
    return example


def test_numbered_columns() -> None:
    assert numbered(["answer1", "answer2", "x1"]) == {"answer1": ["answer2"]}
    assert numbered(["ref_0", "ref_1", "ref_2"]) == {"ref_0": ["ref_1", "ref_2"]}
    assert numbered(["Target", "target 2"]) == {"Target": ["target 2"]}
    assert numbered(["answer1"]) == {}
    assert numbered(["answer3", "answer4"]) == {}
    assert numbered(["answer1", "answer3"]) == {}
    assert numbered(["label1", "label2", "sentence1", "sentence2"]) == {}


@pytest.mark.parametrize(
    ("columns", "references"),
    [
        ({"question": LONG, "answer1": "one {}", "answer2": "two"}, ("one 0", "two")),
        ({"source": LONG, "ref1": "one", "ref2": "two", "ref3": "one"}, ("one", "two")),
        ({"source": LONG, "target": "one", "references": ["one", "two", "three"]},
         ("one", "two", "three")),
        ({"source": LONG, "target": ["one", "two"]}, ("one", "two")),
        ({"source": LONG, "references": ["one", "two"]}, ("one", "two")),
        ({"question": LONG, "context": LONG, "answers": {"text": ["one", "two", "one"]}},
         ("one", "two")),
        ({"source": LONG, "target": "one"}, ()),
        ({"source": LONG, "target": ["one"]}, ()),
        ({"source": LONG, "target": "one", "references": ["one"]}, ()),
    ],
)  # fmt: skip
def test_references_are_found(columns: dict[str, Any], references: tuple[str, ...]) -> None:
    example = made(columns)
    assert example.references == references
    assert example.output == (references[0] if references else "one")


def test_the_user_names_the_output() -> None:
    columns = {"question": LONG, "answer1": "one", "answer2": "two"}
    assert made(columns, output="answer2").output == "two"
    assert made(columns, output="answer2").references == ()
    assert made(columns, output="answer1").references == ("one", "two")


def test_chats_have_references_too() -> None:
    example = made({"instruction": LONG, "output": ["one", "two"]}, task="instruct")
    assert example.references == ("one", "two")
    assert example.messages[-1].content == "one"


def test_labels_are_no_references() -> None:
    example = made({"text": LONG, "labels": ["one", "two"]}, task="classify")
    assert example.labels == ("one", "two")
    assert example.references == ()


def test_a_reference_that_is_no_text_is_passed_over() -> None:
    example = made({"source": LONG, "target": "one", "references": ["two", {"a": 1}, None, ""]})
    assert example.references == ("one", "two")


def test_the_store_keeps_them(tmp_path: Path) -> None:
    examples = [Example("a", "b", references=("b", "c")), Example("d", "e")]
    store = ExampleStore.of(examples, tmp_path / "rows.bin")
    assert list(store) == examples
