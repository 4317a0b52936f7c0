"""Which task is chosen, and that the reason is said."""

from __future__ import annotations

from typing import Any

import pytest

from tinyforge.config.data import DataSettings
from tinyforge.data.survey import survey
from tinyforge.errors import DataError
from tinyforge.recipes.decide import choose_task

LABELLED = [{"text": f"row {i} of some text", "label": "ab"[i % 2]} for i in range(40)]
FREE = [{"input": f"some words {i}", "output": f"other words {i} and more {i}"} for i in range(40)]
PROMPTS = [{"prompt": f"Say the number {i}", "completion": f"It is {i}."} for i in range(40)]
CHATS: list[dict[str, Any]] = [
    {"messages": [{"role": "user", "content": f"Hi {i}"}, {"role": "assistant", "content": "Yo"}]}
    for i in range(40)
]
RAW = [{"text": f"It was night number {i} and nobody slept in the old house."} for i in range(40)]


@pytest.mark.parametrize(
    ("rows", "family", "task"),
    [
        (LABELLED, None, "classify"),
        (LABELLED, "encoder", "classify"),
        (LABELLED, "encoder-decoder", "text2text"),
        (FREE, None, "text2text"),
        (FREE, "encoder", "classify"),
        (FREE, "decoder", "instruct"),
        (PROMPTS, None, "instruct"),
        (PROMPTS, "encoder-decoder", "text2text"),
        (CHATS, "decoder", "instruct"),
        (RAW, None, "language-model"),
    ],
)
def test_columns_values_and_model_decide(rows: Any, family: str | None, task: str) -> None:
    name, why = choose_task(survey(rows, DataSettings()), family, "auto")
    assert name == task
    assert why.startswith(f"task {task}: ")


def test_the_user_decides_first() -> None:
    assert choose_task(survey(LABELLED, DataSettings()), "decoder", "instruct")[0] == "instruct"


@pytest.mark.parametrize("family", ["decoder", "encoder", None])
def test_preference_pairs_are_learnt_as_such(family: str | None) -> None:
    rows = [{"prompt": f"p {i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(9)]
    name, why = choose_task(survey(rows, DataSettings()), family, "auto")
    assert (name, why) == (
        "preference",
        "task preference: each row holds a better and a worse answer",
    )


def test_bad_answers_are_not_learnt_like_good_ones() -> None:
    rows = [{**row, "label": bool(i % 3)} for i, row in enumerate(CHATS)]
    with pytest.raises(DataError, match="'label' marks these chats as good or bad"):
        choose_task(survey(rows, DataSettings()), None, "auto")
    assert choose_task(survey(rows, DataSettings()), None, "instruct")[0] == "instruct"
    scored = [{**row, "label": i} for i, row in enumerate(CHATS)]
    assert choose_task(survey(scored, DataSettings()), None, "auto")[0] == "instruct"
