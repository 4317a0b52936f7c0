"""What a document is like in numbers, each computed once and only where a filter asks."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

from tinyforge.corpus.cleaning.characters import (
    BULLET,
    LETTER,
    SPACE,
    TERMINAL,
    UNSPACED,
    WORD,
    classes_of,
    codes_of,
)
from tinyforge.corpus.cleaning.repeats import copied_share, ngram_shares
from tinyforge.corpus.cleaning.words import hash_pieces, hash_words, runs

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Of these a text in English has at least two (Rae et al. 2021)."""

_NEWLINE, _ELLIPSIS, _POINT = 10, 0x2026, 46
_UNSPACED_SHARE = 0.3


class Measured:
    """A normalised text, measured.

    Attributes:
        words: white-space separated pieces; ``starts``, ``ends`` are where they lie.
        lines: lines that are not empty.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.codes = codes_of(text)
        self.classes = classes_of(self.codes)

    @cached_property
    def _words(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        return runs((self.classes & SPACE) == 0)

    @property
    def starts(self) -> NDArray[np.int64]:
        """Where words start, shape (words,)."""
        return self._words[0]

    @property
    def ends(self) -> NDArray[np.int64]:
        """Where words end, shape (words,)."""
        return self._words[1]

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """A hash of each word, shape (words,)."""
        return hash_pieces(self.codes, self.starts, self.ends)

    @cached_property
    def lines(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where lines that are not empty start and end, each of shape (lines,)."""
        return runs(self.codes != _NEWLINE)

    @cached_property
    def paragraphs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where runs of lines without an empty one between them start and end."""
        starts, ends = self.lines
        if not len(starts):
            return starts, ends
        apart = np.flatnonzero(starts[1:] - ends[:-1] > 1)
        return (
            np.concatenate((starts[:1], starts[apart + 1])),
            np.concatenate((ends[apart], ends[-1:])),
        )

    @property
    def word_count(self) -> int:
        """Words."""
        return len(self.starts)

    @property
    def mean_word(self) -> float:
        """Mean characters of a word."""
        return float((self.ends - self.starts).mean()) if self.word_count else 0.0

    @property
    def lettered_words(self) -> float:
        """Share of the words with at least one letter."""
        if not self.word_count:
            return 0.0
        before = np.zeros(len(self.classes) + 1, dtype=np.int32)
        np.cumsum(self.classes & LETTER, dtype=np.int32, out=before[1:])  # LETTER is 1
        return _share(before[self.ends] > before[self.starts])

    @property
    def stop_words(self) -> int:
        """How many of the English stop words occur; two stands for two or more."""
        found = 0
        for stop in _hashes_of(STOP_WORDS):
            found += bool((self.hashes == stop).any())
            if found == 2:
                break
        return found

    @cached_property
    def unspaced(self) -> bool:
        """Whether the script puts no spaces between words, so that words say nothing."""
        if self.text.isascii():
            return False
        unspaced = int(np.count_nonzero(self.classes & UNSPACED))
        return unspaced > _UNSPACED_SHARE * self.letters

    @property
    def letters(self) -> int:
        """Letters."""
        return int(np.count_nonzero(self.classes & LETTER))

    @property
    def alphanumeric(self) -> float:
        """Share of the characters that are letters, marks or digits."""
        return float(np.count_nonzero(self.classes & WORD) / max(1, len(self.codes)))

    @property
    def hash_marks(self) -> float:
        """``#`` for each word."""
        return self.text.count("#") / max(1, self.word_count)

    @property
    def ellipses(self) -> float:
        """``...`` and ``…`` for each word."""
        return (self.text.count("...") + self.text.count("…")) / max(1, self.word_count)

    @property
    def sentences(self) -> int:
        """Ends of sentences: closing punctuation before white space or the end of the text."""
        terminal = (self.classes & TERMINAL) != 0
        before_space = np.ones(len(terminal), dtype=bool)
        before_space[:-1] = (self.classes[1:] & SPACE) != 0
        # In scripts without spaces a full stop is followed by the next sentence.
        return int(np.count_nonzero(terminal if self.unspaced else terminal & before_space))

    @property
    def lorem_ipsum(self) -> int:
        """Places of the printers' placeholder text."""
        return self.text.encode("utf-8", "surrogatepass").lower().count(b"lorem ipsum")

    @property
    def bullet_lines(self) -> float:
        """Share of the lines that start with a bullet."""
        starts, _ = self.lines
        if not len(starts):
            return 0.0
        word = np.searchsorted(self.starts, starts)
        first = self.starts[np.minimum(word, self.word_count - 1)] if self.word_count else starts
        return _share((self.classes[first] & BULLET) != 0)

    @property
    def ellipsis_lines(self) -> float:
        """Share of the lines that end with an ellipsis."""
        starts, ends = self.lines
        if not len(ends):
            return 0.0
        last = self.codes[ends - 1]
        dots = (last == _POINT) & (ends - starts >= 3)
        dots &= self.codes[np.maximum(ends - 2, 0)] == _POINT
        dots &= self.codes[np.maximum(ends - 3, 0)] == _POINT
        return _share(dots | (last == _ELLIPSIS))

    @property
    def punctuated_lines(self) -> float:
        """Share of the lines that end with closing punctuation."""
        _, ends = self.lines
        return _share((self.classes[ends - 1] & TERMINAL) != 0)

    def lines_up_to(self, characters: int) -> float:
        """Share of the lines that are no longer."""
        starts, ends = self.lines
        return _share(ends - starts <= characters)

    @property
    def longest_line(self) -> int:
        """Characters of the longest line."""
        starts, ends = self.lines
        return int((ends - starts).max()) if len(ends) else 0

    @property
    def mean_line(self) -> float:
        """Mean characters of a line that is not empty."""
        starts, ends = self.lines
        return float((ends - starts).mean()) if len(ends) else 0.0

    @cached_property
    def copied_lines(self) -> tuple[float, float]:
        """Share of the lines that repeat an earlier one, and of their characters."""
        starts, ends = self.lines
        return copied_share(hash_pieces(self.codes, starts, ends), ends - starts)

    @cached_property
    def copied_paragraphs(self) -> tuple[float, float]:
        """Share of the paragraphs that repeat an earlier one, and of their characters."""
        starts, ends = self.paragraphs
        if len(starts) == len(self.lines[0]):
            return self.copied_lines
        return copied_share(hash_pieces(self.codes, starts, ends), ends - starts)

    @cached_property
    def ngram_shares(self) -> dict[int, float]:
        """See ``repeats.ngram_shares``."""
        return ngram_shares(self.hashes, self.ends - self.starts)


def _share(hits: NDArray[np.bool_]) -> float:
    """Share of True; 0 of nothing."""
    return int(np.count_nonzero(hits)) / max(1, len(hits))


@cache
def _hashes_of(words: tuple[str, ...]) -> tuple[np.uint64, ...]:
    return tuple(hash_words(words))
