"""Texts as words, for word-based metrics, in any script."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable

_UNSPACED = "\u0e00-\u0eff\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")
_UNSPACED_CHARACTER = re.compile(f"[{_UNSPACED}]")
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def split_words(text: str) -> list[str]:
    """Lower-case runs of letters and digits; each character of a script without spaces alone.

    On ASCII text these are the tokens of the package ``rouge-score`` without stemming, which
    drops all other letters.
    """
    return _WORD.findall(text.lower())


def mostly_unspaced(texts: Iterable[str], *, share: float = 0.3) -> bool:
    """Whether the texts are in a script without spaces (Chinese, Japanese, Thai, ...)."""
    characters = unspaced = 0
    for text in texts:
        characters += len(text)
        unspaced += len(_UNSPACED_CHARACTER.findall(text))
    return unspaced > share * characters


def same_text(text: str) -> str:
    """What exact match compares: composed Unicode, runs of white space as one space, stripped."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def squad_words(text: str) -> list[str]:
    """Words as SQuAD 1.1 (Rajpurkar et al. 2016) compares them.

    Lower case, ASCII punctuation and English articles removed, split at white space; characters
    of scripts without spaces stand alone.
    """
    bare = _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION))
    return _UNSPACED_CHARACTER.sub(lambda found: f" {found.group()} ", bare).split()
