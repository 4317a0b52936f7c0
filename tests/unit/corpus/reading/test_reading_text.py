"""Plain text: encodings, long texts, lines, and packed files."""

from __future__ import annotations

import bz2
import codecs
import contextlib
import functools
import gzip
import lzma
import random
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from reading_files import gzip_bomb, read, reasons, texts, write

from tinyforge.corpus.reading.decode import decode, decode_html
from tinyforge.corpus.reading.item import Unreadable, pieces

FRENCH = "Où est-ce que l'été a déjà commencé ? À la forêt, bien sûr, près du château."
POLISH = "Całość płynęła powoli, a wszyscy ludzie długo dzielili władzę. " * 20
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая несчастлива. " * 5


@pytest.mark.parametrize(
    ("data", "expected", "encoding"),
    [
        (FRENCH.encode(), FRENCH, None),
        (codecs.BOM_UTF8 + FRENCH.encode(), FRENCH, None),
        (FRENCH.encode("utf-16"), FRENCH, "utf-16"),
        (FRENCH.encode("utf-16-le"), FRENCH, "utf-16-le"),
        (codecs.BOM_UTF32_BE + FRENCH.encode("utf-32-be"), FRENCH, "utf-32"),
        (FRENCH.encode("latin-1"), FRENCH, "cp1252"),
        ("“Yes” – she said…".encode("cp1252"), "“Yes” – she said…", "cp1252"),
        (b"caf\xe9 \x81", "café \x81", "cp1252"),
        (RUSSIAN.encode("cp1251"), RUSSIAN, "cp1251"),
        (POLISH.encode("cp1250"), POLISH, "cp1250"),
        (POLISH.encode("iso8859-2"), POLISH, "iso8859-2"),
    ],
)
def test_encodings(tmp_path: Path, data: bytes, expected: str, encoding: str | None) -> None:
    kept, refused = read(write(tmp_path / "a.txt", data))
    assert not refused
    assert kept[0].text == expected
    assert kept[0].meta.get("encoding") == encoding


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "Łódź".encode("cp1250"))
    assert texts(path, encoding="cp1250") == {"a.txt": "Łódź"}


def test_a_few_damaged_bytes_do_not_turn_utf_8_into_something_else(tmp_path: Path) -> None:
    data = (FRENCH * 3).encode() + b" \xff " + FRENCH.encode()
    kept, _ = read(write(tmp_path / "a.txt", data))
    assert kept[0].text == FRENCH * 3 + " \ufffd " + FRENCH
    assert kept[0].meta == {"replaced": 1}


def test_latin_1_that_begins_as_ascii_is_found_late(tmp_path: Path) -> None:
    text = "Plain words.\n" * 20_000 + FRENCH
    path = write(tmp_path / "a.txt", text.encode("latin-1"))
    assert texts(path) == {"a.txt": text}


def test_line_ends_are_one_kind_even_across_chunks(tmp_path: Path) -> None:
    data = b"x" * (256 * 1024 - 1) + b"\r\nb\rc\n\r\n"
    assert texts(write(tmp_path / "a.txt", data))["a.txt"].endswith("xx\nb\nc\n\n")


def test_binary_in_disguise_is_refused(tmp_path: Path) -> None:
    assert reasons(write(tmp_path / "a.txt", bytes(range(256)) * 4)) == {"a.txt": "not text"}
    kept, _ = read(write(tmp_path / "b.txt", "One stray NUL\0 " + "in much text. " * 50))
    assert len(kept) == 1


def test_a_long_text_is_cut_between_paragraphs(tmp_path: Path) -> None:
    paragraphs = [f"Paragraph {i}. " + "Words and words. " * 10 for i in range(200)]
    path = write(tmp_path / "a.txt", "\n\n".join(paragraphs))
    kept, refused = read(path, max_characters=5_000)
    assert not refused
    assert [document.id for document in kept] == [f"a.txt:{i + 1}" for i in range(len(kept))]
    assert [document.meta["part"] for document in kept] == list(range(1, len(kept) + 1))
    assert "".join(document.text for document in kept) == path.read_text()
    assert all(document.text.startswith("Paragraph") for document in kept)
    assert all(len(document.text) <= 5_000 for document in kept)


def test_a_long_text_can_be_rejected_with_its_size(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "é" * 2_001 + "x" * 400_000)
    _, refused = read(path, max_characters=2_000, long_text="reject")
    assert [(item.id, item.reason, item.size) for item in refused] == [
        ("a.txt", "too long", 402_001)
    ]


@given(st.text(alphabet="ab .\n", max_size=400), st.integers(1, 60))
def test_pieces_are_the_text_again(text: str, limit: int) -> None:
    parts = list(pieces(text, limit))
    assert "".join(parts) == text
    assert all(len(part) <= limit for part in parts)


def test_each_line_can_be_a_document(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "One.\r\n\n Two. \n" + "x" * 3_000 + "\nFour.")
    kept, refused = read(path, lines=True, max_row_bytes=2_000)
    assert {document.id: document.text for document in kept} == {
        "a.txt:1": "One.",
        "a.txt:3": "Two.",
        "a.txt:5": "Four.",
    }
    assert [(item.id, item.reason) for item in refused] == [("a.txt:4", "row too long")]


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".xz", lzma.compress),
        (".bz2", functools.partial(bz2.compress, compresslevel=1)),
        (".zst", zstandard.ZstdCompressor().compress),
    ],
)
def test_packed_files_whole_and_cut(tmp_path: Path, suffix: str, pack: object) -> None:
    letters = random.Random(0)
    text = "".join(letters.choice("abcdefgh \n") for _ in range(300_000))
    packed = pack(text.encode())  # type: ignore[operator]
    assert texts(write(tmp_path / f"a.txt{suffix}", packed)) == {f"a.txt{suffix}": text}
    cut = write(tmp_path / f"b.txt{suffix}", packed[: len(packed) // 2])
    kept, refused = read(cut)
    assert not kept
    assert [item.reason for item in refused] == ["file breaks off"]
    kept, refused = read(cut, max_characters=10_000)
    assert len(kept) > 5
    assert text.startswith("".join(document.text for document in kept))
    assert [item.reason for item in refused] == ["file breaks off"]
    assert refused[0].id == f"b.txt{suffix}:{len(kept) + 1}"


def test_a_packed_file_is_known_without_its_suffix(tmp_path: Path) -> None:
    assert texts(write(tmp_path / "a.txt", gzip.compress(b"Words."))) == {"a.txt": "Words."}
    assert texts(write(tmp_path / "b.txt.gz", b"Words.")) == {"b.txt.gz": "Words."}


def test_a_bomb_stops_at_the_limit(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt.gz", gzip_bomb(20_000_000))
    _, refused = read(path, max_unpacked_bytes=5_000_000)
    assert [(item.id, item.reason) for item in refused] == [("a.txt.gz", "unpacks to too much")]


def test_packings_around_packings_end(tmp_path: Path) -> None:
    data = b"Words."
    for _ in range(6):
        data = gzip.compress(data)
    path = write(tmp_path / "a.txt.gz", data)
    assert reasons(path) == {"a.txt.gz": "nested too deeply"}
    assert texts(path, max_depth=6) == {"a.txt.gz": "Words."}


@given(st.binary(max_size=300))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    with contextlib.suppress(Unreadable):
        text = decode(data).text
        assert text.encode().decode() == text  # a lone surrogate would raise


@pytest.mark.parametrize(
    ("data", "declared", "expected"),
    [
        (b"<p>caf\xe9", "", "<p>café"),
        (b"<p>caf\xc3\xa9", "iso-8859-1", "<p>café"),
        (b'<meta charset="windows-1251"><p>' + "Мир".encode("cp1251"), "", "Мир"),
        (b"<p>" + "日本".encode("shift_jis"), "Shift_JIS", "<p>日本"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?><p>' + "Łódź".encode("iso-8859-2"), "",
         "Łódź"),
        (b"<p>caf\xe9", "no-such-charset", "<p>café"),
        (b"<p>caf\xe9", "hex", "<p>café"),
        ("<p>é".encode("utf-16"), "utf-8", "<p>é"),
    ],
)  # fmt: skip
def test_a_page_is_decoded_as_browsers_do(data: bytes, declared: str, expected: str) -> None:
    assert decode_html(data, declared).text.endswith(expected)
