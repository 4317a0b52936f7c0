"""What ``predict`` takes, and what it says of what it does not take."""

from __future__ import annotations

from typing import Any

import pytest

from tinyforge.errors import DataError
from tinyforge.inference.inputs import is_single, to_example
from tinyforge.records.examples import Message

CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("hi", "hi"),
        ("", ""),
        ({"input": "hi", "output": "gold"}, "hi"),
        ({"text": "hi"}, "hi"),
        ({"prompt": "hi"}, "hi"),
        ({"instruction": "Sum up", "input": "a b"}, "Sum up\n\na b"),
        ({"instruction": "Sum up"}, "Sum up"),
        ("a\ud800b", "a\ufffdb"),
        ("é🐕", "é🐕"),
    ],
)
def test_texts_and_rows(given: Any, text: str) -> None:
    example = to_example(given)
    assert (example.input, example.output, example.messages) == (text, None, ())
    assert is_single(given)


@pytest.mark.parametrize("given", [CHAT, {"messages": CHAT}, tuple(CHAT)])
def test_a_chat_is_one_input(given: Any) -> None:
    example = to_example(given)
    assert is_single(given)
    assert example.input == "Hello"
    assert example.messages == (Message("system", "Be brief."), Message("user", "Hello"))


def test_lists_are_several_inputs() -> None:
    assert not is_single(["a", "b"])
    assert not is_single([CHAT, CHAT])
    assert not is_single([])


@pytest.mark.parametrize(
    ("given", "word"),
    [
        (7, "no text"),
        (None, "no text"),
        ({"foo": "x"}, "no text to answer"),
        ({"messages": []}, "no list of turns"),
        ({"messages": "hello"}, "no list of turns"),
        ([{"role": "king", "content": "x"}], "no turn"),
        ([{"role": "user", "content": 3}], "no turn"),
        ([*CHAT, {"role": "assistant", "content": "Hi"}], "nothing to answer"),
    ],
)
def test_mistakes_are_named(given: Any, word: str) -> None:
    with pytest.raises(DataError, match=word):
        to_example(given, 3)
