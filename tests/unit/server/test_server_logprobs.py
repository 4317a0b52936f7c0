"""OpenAI's two forms of how likely tokens were."""

from __future__ import annotations

import math

import pytest

from tinyforge.records.predictions import TokenScore
from tinyforge.server.logprobs import TextForm, of_chat


def token(content: bytes, value: float = -1.0, top: tuple[TokenScore, ...] = ()) -> TokenScore:
    return TokenScore(content.decode("utf-8", "replace"), content, value, top)


def test_places_count_characters_of_the_text_that_is_shown() -> None:
    form = TextForm(stripped=True, tops=False)
    first = form.of([token(b" "), token(b" caf"), token(b"\xc3"), token(b"\xa9")])
    later = form.of([token(b" au"), token(b" lait")])
    # The text is "café au lait": white space before it is no part of it.
    assert first.text_offset == [0, 0, 3, 3]
    assert later.text_offset == [4, 7]
    assert first.top_logprobs is None
    kept = TextForm(stripped=False, tops=False).of([token(b" a"), token(b"b")])
    assert kept.text_offset == [0, 2]


def test_parts_of_characters_are_named_by_their_bytes() -> None:
    found = TextForm(stripped=False, tops=True).of(
        [token(b"\xe2\x80", -1.0, (token(b"\xe2\x81", -0.5), token(b"a", -2.0)))]
    )
    assert found.tokens == ["bytes:\\xe2\\x80"]
    assert found.top_logprobs == [{"bytes:\\xe2\\x81": -0.5, "a": -2.0, "bytes:\\xe2\\x80": -1.0}]
    chat = of_chat([token(b"\xe2\x80")])
    assert chat.content[0].bytes == [0xE2, 0x80]
    assert chat.content[0].token == "\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("value", [-math.inf, math.nan, -20_000.0])
def test_what_json_cannot_say_is_openais_least_number(value: float) -> None:
    assert of_chat([token(b"a", value)]).content[0].logprob == -9999.0
    assert TextForm(stripped=True, tops=False).of([token(b"a", value)]).token_logprobs == [-9999.0]
