"""Masked streams: no piece of personal data goes out, wherever the pieces are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.safety.masks import PersonalData
from tinyforge.safety.personal_data import KINDS, find, mask
from tinyforge.safety.streaming import MaskGate

PIECES = [
    "ann.lee+shop@mail.firm.co.uk", "JÖRG@münchen.de", "+44 20 7946 0018", "(212) 867-5309",
    "+46 (0)8 928 571 38", "4111 1111 1111 1111", "GB82 WEST 1234 5698 7654 32",
    "MT84 MALT 0110 0001 2345 MTLC AST0 01S", "86.121.97.248", "2a00:1450:4001:81b::200e",
    "AKIAQ7X2LMZP4RWTS9KD", "529.982.247-25", "RSSMRA85T10A562S", "2 55 08 14 168 025 38",
    "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6", "467 3395 office",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
    'password = "hU7kQ9zX2mW4vB6n"',
    "-----BEGIN PRIVATE KEY-----\n" + "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDM\n" * 9
    + "-----END PRIVATE KEY-----",
]  # fmt: skip
WORDS = [
    "Write to", "or call me at", "the year 1999", "in 12 days", "—", "naïve", "他说", "(see 4.2)",
    "for", "- a list", "costs $5.", "phone", "and then nothing more is said of it",
]  # fmt: skip


def streamed(text: str, cuts: list[int]) -> str:
    gate = MaskGate(PersonalData(KINDS, "<{kind}>"))
    places = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    pieces = [text[a:b] for a, b in pairwise(places)]
    return "".join(map(gate.push, pieces)) + gate.end()


@pytest.mark.parametrize("piece", PIECES)
@pytest.mark.parametrize("size", [1, 4, 7])
def test_a_piece_is_masked_as_in_the_whole_text(piece: str, size: int) -> None:
    text = f"It is here, call {piece}, as far as anybody knows, and there is more to come of it."
    spans = find(text)
    assert spans
    out = streamed(text, list(range(0, len(text), size)))
    assert out == mask(text)[0]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *WORDS]), min_size=1, max_size=7), st.data())
def test_nothing_leaks_however_it_is_cut(parts: list[str], data: st.DataObject) -> None:
    text = " ".join(parts)
    cuts = data.draw(st.lists(st.integers(0, len(text)), max_size=40))
    out, whole = streamed(text, cuts), mask(text)[0]
    for span in find(text):
        # The same number may stand again where it cannot be told from what follows it.
        assert out.count(span.text) <= whole.count(span.text)
    if not find(text):
        assert out == text


def test_harmless_text_goes_out_but_for_its_last_word() -> None:
    gate = MaskGate(PersonalData(KINDS, "<{kind}>"))
    assert gate.push("Once upon a time there was a ") == "Once upon a time there was a "
    assert gate.push("ki") == ""
    assert gate.push("ng ") == "king "


def test_a_long_text_without_spaces_is_not_kept_whole() -> None:
    gate = MaskGate(PersonalData(KINDS, "<{kind}>"))
    out = "".join(gate.push("他说了很多话") for _ in range(100))
    assert 600 - 70 <= len(out) <= 600
    assert out + gate.end() == "他说了很多话" * 100


def test_a_table_of_numbers_is_not_kept_whole() -> None:
    gate = MaskGate(PersonalData(KINDS, "<{kind}>"))
    text = "".join(f"{n} and {n * n}, " for n in range(120))
    out = "".join(gate.push(text[i : i + 4]) for i in range(0, len(text), 4))
    assert len(text) - len(out) < 520
    assert out + gate.end() == text


def test_what_was_masked_is_counted_once() -> None:
    gate = MaskGate(PersonalData(("email",), "[{kind}]"))
    text = "ann@firm.de and bob@firm.de wrote; " * 3
    out = "".join(map(gate.push, text)) + gate.end()
    assert out == text.replace("ann@firm.de", "[email]").replace("bob@firm.de", "[email]")
    assert gate.found == 6
