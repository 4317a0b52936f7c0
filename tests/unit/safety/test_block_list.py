"""The block list: what an entry catches, what it leaves alone, and what a stream keeps back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tinyforge.errors import SettingError
from tinyforge.safety.block_list import BlockList
from tinyforge.safety.folding import fold, visible


def listed(tmp_path: Path, *lines: str) -> BlockList:
    path = tmp_path / "words.txt"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return BlockList(str(path))


CAUGHT = [
    "a badword here", "BADWORD", "badword!", "«Badword»", "bádwörd", "b4dw0rd", "b@dw0rd",
    "ｂａｄｗｏｒｄ", "ваdwоrd", "bad\u200bword", "bad\u00adword", "b a d w o r d", "b.a.d.w.o.r.d",
    "b-a-d-w-o-r-d", "baaaaadword", "bad-word", "so b a d w o r d s", "B A D W 0 R D", "𝐛𝐚𝐝𝐰𝐨𝐫𝐝",
]  # fmt: skip


@pytest.mark.parametrize("text", CAUGHT)
def test_a_word_is_caught_in_every_dress(tmp_path: Path, text: str) -> None:
    assert listed(tmp_path, "badword").count(text) >= 1


@pytest.mark.parametrize(
    "text",
    ["badwords", "abadword", "bad word", "badwor", "a bad day, word for word", "", "   ", "!!!"],
)
def test_other_words_are_left_alone(tmp_path: Path, text: str) -> None:
    assert listed(tmp_path, "badword").count(text) == 0


def test_letters_that_stand_for_two_are_not_mixed_up(tmp_path: Path) -> None:
    rule = listed(tmp_path, "mail", "ass", "1488")
    assert rule.count("the mall, a class, 455 and 14880") == 0
    assert rule.count("ma1l") == rule.count("ma!l") == rule.count("a$$") == rule.count("asss") == 1
    assert rule.count("number 1488") == 1
    assert rule.count("as soon as possible") == 0


def test_a_phrase_is_its_words_in_a_row(tmp_path: Path) -> None:
    rule = listed(tmp_path, "very bad phrase")
    assert rule.count("a VERY  bad,\nphrase.") == 1
    assert rule.count("v3ry b4d phrase") == 1
    assert rule.count("very bad and phrase") == rule.count("bad very phrase") == 0


def test_scripts_without_spaces_are_searched_within_words(tmp_path: Path) -> None:
    rule = listed(tmp_path, "坏话")
    assert rule.count("他说坏话了") == 1
    assert rule.count("他说好话了") == 0


def test_regular_expressions_and_remarks(tmp_path: Path) -> None:
    rule = listed(tmp_path, "# a remark", "", r"/project\s+x\d/")
    assert rule.count("Project  X7 and project x8") == 2
    assert rule.count("a remark") == 0


@pytest.mark.parametrize(
    ("lines", "where"), [(["fine", "/(/"], ":2"), (["…"], ":1"), (["# only"], "block_list")]
)
def test_a_wrong_list_is_said_with_its_line(tmp_path: Path, lines: list[str], where: str) -> None:
    with pytest.raises(SettingError) as said:
        listed(tmp_path, *lines)
    assert where in str(said.value)
    assert "\n" not in str(said.value)


def test_a_list_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="cannot read the block list"):
        BlockList(str(tmp_path / "none.txt"))
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(SettingError, match="not UTF-8"):
        BlockList(str(tmp_path / "bytes.txt"))


def test_folding_leaves_plain_text_and_tells_alphabets_apart_by_looks_only() -> None:
    assert fold("Straße İstanbul") == "strasse istanbul"
    assert fold("ФИЛЬМ") == fold("фильм")
    assert visible("a\u200d\u202eb") == "ab"


@pytest.mark.parametrize("text", ["a " * 20_000, "a" * 50_000, "!|" * 20_000, "ab " * 15_000])
def test_hostile_texts_take_no_longer_than_others(tmp_path: Path, text: str) -> None:
    rule = listed(tmp_path, "badword", "aaab", "another bad phrase", "b a b")
    started = time.process_time()
    rule.count(text)
    assert time.process_time() - started < 20  # a search that explodes would take hours


def test_what_is_settled_holds_no_beginning_of_an_entry(tmp_path: Path) -> None:
    rule = listed(tmp_path, "very bad phrase", "坏话")
    text = "This is a very bad"
    assert text[rule.settled(text, 100) :].endswith("very bad")
    assert rule.settled("one two three four ", 100) >= len("one two ")
    assert rule.settled("spelt: v e r y b a d p h", 100) <= len("spelt: ")
    long = "他说" * 50
    assert len(long) - 20 < rule.settled(long, 100) < len(long)
    assert listed(tmp_path, "/a+b/").settled("x" * 500, 100) == 400
