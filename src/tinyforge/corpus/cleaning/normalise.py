"""One way of writing what looks the same: Unicode form, line ends, spaces, invisible characters."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.cleaning.characters import codes_of

_ODD = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f-\u206f"
    "\u3000\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff0-\ufffc\ufffe\uffff]"
)
_JOINER_ASTRAY = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]+|[\u200c\u200d]+(?![^\x00-\x7f])")
_LINE_ENDS = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"
_SPACES = (
    "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
)
_JOINERS = "\u200c\u200d"
_ASCII_LINE_ENDS = bytes.maketrans(b"\r\x0b\x0c\x1c\x1d\x1e", b"\n" * 6)
_ASCII_CONTROLS = bytes({*range(32), 127} - {9, 10, 11, 12, 13, 28, 29, 30})
_BLANK_LINES = re.compile(r"\n{4,}")


def normalise(text: str, form: Literal["NFC", "NFKC", "none"] = "NFC") -> str:
    """A text in normal form; applying it twice changes nothing more.

    Line ends become ``\\n``, Unicode's spaces plain ones; control characters, byte-order marks,
    zero-width and direction characters go, and so do spaces at the end of lines, more than two
    blank lines in a row, and white space around the text. Zero-width joiners stay inside words
    of the scripts that write with them. Halves of surrogate pairs become U+FFFD.

    Args:
        form: Unicode normal form (UAX 15).
    """
    text = _plain_characters(text)
    # A compatibility form can bring spaces back, and a dropped character can let marks meet.
    while form != "none" and not text.isascii() and not unicodedata.is_normalized(form, text):
        text = _plain_characters(unicodedata.normalize(form, text))
    if " \n" in text or "\t\n" in text:
        text = "\n".join([line.rstrip() for line in text.split("\n")])
    if "\n\n\n\n" in text:
        text = _BLANK_LINES.sub("\n\n\n", text)
    return text.strip("\n").rstrip()


def _plain_characters(text: str) -> str:
    if "\r" in text:
        text = text.replace("\r\n", "\n")
    if text.isascii():
        raw = text.encode("ascii")
        plain = raw.translate(_ASCII_LINE_ENDS, _ASCII_CONTROLS)
        return text if plain == raw else plain.decode("ascii")
    # Finding odd characters by their codes is several times faster than by the pattern.
    places = np.flatnonzero(np.take(_odd(), codes_of(text), mode="clip"))
    if len(places):
        pieces: list[str] = []
        end = 0
        for place in places.tolist():
            pieces += (text[end:place], _replacements().get(text[place], ""))
            end = place + 1
        text = "".join((*pieces, text[end:]))
        if "\u200c" in text or "\u200d" in text:
            text = _JOINER_ASTRAY.sub("", text)
    return text


@cache
def _odd() -> NDArray[np.bool_]:
    """Whether each character is replaced or dropped."""
    table = np.zeros(1 << 16, dtype=bool)
    table[[match.start() for match in _ODD.finditer("".join(map(chr, range(0xFFFF))))]] = True
    return table


@cache
def _replacements() -> dict[str, str]:
    """What takes an odd character's place; the others are dropped."""
    return {
        **dict.fromkeys(_LINE_ENDS, "\n"),
        **dict.fromkeys(_SPACES, " "),
        **{joiner: joiner for joiner in _JOINERS},
        **{chr(code): "\ufffd" for code in range(0xD800, 0xE000)},
    }
