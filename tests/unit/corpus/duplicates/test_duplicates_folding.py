"""Text as it is compared, and the hashes of its windows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinyforge.corpus.duplicates import folding
from tinyforge.corpus.duplicates.folding import NEWLINE, codes_of, fold, folded_pieces
from tinyforge.corpus.duplicates.hashing import windows32, windows64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello,  World!", b"helloworld"),
        ("\n\n  “To-day,” said he—\r\nÉmile.", b"todaysaidheemile"),
        ("to_be_ OR not2be", b"tobeornot2be"),
        ("e\u0301te\u0301 co\u00adop \ufeffx", b"etecoopx"),
        ("Straße ﬁt", b"strasefit".replace(b"fi", b"f")),  # a ligature is its first letter
        ("", b""),
        ("... !", b""),
        ("…", b""),
    ],
)
def test_case_accents_and_punctuation_go(text: str, expected: bytes) -> None:
    assert fold(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("中文", "中国"),
        ("привет", "привес"),
        ("\U00010330", "\U00010331"),
        ("ｷ", "ｸ"),
        ("हिंदी", "हिंद"),
    ],
)
def test_other_scripts_have_letters_of_their_own(one: str, other: str) -> None:
    assert fold(one) != fold(other)
    assert fold(f" {one}, ") == fold(one)


@settings(deadline=None)
@given(st.text("aB, \né\u0301中", max_size=60), st.integers(2, 9), st.integers(3, 20))
def test_pieces_hold_every_window_once(text: str, width: int, size: int) -> None:
    whole = windows32(np.frombuffer(fold(text), dtype=np.uint8), width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folding, "PIECE", size)
        pieces = [
            windows32(np.frombuffer(piece, dtype=np.uint8), width)
            for piece in folded_pieces(text, width - 1)
        ]
    assert np.array_equal(np.concatenate([*pieces, whole[:0]]), whole)


@given(st.text(max_size=40))
def test_codes_stand_for_characters_one_by_one(text: str) -> None:
    assert len(codes_of(text)) == len(text)
    assert [code == NEWLINE for code in codes_of(text)] == [letter == "\n" for letter in text]


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), max_size=40), st.integers(1, 13))
def test_windows_are_equal_where_their_codes_are(codes: list[int], width: int) -> None:
    windows = [tuple(codes[i : i + width]) for i in range(len(codes) - width + 1)]
    for hashes in (
        windows32(np.array(codes, dtype=np.uint16), width),
        windows64(np.array(codes, dtype=np.uint64), width),
    ):
        assert len(hashes) == len(windows)
        by_window = dict(zip(windows, hashes.tolist(), strict=True))
        assert [by_window[window] for window in windows] == hashes.tolist()
        assert len(set(by_window.values())) == len(by_window)
