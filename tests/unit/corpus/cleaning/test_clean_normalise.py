"""The normal form: what becomes the same, and that a second time changes nothing."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyforge.corpus.cleaning.normalise import normalise


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a\r\nb\rc\u2028d\x85e\x0cf", "a\nb\nc\nd\ne\nf"),
        ("a\u00a0b\u3000c\u2009d", "a b c d"),
        ("\ufeffzero\u200bwidth\u2060 and\xad soft", "zerowidth and soft"),
        ("bell\x07 null\x00 del\x7f c1\x90", "bell null del c1"),
        ("ends  \n\t\n\n\n\n\n of lines \t", "ends\n\n\n of lines"),
        ("e\u0301", "é"),
        ("left\u200eto\u202aright", "lefttoright"),
        ("\u200djoin\u200c", "join"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d🔬", "👩\u200d🔬"),
        ("lone \ud800 half", "lone \ufffd half"),
        ("    def f():\n        pass\n", "    def f():\n        pass"),
        (" \n\t\r\n", ""),
    ],
)
def test_written_in_one_way(text: str, wanted: str) -> None:
    assert normalise(text) == wanted


def test_what_is_normal_comes_back_as_it_is() -> None:
    text = "“It’s” — naïve.\n\n\tTabs  and  spaces inside stay.\n日本語"
    assert normalise(text) == text


def test_forms() -> None:
    assert normalise("ﬁ ① e\u0301", "NFC") == "ﬁ ① é"
    assert normalise("ﬁ ① e\u0301", "NFKC") == "fi 1 é"
    assert normalise("e\u0301", "none") == "e\u0301"


odd = st.sampled_from(
    "\x00\x0b\x0c\r\n\t \x85\xa0\xad\u200b\u200c\u200d\u2028\u3000\ufeff\ud800\u0301eaﬁé¨"
)


@settings(deadline=None)
@given(st.text(st.one_of(odd, st.characters(exclude_categories=())), max_size=40),
       st.sampled_from(["NFC", "NFKC", "none"]))  # fmt: skip
@example("e\u200b\u0301", "NFC")
@example("ﬁ\u200d\u0301", "NFKC")
@example("a\n \n", "NFC")
def test_a_second_time_changes_nothing(text: str, form: str) -> None:
    once = normalise(text, form)  # type: ignore[arg-type]
    assert normalise(once, form) == once  # type: ignore[arg-type]
    once.encode("utf-8")
    if form != "none":
        assert unicodedata.is_normalized(form, once)
    assert not set(once) & set("\x00\r\x0b\x0c\x85\xa0\xad\u200b\u2028\u3000\ufeff")
    assert not any(line != line.rstrip() for line in once.split("\n"))
