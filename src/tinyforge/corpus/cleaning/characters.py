"""What each character is, as tables that numpy looks whole texts up in.

The tables cover the 65,536 characters of the Basic Multilingual Plane; a character beyond it (an
emoji, a rare ideograph) is looked up by its lowest 16 bits where only difference counts, and has
no class.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

LETTER = 1
DIGIT = 2
SPACE = 4
WORD = 8  # letters, the marks on them, and digits
UNSPACED = 16  # letters of scripts that put no spaces between words
TERMINAL = 32  # ends a sentence, or closes a quotation that does
BULLET = 64

_PLANE = 1 << 16
_TERMINAL = ".!?…\"'”’»。！？．؟۔।॥"
_BULLETS = "•‣▪●○◦⁃·∙*-–■□▶➢"
_UNSPACED = (
    (0x0E00, 0x0EFF), (0x0F00, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF), (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
)  # fmt: skip
"""Thai and Lao, Tibetan and Burmese, Khmer, Japanese kana, Chinese characters."""


def codes_of(text: str) -> NDArray[np.uint32]:
    """Code points, shape (characters,)."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")


def classes_of(codes: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """The class bits of each character, shape (characters,)."""
    return np.take(_classes(), codes, mode="clip")


def lowered(codes: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Code points in lower case, character by character, so that places stay the same."""
    low = np.take(_lower(), codes, mode="clip").astype(np.uint32)
    return np.where(codes < _PLANE, low, codes)


@cache
def _classes() -> NDArray[np.uint8]:
    table = np.zeros(_PLANE, dtype=np.uint8)
    for code in range(_PLANE - 1):  # the last one stands for everything beyond
        character = chr(code)
        category = unicodedata.category(character)
        bits = 0
        if category[0] == "L":
            bits |= LETTER | WORD
        elif category[0] == "M":
            bits |= WORD
        elif category[0] == "N":
            bits |= DIGIT | WORD
        elif character.isspace():
            bits |= SPACE
        table[code] = bits
    for first, last in _UNSPACED:
        part = table[first : last + 1]
        part[(part & LETTER) != 0] |= UNSPACED
    for characters, bit in ((_TERMINAL, TERMINAL), (_BULLETS, BULLET)):
        for character in characters:
            table[ord(character)] |= bit
    return table


@cache
def _lower() -> NDArray[np.uint16]:
    table = np.arange(_PLANE, dtype=np.uint16)
    for code in range(_PLANE):
        low = chr(code).lower()
        if len(low) == 1 and ord(low) < _PLANE:
            table[code] = ord(low)
    return table
