"""Texts to words: where tokenizers split, as the package says it and as ``re`` takes it.

Python's ``re`` splits several times faster than the package, but has its own idea of letters. So
the expressions are written out over characters whose Unicode classes have long been settled, and a
text with any other character is left to the package.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np

BYTE_LEVEL = "byte-level"
"""GPT-2's expression (Radford et al. 2019), which the package has built in."""

WORDS = r" ?[\p{L}\p{M}\p{N}_]+| ?[^\s\p{L}\p{M}\p{N}_]+|\s+(?!\S)|\s"
"""A word, or a run of punctuation, each with the space before it; other spacing stands alone."""

SPACED = r" ?\S+|\s+(?!\S)|\s"
"""What stands between spaces, with the space before it; other spacing stands alone."""

BERT = "bert"
"""BERT's tokenizers look at no character beyond a space or a punctuation mark, whatever they make
of what is between."""

_RANGES = (
    # Latin, Greek, Cyrillic, general punctuation, currency. Left out are U+001C to U+001F, which
    # Python alone takes for spaces.
    (0x00, 0x1B), (0x20, 0x24F), (0x370, 0x482), (0x48A, 0x52F), (0x2010, 0x2027),
    (0x2030, 0x203E), (0x20A0, 0x20BF),
)  # fmt: skip
SETTLED = [chr(code) for low, high in _RANGES for code in range(low, high + 1)]
"""Characters that are split here."""

_UNSETTLED = re.compile("[^" + "".join(f"\\u{a:04x}-\\u{b:04x}" for a, b in _RANGES) + "]")
_SPACE = re.escape("\t\n\x0b\x0c\r \x85\xa0")


def _class(categories: str) -> str:
    return "".join(c for c in SETTLED if unicodedata.category(c)[0] in categories)


_LETTER, _NUMBER, _WORD = _class("L"), _class("N"), _class("LMN") + "_"
_ALONE = r"!-/:-@\[-`{-~\u2010-\u2027\u2030-\u203e"
_END = rf"[{_SPACE}]+(?![^{_SPACE}])"

EXPRESSIONS = {
    BYTE_LEVEL: (
        rf"'(?:[sdmt]|re|ve|ll)| ?[{_LETTER}]+| ?[{_NUMBER}]+"
        rf"| ?[^{_SPACE}{_LETTER}{_NUMBER}]+|{_END}|[{_SPACE}]+"
    ),
    WORDS: rf" ?[{_WORD}]+| ?[^{_SPACE}{_WORD}]+|{_END}|[{_SPACE}]",
    SPACED: rf" ?[^{_SPACE}]+|{_END}|[{_SPACE}]",
    BERT: rf"[{_ALONE}]|[^ \t\n\r{_ALONE}]+",
}
"""An expression of the package to the same one over ``SETTLED``."""


class Splitter:
    """Splits texts at one of ``EXPRESSIONS``.

    Args:
        expression: its name in that table.
        guard: a text in which this is found is left to the package.
    """

    def __init__(self, expression: str, guard: str | None = None) -> None:
        self._words = re.compile(EXPRESSIONS[expression])
        self._guard = re.compile(guard) if guard else None
        self._any = expression == BERT

    def words(self, text: str) -> list[str] | None:
        """The words that make the text; None where the package has to split it.

        ``BERT`` leaves the spaces out.
        """
        if not self._any and _UNSETTLED.search(text):
            return None
        if self._guard is not None and self._guard.search(text):
            return None
        return self._words.findall(text)


def count_words(
    texts: Iterable[str], splitter: Splitter, package: Any, normalizer: Any, front: str = ""
) -> Counter[str]:
    """How often each word occurs.

    Args:
        package: the pre-tokenizer that splits as ``splitter`` does.
        normalizer: applied first; None for none.
        front: put before every text then.
    """
    counts: Counter[str] = Counter()
    for text in texts:
        clean = normalizer.normalize_str(text) if normalizer else text
        clean = front + clean if clean else clean
        words = splitter.words(clean)
        if words is None:
            words = [word for word, _ in package.pre_tokenize_str(clean)]
        counts.update(words)
    return counts


def count_characters(texts: Iterable[str], normalizer: Any = None) -> Counter[str]:
    """How often each character occurs after a normalizer that looks at one character at a time."""
    totals = np.zeros(0, dtype=np.int64)
    for text in texts:
        codes = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        found = np.bincount(codes)
        if len(found) > len(totals):
            totals = np.concatenate([totals, np.zeros(len(found) - len(totals), dtype=np.int64)])
        totals[: len(found)] += found
    counts: Counter[str] = Counter()
    for code in np.flatnonzero(totals).tolist():
        made = normalizer.normalize_str(chr(code)) if normalizer else chr(code)
        for character in made:
            counts[character] += int(totals[code])
    return counts
