"""Columns are understood by their names and values."""

from __future__ import annotations

from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.data.columns import recognise
from tinyforge.data.survey import survey
from tinyforge.errors import DataError, SettingError

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
SHARED = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
LONG = "a long text about many things that nobody has ever said before, number {}"


def rows_of(**columns: Any) -> list[dict[str, Any]]:
    """Twenty rows; ``{}`` in a text becomes the row's number, a list is cycled through."""
    return [
        {
            name: value[i % len(value)]
            if isinstance(value, tuple)
            else value.format(i)
            if isinstance(value, str)
            else value
            for name, value in columns.items()
        }
        for i in range(20)
    ]


@pytest.mark.parametrize(
    ("columns", "convention", "roles"),
    [
        ({"input": LONG, "output": LONG}, "input/output", "input output"),
        ({"label": ("x", "y"), "title": LONG, "text": LONG}, "text/label", "text label"),
        ({"text": LONG, "labels": (["x"], ["x", "y"])}, "text/labels", "text labels*"),
        ({"text": LONG, "intent": ("x", "y")}, "text/intent", "text intent"),
        ({"rev_id": "{}", "comment": LONG, "toxic": ("0", "1")}, "comment/toxic", "comment toxic"),
        ({"Text": LONG, "Category": ("x", "y")}, "text/category", "Text Category"),
        ({"prompt": LONG, "completion": LONG}, "prompt/completion", "prompt completion"),
        ({"prompt": LONG, "response": LONG, "id": "{}"}, "prompt/response", "prompt response"),
        ({"fname": "{}", "dialogue": LONG, "summary": LONG, "topic": LONG}, "dialogue/summary",
         "dialogue summary"),
        ({"source": LONG, "target": LONG}, "source/target", "source target"),
        ({"question": LONG, "answer": LONG}, "question/answer", "question answer"),
        ({"word": "w{}", "phonemes": "W {}"}, "word/phonemes", "word phonemes"),
        ({"kind": ("spam", "ham"), "words": LONG}, "words/kind", "words kind"),
        ({"mr": ("name[a], area[b]", "name[c], food[d]"), "ref": LONG}, "mr/ref", "mr ref"),
        ({"erstes": LONG, "zweites": LONG}, "erstes/zweites", "erstes zweites"),
    ],
)  # fmt: skip
def test_conventions(columns: dict[str, Any], convention: str, roles: str) -> None:
    found = recognise(rows_of(**columns), DataSettings(), "f")
    source, target = roles.split()
    multi = target.endswith("*")
    assert found.convention == convention
    part = "labels" if multi else "output"
    assert dict(found.roles) == {"input": source, part: target.removesuffix("*")}
    assert found.multi_label is multi
    assert set(found.unused) == set(columns) - set(found.roles.values())
    assert all(repr(name) in found.why or name in found.why for name in columns)


def test_instructions_chats_context_and_preferences() -> None:
    found = recognise(rows_of(instruction=LONG, input="", output=LONG), DataSettings(), "f")
    assert found.convention == "instruction/input/output"
    assert found.roles["instruction"] == "instruction"
    found = recognise(rows_of(instruction=LONG, response=LONG), DataSettings(), "f")
    assert found.convention == "instruction/response"
    found = recognise(rows_of(messages=CHAT, label=(True, False)), DataSettings(), "f")
    assert (found.convention, dict(found.roles)) == ("messages", {"messages": "messages"})
    found = recognise(rows_of(conversations=SHARED, tools="[]"), DataSettings(), "f")
    assert found.convention == "conversations"
    rows = rows_of(story_name="{}", content=LONG, question=LONG, answer1=LONG, attribute=("a", "b"))
    found = recognise(rows, DataSettings(), "f")
    assert dict(found.roles) == {"input": "question", "context": "content", "output": "answer1"}
    assert "question: … context: …" in found.why
    found = recognise(rows_of(prompt=LONG, chosen=LONG, rejected=LONG), DataSettings(), "f")
    assert found.roles["chosen"] == "chosen"
    found = recognise(rows_of(prompt=LONG, chosen=LONG), DataSettings(output="chosen"), "f")
    assert dict(found.roles) == {"input": "prompt", "output": "chosen"}


def test_one_text_column_is_raw_text() -> None:
    found = recognise(rows_of(text=LONG, url="http://{}", source=("c4",)), DataSettings(), "f")
    assert dict(found.roles) == {"text": "text"}


def test_ambiguous_columns_name_the_setting() -> None:
    rows = rows_of(text=LONG, coarse=("x", "y"), fine=("x:1", "y:2"))
    with pytest.raises(DataError, match=r"text, coarse, fine.*--set data.output=coarse or --set"):
        recognise(rows, DataSettings(), "f")
    found = recognise(rows, DataSettings(output="fine"), "f")
    assert dict(found.roles) == {"input": "text", "output": "fine"}


def test_settings_win_and_are_checked() -> None:
    rows = rows_of(text=LONG, label=("x", "y"), who=("a", "b"), when="{}", other=LONG)
    settings = DataSettings(input="other", output="label", group="who", time="when")
    found = recognise(rows, settings, "f")
    assert dict(found.roles) == {
        "input": "other",
        "output": "label",
        "group": "who",
        "time": "when",
    }
    with pytest.raises(SettingError, match=r"data\.input: .*no column 'txt'.*Did you mean 'text'"):
        recognise(rows, DataSettings(input="txt"), "f")


def test_label_settings() -> None:
    rows = rows_of(text=LONG, label=("a,b", "c"))
    assert recognise(rows, DataSettings(label_separator=","), "f").multi_label
    rows = rows_of(text=LONG, labels=(["a"], ["b"]))
    assert not recognise(rows, DataSettings(multi_label=False), "f").multi_label


def test_survey_tells_labels_from_free_text() -> None:
    labels = survey(rows_of(text=LONG, label=("spam", "ham")), DataSettings())
    assert (labels.labels_like, labels.distinct_outputs, labels.rows) == (True, 2, 20)
    free = survey(rows_of(input=LONG, output=LONG), DataSettings())
    assert (free.labels_like, free.raw_text) == (False, False)
    assert survey(rows_of(text=LONG), DataSettings()).raw_text
    with pytest.raises(DataError, match="no rows"):
        survey([], DataSettings())
    with pytest.raises(DataError, match=r"no row can be used: 2 read.*not an object"):
        survey([1, 2], DataSettings())
