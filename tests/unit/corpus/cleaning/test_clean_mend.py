"""Mending: what is broken is mended as ftfy does, and the fast look misses nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import ftfy
import pytest
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tinyforge.corpus.cleaning import mend as mend_module
from tinyforge.corpus.cleaning.mend import mend
from tinyforge.errors import MissingPackageError

CONFIG = ftfy.TextFixerConfig(
    unescape_html=False,
    fix_character_width=False,
    uncurl_quotes=False,
    fix_line_breaks=False,
    remove_control_chars=False,
    explain=False,
)
HARMLESS = "\u00a0\u00ad\u00b7\u00b4–—―…‘’“”•"
ENCODINGS = ("latin-1", "cp1252", "cp1251", "cp1250", "cp1253", "macroman", "cp437")

mojibake = st.sampled_from(
    [c for c in map(chr, range(0x80, 0x10000)) if any(c in p for p in MOJIBAKE_CATEGORIES.values())]
)
tricky = st.text(
    st.one_of(
        mojibake, st.sampled_from(HARMLESS + "ВГРСвЂўΒΓΞΟЖжДдaZ .1ÃÂŒœ°µöü"), st.characters()
    ),
    max_size=12,
).map(lambda text: text.replace("\n", " "))
plain = st.sampled_from(["naïve café", "Grüße", "日本語", "Привет “мир”", "“It’s —”", "ok", "İş"])


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("schÃ¶n", "schön"),
        ("âœ” No problems", "✔ No problems"),
        ("Itâ€™s fine", "It’s fine"),
        ("ﬂuﬃest", "fluffiest"),
        ("Tom &amp; Jerry &mdash; 2", "Tom & Jerry — 2"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("half \ud83d pair", "half \ufffd pair"),
    ],
)
def test_broken_lines_are_mended_and_others_stay(broken: str, whole: str) -> None:
    assert mend(broken) == whole
    around = "“Naïve” — 日本語…\n"
    assert mend(around + broken + "\n" + around) == around + whole + "\n" + around


@pytest.mark.parametrize(
    "text", ["plain text & more", "“It’s” — Zürich, Орёл, 東京\n", "a < b &amp; c", "！全角！"]
)
def test_whole_text_comes_back_as_the_same_object(text: str) -> None:
    assert mend(text) is text


def test_entities_stay_where_they_are_meant() -> None:
    assert mend("write &amp;", entities=False) == "write &amp;"


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(tricky, plain), min_size=1, max_size=4))
@example(["ВГ“Г"])
@example(["a”Åb"])
@example(["aÅ”b"])
@example(["а", "вЂ™"])
def test_no_line_is_missed(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert mend(text, entities=False) == "\n".join(
        ftfy.fix_text(line, CONFIG) if _looked_at(line) else line for line in lines
    )


def _looked_at(line: str) -> bool:
    """What ftfy would change beyond the normal form, which another step brings about."""
    special = mend_module._SPECIAL.search(line) or mend_module._LIGATURE.search(line)
    return bool(is_bad(line) or special or "\x1b" in line)


@settings(deadline=None)
@given(st.sampled_from(["Žluťoučký kůň", "Grüße aus Köln", "Ελληνικά γράμματα", "père — «Noël»"]),
       st.sampled_from(ENCODINGS))  # fmt: skip
def test_a_wrong_decoding_is_mended_like_by_ftfy(text: str, encoding: str) -> None:
    broken = text.encode().decode(encoding, errors="replace")
    assert mend(broken) == ftfy.fix_text(broken, CONFIG)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    mend_module._ftfy.cache_clear()
    mend_module._kinds.cache_clear()
    monkeypatch.setitem(sys.modules, "ftfy", None)
    try:
        assert mend("plain") == "plain"
        with pytest.raises(MissingPackageError, match="ftfy"):
            mend("schÃ¶n")
    finally:
        mend_module._ftfy.cache_clear()


def test_the_public_cases(shared_folder: Path) -> None:
    for name in ("ftfy_synthetic.json", "ftfy_language-names.json"):
        cases = json.loads((shared_folder / "data" / "dirty" / name).read_text(encoding="utf-8"))
        for case in cases:
            wanted = case.get("fixed-encoding", case["fixed"])
            assert mend(case["original"]) == wanted, case["label"]
