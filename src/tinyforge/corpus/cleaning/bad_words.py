"""The user's list of words that no document may hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinyforge.corpus.cleaning.words import ngrams, plain_words
from tinyforge.errors import SettingError


class BadWords:
    """Words and phrases, looked up without case and punctuation.

    Args:
        path: a file with one word or phrase a line, in UTF-8.

    Raises:
        SettingError: it cannot be read, or holds no words.
    """

    def __init__(self, path: str) -> None:
        try:
            lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SettingError(
                f"cannot read the list of words: {reason}", where="clean.bad_words", value=path
            ) from None
        by_length: dict[int, list[np.uint64]] = {}
        for line in lines:
            hashes = plain_words(line)[2]
            if len(hashes):
                by_length.setdefault(len(hashes), []).append(ngrams(hashes, len(hashes))[0])
        if not by_length:
            raise SettingError("the list holds no words", where="clean.bad_words", value=path)
        self._by_length = {
            length: np.unique(np.array(hashes, dtype=np.uint64))
            for length, hashes in sorted(by_length.items())
        }

    def first(self, text: str) -> str:
        """The first word or phrase of the list in a text, as it stands there; empty: none."""
        starts, ends, hashes = plain_words(text)
        found: list[tuple[int, int]] = []
        for length, listed in self._by_length.items():
            grams = ngrams(hashes, length)
            places = np.minimum(np.searchsorted(listed, grams), len(listed) - 1)
            hits = np.flatnonzero(listed[places] == grams)
            if len(hits):
                first = int(hits[0])
                found.append((int(starts[first]), int(ends[first + length - 1])))
        return text[slice(*min(found))] if found else ""
