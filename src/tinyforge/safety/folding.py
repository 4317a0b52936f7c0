"""Texts as a reader sees them: without case, accents, invisible characters and foreign look-alikes.

Compatibility forms and case as Unicode folds them (UAX 15, section 3.13 of the standard). The
look-alikes are letters of other alphabets that common fonts draw like a Latin one, a selection of
those in Unicode's table of confusables (UTS 39).
"""

from __future__ import annotations

import unicodedata

_LOOK_ALIKES = {
    "a": "аɑαᴀ", "b": "ьʙв", "c": "сϲᴄ", "d": "ԁᴅ", "e": "еҽєεᴇ", "f": "ғꜰ", "g": "ɡցɢ",
    "h": "һնʜн", "i": "іıιɩɪ", "j": "јϳᴊ", "k": "кκᴋ", "l": "ӏⅼʟ", "m": "мᴍ", "n": "ոпɴ",
    "o": "оοσօᴏ", "p": "рρᴘ", "q": "ԛզ", "r": "гʀ", "s": "ѕꜱ", "t": "тτᴛ", "u": "υսᴜ",
    "v": "νѵᴠ", "w": "ѡԝωᴡ", "x": "хχ", "y": "уүγʏ", "z": "ᴢ",
}  # fmt: skip
"""Small letters, as they are after the case is folded."""

_TO_LATIN = str.maketrans({alike: latin for latin, row in _LOOK_ALIKES.items() for alike in row})

STAND_INS = {
    "0": "o", "1": "il", "3": "e", "4": "a", "5": "s", "7": "t", "8": "b", "9": "g", "@": "a",
    "$": "s", "!": "il", "|": "il", "+": "t",
}  # fmt: skip
"""Digits and signs that are written for letters."""


def visible(text: str) -> str:
    """A text in compatibility form without characters that nobody sees (zero width, soft hyphen,
    marks of direction)."""
    if text.isascii():
        return text
    whole = unicodedata.normalize("NFKC", text)
    return "".join(c for c in whole if unicodedata.category(c) != "Cf")


def fold(text: str) -> str:
    """A text for comparing: also without case and accents, and in one alphabet where letters look
    alike."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", visible(text).casefold())
    plain = "".join(c for c in apart if unicodedata.category(c) != "Mn")
    return unicodedata.normalize("NFC", plain).translate(_TO_LATIN)
