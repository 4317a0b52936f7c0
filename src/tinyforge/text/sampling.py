"""An even sample of a corpus of any size, in one pass and bounded memory."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

PIECE_CHARACTERS = 20_000
"""A longer text is taken in pieces of about this many characters."""

_STEP, _MASK = 0x9E3779B97F4A7C15, (1 << 64) - 1
_CUT = re.compile(r"(?<=\S) (?=\S)")


class Piece(NamedTuple):
    """A part of a corpus.

    Attributes:
        text: some consecutive text of one document.
        source: the document's source.
        language: the document's language; empty where unknown.
    """

    text: str
    source: str = ""
    language: str = ""


class Sample:
    """Takes pieces one by one and keeps an even share of them.

    Each piece has a key from a golden-ratio sequence, which spreads any share of the pieces evenly
    from the corpus's beginning to its end; those with the smallest keys are kept.

    Args:
        limit: bytes of UTF-8 kept, at most.

    Attributes:
        total: bytes of all that was added.
        kept: bytes of what is kept.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self.total, self.kept = limit, 0, 0
        self._count = 0
        self._heap: list[tuple[int, int, int, Piece]] = []

    def add(self, piece: Piece) -> None:
        """Take one more piece, or not."""
        size = utf8_size(piece.text)
        key = (self._count * _STEP) & _MASK
        heapq.heappush(self._heap, (-key, self._count, size, piece))
        self._count += 1
        self.total += size
        self.kept += size
        while self.kept > self.limit:
            self.kept -= heapq.heappop(self._heap)[2]

    def pieces(self) -> list[Piece]:
        """What is kept, in the corpus's order."""
        return [piece for _, _, _, piece in sorted(self._heap, key=lambda entry: entry[1])]


def utf8_size(text: str) -> int:
    """Bytes of a text in UTF-8; a lone surrogate counts as the U+FFFD in its place."""
    if text.isascii():
        return len(text)
    return len(mended(text).encode("utf-8"))


def mended(text: str) -> str:
    """The text with U+FFFD for every lone surrogate, which UTF-8 cannot hold."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def pieces_of(text: str) -> Iterator[str]:
    """The text in pieces of about ``PIECE_CHARACTERS``, cut before a word where there is one.

    Between two words that one space parts, every tokenizer that splits at words cuts as well, so
    that pieces give the same words as the whole.
    """
    start = 0
    while len(text) - start > PIECE_CHARACTERS:
        near = start + PIECE_CHARACTERS
        found = _CUT.search(text, near, near + PIECE_CHARACTERS)
        end = found.start() if found else near
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]


def whole_words(text: str) -> Iterator[str]:
    """``pieces_of``, but where there is no space to cut at, a piece is as long as it takes."""
    start = 0
    while len(text) - start > 2 * PIECE_CHARACTERS:
        found = _CUT.search(text, start + PIECE_CHARACTERS)
        if found is None:
            break
        yield text[start : found.start()]
        start = found.start()
    if start < len(text):
        yield text[start:]


def sample_of(texts: Iterable[str], limit: int) -> Sample:
    """A sample of plain texts."""
    sample = Sample(limit)
    for text in texts:
        for piece in pieces_of(text):
            sample.add(Piece(piece))
    return sample
