"""Rows become examples, or are turned away with a reason."""

from __future__ import annotations

import math
from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.data.cells import BadRow
from tinyforge.data.columns import recognise
from tinyforge.data.examples import example_maker, time_key
from tinyforge.errors import DataError
from tinyforge.records.examples import Example, Message
from tinyforge.records.rows import Rejected, Row, Source

HERE = Source("f", 1)


def convert(task: str, row: dict[str, Any], like: Any = None, **values: Any) -> Example | Rejected:
    settings = DataSettings(**values)
    columns = recognise([like or row], settings, "f")
    return example_maker(columns, task, settings, where="f")(Row(row, HERE))


def good(task: str, row: dict[str, Any], **values: Any) -> Example:
    made = convert(task, row, **values)
    assert isinstance(made, Example), made
    return made


def reason(task: str, row: dict[str, Any], like: dict[str, Any], **values: Any) -> str:
    made = convert(task, row, like, **values)
    assert isinstance(made, Rejected), made
    return made.reason


def test_classify() -> None:
    made = good("classify", {"text": "Hello ", "label": " spam "})
    assert made == Example(input="Hello ", output="spam", source=HERE)
    for value, text in ((1, "1"), (True, "true"), (2.0, "2"), (0.5, "0.5")):
        assert good("classify", {"text": "x", "label": value}).output == text
    assert good("classify", {"text": 42, "label": "a"}).input == "42"


def test_classify_with_several_labels() -> None:
    made = good("classify", {"text": "x", "labels": ["b", "a", "b"]})
    assert (made.labels, made.output) == (("a", "b"), "a, b")
    assert good("classify", {"text": "x", "labels": ["z"]}).labels == ("z",)
    some = {"text": "x", "labels": ["a"]}
    empty = convert("classify", {"text": "x", "labels": []}, some)
    assert isinstance(empty, Example)
    assert empty.labels == ()
    made = good("classify", {"text": "x", "label": "a; b"}, label_separator=";")
    assert made.labels == ("a", "b")
    made = good("classify", {"text": "x", "label": "['a', 'b']"}, multi_label=True)
    assert made.labels == ("a", "b")
    assert good("classify", some, multi_label=False).output == "a"
    two = {"text": "x", "labels": ["a", "b"]}
    assert reason("classify", two, two, multi_label=False) == "several labels"


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"output": "b"}, "empty input"),
        ({"input": None, "output": "b"}, "empty input"),
        ({"input": "  \n", "output": "b"}, "empty input"),
        ({"input": math.nan, "output": "b"}, "empty input"),
        ({"input": "a"}, "empty output"),
        ({"input": "a", "output": ""}, "empty output"),
        ({"input": {"text": "a"}, "output": "b"}, "wrong type"),
        ({"input": [1], "output": "b"}, "wrong type"),
        ({"input": b"a", "output": "b"}, "wrong type"),
        ({"input": math.inf, "output": "b"}, "not a finite number"),
        ({"input": "a\0", "output": "b"}, "NUL byte"),
        ({"input": "a\ud800", "output": "b"}, "lone surrogate"),
        ({"input": "a", "output": "\udfff"}, "lone surrogate"),
    ],
)
@pytest.mark.parametrize("task", ["text2text", "instruct", "classify"])
def test_reasons(task: str, row: dict[str, Any], expected: str) -> None:
    assert reason(task, row, {"input": "a", "output": "b"}) == expected


def test_text2text_of_every_convention() -> None:
    made = good("text2text", {"question": "Who?", "context": "Ada did.", "answer": "Ada"})
    assert (made.input, made.output) == ("question: Who? context: Ada did.", "Ada")
    made = good("text2text", {"instruction": "Add.", "input": "1 2", "output": 3})
    assert (made.input, made.output) == ("Add.\n\n1 2", "3")
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    made = good("text2text", {"conversations": turns})
    assert (made.input, made.output) == ("Hi", "Hello")
    more = [*turns, {"from": "human", "value": "Bye"}, {"from": "gpt", "value": "See you"}]
    made = good("text2text", {"conversations": more})
    assert made.input == "user: Hi\nassistant: Hello\nuser: Bye"
    squad = {"question": "Who?", "answers": {"text": ["Ada"], "answer_start": [0]}}
    assert good("text2text", squad).output == "Ada"


def test_instruct() -> None:
    made = good(
        "instruct", {"instruction": "Add.", "input": "1 2", "output": "3"}, system="Be nice"
    )
    assert made.messages == (
        Message("system", "Be nice"),
        Message("user", "Add.\n\n1 2"),
        Message("assistant", "3"),
    )
    assert (made.input, made.output) == ("Add.\n\n1 2", "3")
    without = good("instruct", {"instruction": "Add.", "input": "", "output": "3"})
    assert without.messages[0] == Message("user", "Add.")


def chat(*roles: str, content: Any = "x") -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role in roles]}


def test_chats() -> None:
    like = chat("user", "assistant")
    made = good("instruct", chat("system", "user", "assistant", "tool", "assistant"))
    assert [m.role for m in made.messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert len(good("instruct", chat("user", "assistant", "user")).messages) == 2
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert good("instruct", chat("user", "assistant", content=parts)).output == "a\nb"
    for roles, expected in (
        (("user",), "no assistant turn"),
        (("assistant", "user"), "roles out of order"),
        (("user", "user", "assistant"), "roles out of order"),
        (("user", "system", "assistant"), "roles out of order"),
        (("alien", "assistant"), "unknown role"),
    ):
        assert reason("instruct", chat(*roles), like) == expected
    assert reason("instruct", {"messages": []}, like) == "empty input"
    assert reason("instruct", {"messages": "text"}, like) == "wrong type"
    assert reason("instruct", {"messages": ["text"]}, like) == "wrong type"
    assert reason("instruct", chat("user", "assistant", content=None), like) == "empty input"
    images = [{"type": "image_url"}]
    assert reason("instruct", chat("user", "assistant", content=images), like) == "wrong type"


def test_a_preferred_answer_completes_a_chat() -> None:
    row = {
        "conversations": [{"from": "human", "value": "Hi"}],
        "chosen": {"from": "gpt", "value": "Hello"},
        "rejected": {"from": "gpt", "value": "No"},
    }
    made = good("instruct", row, output="chosen")
    assert [m.content for m in made.messages] == ["Hi", "Hello"]


def test_language_model() -> None:
    assert good("language-model", {"text": "Once."}) == Example(output="Once.", source=HERE)
    assert good("language-model", {"text": "Once.", "label": "a"}).output == "Once."
    with pytest.raises(DataError, match="not clear which column"):
        convert("language-model", {"dialogue": "a", "summary": "b"})
    assert good("language-model", {"dialogue": "a", "summary": "b"}, output="summary").output == "b"


def test_columns_that_cannot_serve_the_task() -> None:
    with pytest.raises(DataError, match="task classify cannot use"):
        convert("classify", {"text": "alone"})
    with pytest.raises(DataError, match="task text2text cannot use"):
        convert("text2text", {"chosen": "a", "rejected": "b"})
    with pytest.raises(DataError, match="needs a better and a worse answer"):
        convert("preference", {"prompt": "a", "completion": "b"})


def test_group_and_time() -> None:
    row = {"text": "x", "label": "a", "who": 7, "when": "2024-05-01"}
    made = good("classify", row, group="who", time="when")
    assert (made.group, made.time) == ("7", "2024-05-01")
    bad = {**row, "when": "soon"}
    assert reason("classify", bad, row, time="when") == "time not understood"
    assert time_key("2024-05-01T10:00:00Z") > time_key("2024/05/01") > time_key("1714000000")
    with pytest.raises(BadRow):
        time_key("yesterday")
