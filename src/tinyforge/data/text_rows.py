"""Passages of plain text files."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from tinyforge.data.files import Damaged
from tinyforge.data.lines import excerpt
from tinyforge.records.rows import Rejected, Row, Source

PASSAGE = 2_000
"""Characters of a passage, at most."""


def rows_of_text(chunks: Iterator[bytes], name: str) -> Iterator[Row | Rejected]:
    """Passages of consecutive paragraphs, gathered up to ``PASSAGE`` characters.

    A longer paragraph is cut between lines, a longer line between words (or anywhere, where it
    has no spaces). Each row has one column, ``text``, and the line its passage starts on.
    """
    gatherer = _Gatherer()
    for number, line in _lines(chunks):
        if isinstance(line, Damaged):
            for start, text in gatherer.flush():
                yield _row(text, Source(name, start))
            yield Rejected(Source(name, number), "file breaks off", str(line))
            return
        for start, text in gatherer.add(number, line):
            yield _row(text, Source(name, start))
    for start, text in gatherer.flush():
        yield _row(text, Source(name, start))


def _row(text: str, source: Source) -> Row | Rejected:
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return Rejected(source, "not valid UTF-8", "", excerpt(text))
    return Row({"text": text}, source)


def _lines(chunks: Iterator[bytes]) -> Iterator[tuple[int, str | Damaged]]:
    """Lines, those over ``PASSAGE`` characters in pieces, with their numbers."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    number, rest = 1, ""
    try:
        for chunk in chunks:
            *whole, rest = (rest + decoder.decode(chunk)).split("\n")
            for line in whole:
                for piece in _pieces(line.removesuffix("\r")):
                    yield number, piece
                number += 1
            if len(rest) > 2 * PASSAGE:
                *full, rest = _pieces(rest)
                for piece in full:
                    yield number, piece
    except Damaged as damage:
        yield number, damage
        return
    for piece in _pieces(rest + decoder.decode(b"", final=True)):
        yield number, piece


def _pieces(line: str) -> Iterator[str]:
    """A line in pieces of at most ``PASSAGE`` characters, cut behind spaces."""
    start = 0
    while len(line) - start > PASSAGE:
        space = line.rfind(" ", start + PASSAGE // 2, start + PASSAGE)
        end = space + 1 if space >= 0 else start + PASSAGE
        yield line[start:end]
        start = end
    yield line[start:]


class _Gatherer:
    """Puts lines together into passages."""

    def __init__(self) -> None:
        self._passage: list[str] = []
        self._passage_start = 0
        self._passage_size = 0
        self._paragraph: list[str] = []
        self._paragraph_start = 0
        self._paragraph_size = 0

    def add(self, number: int, line: str) -> Iterator[tuple[int, str]]:
        """Take a line; give the passages that it completes."""
        if not line.strip():
            yield from self._end_paragraph()
            return
        if self._paragraph and self._paragraph_size + len(line) > PASSAGE:
            yield from self.flush()
        if not self._paragraph:
            self._paragraph_start = number
        self._paragraph.append(line)
        self._paragraph_size += len(line) + 1

    def flush(self) -> Iterator[tuple[int, str]]:
        """Give all that is held."""
        yield from self._end_paragraph()
        yield from self._end_passage()

    def _end_paragraph(self) -> Iterator[tuple[int, str]]:
        if not self._paragraph:
            return
        if self._passage_size + self._paragraph_size > PASSAGE:
            yield from self._end_passage()
        if not self._passage:
            self._passage_start = self._paragraph_start
        self._passage.append("\n".join(self._paragraph))
        self._passage_size += self._paragraph_size + 1
        self._paragraph, self._paragraph_size = [], 0

    def _end_passage(self) -> Iterator[tuple[int, str]]:
        if self._passage:
            yield self._passage_start, "\n\n".join(self._passage)
        self._passage, self._passage_size = [], 0
