"""Text that comes in pieces is the text that comes at once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tinyforge.inference.detokenize import INCOMPLETE, AnswerText, Detokenizer, decode

TEXT = st.text(st.sampled_from("abc the.é東🐕\n \t\u0301"), max_size=30)
relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(params=["byte_tokenizer", "piece_tokenizer", "fallback_tokenizer"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


@relaxed
@given(text=TEXT)
def test_pieces_of_a_text_are_the_text(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    written = Detokenizer(tokenizer)
    pieces = [written.push([i]) for i in ids]
    assert "".join(pieces) + written.finish() == decode(tokenizer, ids)


@relaxed
@given(data=st.data())
def test_pieces_of_any_tokens_are_their_text(tokenizer: Any, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=25))
    written = Detokenizer(tokenizer)
    said = "".join(written.push([i]) for i in ids) + written.finish()
    whole = decode(tokenizer, ids)
    # Bytes that are no character may change how those before them are decoded at once.
    assert said == whole or INCOMPLETE in whole


@relaxed
@given(before=TEXT.filter(str.strip), text=TEXT)
def test_a_continuation_is_what_follows(tokenizer: Any, before: str, text: str) -> None:
    first, more = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (before, text))
    written = Detokenizer(tokenizer, before=first)
    said = "".join(written.push([i]) for i in more) + written.finish()
    start = decode(tokenizer, first[-16:])
    assert start + said == decode(tokenizer, first[-16:] + more)


def test_a_continuation_keeps_the_space_before_its_first_word(fallback_tokenizer: Any) -> None:
    before, cat = (
        fallback_tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("the", "cat")
    )
    assert AnswerText(fallback_tokenizer, before).push(cat) == " cat"
    assert AnswerText(fallback_tokenizer, None).push(cat) == "cat"


def test_half_a_character_is_held_back(byte_tokenizer: Any) -> None:
    ids = byte_tokenizer("é")["input_ids"]
    ids = ids if len(ids) > 1 else byte_tokenizer("鿿")["input_ids"]
    written = Detokenizer(byte_tokenizer)
    assert [written.push([i]) for i in ids[:-1]] == [""] * (len(ids) - 1)
    assert len(written.push(ids[-1:])) == 1


@relaxed
@given(text=TEXT, stops=st.lists(st.text("abc .", min_size=1, max_size=4), max_size=3))
def test_streamed_text_is_never_taken_back(
    byte_tokenizer: Any, text: str, stops: list[str]
) -> None:
    ids = byte_tokenizer(text)["input_ids"]
    answer = AnswerText(byte_tokenizer, [], stops)
    said = ""
    for token in ids:
        said += answer.push([token])
        if answer.stopped:
            break
    said += answer.finish()
    assert not any(stop in said for stop in stops)
    assert text.startswith(said)
    if answer.stopped:
        assert any(text[len(said) :].startswith(stop) for stop in stops)
    else:
        assert said == text


def test_what_may_become_a_stop_string_waits(byte_tokenizer: Any) -> None:
    answer = AnswerText(byte_tokenizer, [], ["cat!"])

    def push(text: str) -> str:
        return answer.push(byte_tokenizer(text)["input_ids"])

    assert push("the ca") == "the "
    assert push("t") == ""
    assert push("s") == "cats"
    assert push(" cat") == " "
    assert push("!x") == ""
    assert answer.stopped
    assert answer.finish() == ""


def test_an_answer_that_stands_alone_has_no_white_space_around_it(byte_tokenizer: Any) -> None:
    answer = AnswerText(byte_tokenizer, None)
    ids = byte_tokenizer("\n  a  b \n")["input_ids"]
    assert "".join(answer.push([i]) for i in ids) + answer.finish() == "a  b"
