"""Undo wrong decodings: mojibake, HTML entities, ligatures (ftfy, Speer 2019).

ftfy looks at every character several times. Here one look at the whole text finds the few lines
in which anything can be broken, by the same classes of characters as ftfy's own rules, and only
these go through it. ``tests/unit/corpus/cleaning`` proves that no line is missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.cleaning.characters import codes_of
from tinyforge.errors import MissingPackageError

_ENTITY = re.compile(r"&#?[0-9A-Za-z]{1,24};")
# Wrong decodings all of whose characters are everyday letters and quotation marks elsewhere.
_SPECIAL = re.compile(r"вЂ|ГўВЂВ|[ВГРС][^\w\s][ВГРС]|[ΒΓΞΟ][^\w\s][ΒΓΞΟ]")
_PLANE = 1 << 16

_ODD = 1  # not ASCII, and can be one of two characters that betray a wrong decoding
_ALONE = 2  # betrays it without such a neighbour, or is a ligature or half of a surrogate pair
_RISKY = 4  # no wrong decoding is without one of these (but for _SPECIAL)
_FOREIGN = 8  # not ASCII, and suspect only beside an odd one
_SPECIAL_START = 16
_HARMLESS = "\u00a0\u00ad\u00b7\u00b4–—―…‘’“”•"
_LIGATURES = "ĲĳŉǱǲǳǄǅǆǇǈǉǊǋǌﬀﬁﬂﬃﬄﬅﬆ"
_LIGATURE = re.compile(f"[{_LIGATURES}\ud800-\udfff]")


def mend(text: str, *, entities: bool = True) -> str:
    """A text with its broken lines mended; a whole text comes back as the same object.

    Args:
        entities: write HTML entities as the characters they stand for, unless there is a ``<`` in
            the text, which may then be HTML or code.

    Raises:
        MissingPackageError: ftfy is not installed and something may need mending.
    """
    entities = entities and "&" in text and "<" not in text
    if text.isascii() and "\x1b" not in text and not entities:
        return text
    pieces: list[str] = []
    end = 0
    for first, last in _suspects(text, entities):
        pieces += (text[end:first], _mended_line(text[first:last], entities))
        end = last
    return "".join((*pieces, text[end:])) if pieces else text


def _mended_line(line: str, entities: bool) -> str:
    ftfy = _ftfy()
    config = ftfy.TextFixerConfig(
        unescape_html=entities,
        fix_character_width=False,  # wide punctuation is right in Chinese
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        explain=False,
    )
    mended: str = ftfy.fix_text(line, config)
    return mended


def _suspects(text: str, entities: bool) -> Iterator[tuple[int, int]]:
    """Lines to mend, as places of the text, in order."""
    places = _odd_places(text) if not text.isascii() else []
    if entities:
        places += [match.start() for match in _ENTITY.finditer(text)]
    if "\x1b" in text:
        places += [match.start() for match in re.finditer("\x1b", text)]
    return _lines_at(text, sorted(places))


def _odd_places(text: str) -> list[int]:
    """The starts of lines that are broken by ftfy's rules, or hold ligatures."""
    kinds = np.take(_kinds(), codes_of(text), mode="clip")
    found = []
    if (kinds & _SPECIAL_START).any():
        found = [match.start() for match in _SPECIAL.finditer(text)]
    if (kinds & (_RISKY | _ALONE)).any():
        odd, foreign = (kinds & _ODD) != 0, kinds != 0
        suspect = (kinds & _ALONE) != 0
        suspect[:-1] |= (odd[:-1] & foreign[1:]) | (foreign[:-1] & odd[1:])
        is_bad = _ftfy().badness.is_bad
        for first, last in _lines_at(text, np.flatnonzero(suspect).tolist()):
            line = text[first:last]
            if is_bad(line) or _LIGATURE.search(line):
                found.append(first)
    return found


def _lines_at(text: str, places: list[int]) -> Iterator[tuple[int, int]]:
    """The line around each place, once; places are in order."""
    done = 0
    for place in places:
        if place >= done:
            first = text.rfind("\n", done, place) + 1 or done
            last = text.find("\n", place)
            done = last + 1 if last >= 0 else len(text)
            yield first, done


@cache
def _kinds() -> NDArray[np.uint8]:
    """What each character can mean for a wrong decoding; the last entry is for all beyond."""
    categories: dict[str, str] = _ftfy().badness.MOJIBAKE_CATEGORIES
    everyday = ("common", "upper_common", "lower_common", "kaomoji")
    risky = "".join(part for name, part in categories.items() if name not in everyday)
    table = np.full(_PLANE, _ODD, dtype=np.uint8)
    table[:128] = 0
    plane = "".join(map(chr, range(_PLANE)))
    for match in re.finditer(f"[{risky}]", plane):
        table[match.start()] |= _RISKY
    for character in _HARMLESS:
        table[ord(character)] = _FOREIGN
    for character in _LIGATURES:
        table[ord(character)] |= _ALONE
    for character in "ÃÂŒœ":
        table[ord(character)] |= _ALONE
    for character in "вВГРСΒΓΞΟ":
        table[ord(character)] |= _SPECIAL_START
    table[0x80:0xA0] |= _ALONE
    table[0xD800:0xE000] |= _ALONE
    return table


@cache
def _ftfy() -> Any:
    try:
        import ftfy
        import ftfy.badness
    except ImportError as error:
        raise MissingPackageError(
            "ftfy", needed_for="Mending wrong decodings (clean.mend)", extra="data"
        ) from error
    return ftfy
