"""Lines and passages that stand in several documents of a corpus, dropped but for the first.

Lines: Lee et al. and the authors of C4 (Raffel et al. 2020) drop what many pages share; passages:
Lee et al. 2022, "Deduplicating training data makes language models better", here by fingerprints
whose matches are then followed word by word, so that no suffix array has to be kept in memory.
"""

from __future__ import annotations

import shutil
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tinyforge.artifacts.files import disk_errors, read_json, sync_file, write_json
from tinyforge.config.corpus_duplicates import DuplicateSettings
from tinyforge.corpus.duplicates.cutting import cut
from tinyforge.corpus.duplicates.passages import (
    SHIFT,
    WordFile,
    fingerprints,
    matches,
    spans,
)
from tinyforge.corpus.duplicates.sorting import Sorter
from tinyforge.corpus.duplicates.words import PIECE, Lines, Words, pieces, words_of
from tinyforge.errors import DataError

_DONE = "repeats.json"
_MEGABYTE = 1 << 20


def count_repeats(texts: Iterable[str], folder: Path, settings: DuplicateSettings) -> Repeats:
    """Find the lines and passages that stand in several of some texts.

    Each text is seen once. Memory: about 32 bytes a text and ``settings.memory``; hashes of all
    words lie on disk meanwhile, 4 bytes a word.

    Args:
        texts: all documents in order, numbered from 0; an empty one for those that are not used.
        folder: its own folder; anything in it is removed first.

    Returns:
        What was found; ``Repeats.open`` gives it again.

    Raises:
        FolderError: the disk is full, or the folder cannot be written.
    """
    with disk_errors(folder):
        shutil.rmtree(folder, ignore_errors=True)
        work = folder / "work"
        work.mkdir(parents=True)
        counter = _Counter(work, settings)
        counter.read(texts)
        counts = np.array(counter.counts, dtype=np.int64)
        keys, firsts, marked = counter.repeated_lines(len(counts))
        stretches = array("q")
        for stretch in counter.passages(counts):
            stretches.extend(stretch)
        found = np.array(stretches, dtype=np.int64).reshape(-1, 3)
        for name, values in (
            ("lines", keys), ("first", firsts), ("marked", marked), ("spans", found),
            ("counts", counts),
        ):  # fmt: skip
            np.save(folder / f"{name}.npy", values)
            sync_file(folder / f"{name}.npy")
        shutil.rmtree(work)
        facts = {
            "documents": len(counts), "lines": len(keys), "passages": len(found),
            "passage_words": int((found[:, 2] - found[:, 1]).sum()),
            "line_characters": settings.line_characters,
        }  # fmt: skip
        write_json(folder / _DONE, facts)
    return Repeats.open(folder)


@dataclass(frozen=True)
class Repeats:
    """Repeated lines and passages of a corpus.

    Attributes:
        facts: counts: documents, different repeated lines, passages to drop and their words.
    """

    facts: dict[str, int]
    _lines: NDArray[np.uint64]
    _first: NDArray[np.int64]
    _marked: NDArray[np.bool_]
    _spans: NDArray[np.int64]
    _counts: NDArray[np.int64]

    @classmethod
    def open(cls, folder: Path) -> Repeats:
        """What ``count_repeats`` left in a folder.

        Raises:
            FolderError: it did not end there.
        """
        facts = read_json(folder / _DONE)
        names = ("lines", "first", "marked", "spans", "counts")
        lines, first, marked, stretches, counts = (np.load(folder / f"{n}.npy") for n in names)
        return cls(facts, lines, first, marked, stretches, counts)

    def strip(self, text: str, document: int) -> tuple[str, dict[str, int]]:
        """A text without the lines and passages that stand in earlier documents.

        Args:
            text: the text as it was counted.
            document: its number then.

        Returns:
            The text, and what went: ``repeated.lines``, ``repeated.passages`` and
            ``repeated.characters``; empty where nothing did.

        Raises:
            DataError: it is not the text that was counted.
        """
        low, high = np.searchsorted(self._spans[:, 0], (document, document + 1))
        if low == high and not self._marked[document]:
            return text, {}
        lines: list[tuple[int, int]] = []
        passages = _Places(self._spans[low:high, 1:])
        seen: set[int] = set()
        words = 0
        for start, piece in pieces(text):
            found, of_lines = words_of([piece])
            if self._marked[document]:
                places = self._repeated(found, of_lines, document, seen)
                lines += [(start + a, start + b) for a, b in places]
            passages.add(found, words, start)
            words += len(found.hashes)
        if words != self._counts[document]:
            raise DataError(
                f"document {document} has {words:,} words and had "
                f"{int(self._counts[document]):,} when repeats were counted",
                fix="Count the repeats again",
            )
        shorter = cut(text, lines, passages.found)
        return shorter, {
            name: count
            for name, count in (
                ("repeated.lines", len(lines)),
                ("repeated.passages", len(passages.found)),
                ("repeated.characters", len(text) - len(shorter)),
            )
            if count
        }

    def _repeated(
        self, words: Words, lines: Lines, document: int, seen: set[int]
    ) -> Iterator[tuple[int, int]]:
        """The first and last character of each line to drop."""
        wide = _wide(words, lines, self.facts["line_characters"])
        hashes = lines.hashes[wide]
        places = np.minimum(np.searchsorted(self._lines, hashes), len(self._lines) - 1)
        hit = self._lines[places] == hashes
        for line, place in zip(wide[hit].tolist(), places[hit].tolist(), strict=True):
            if self._first[place] == document and place not in seen:
                seen.add(place)
                continue
            last = int(lines.last[line]) - 1
            yield int(words.starts[lines.first[line]]), int(words.ends[last])


class _Places:
    """Turns stretches of words into stretches of characters, piece by piece."""

    def __init__(self, stretches: NDArray[np.int64]) -> None:
        self.found: list[tuple[int, int]] = []
        self._stretches = stretches.tolist()
        self._begun = 0

    def add(self, words: Words, before: int, start: int) -> None:
        """The next piece: its words, and the words and characters before it."""
        end = before + len(words.hashes)
        while self._stretches and self._stretches[0][0] < end:
            first, last = self._stretches[0]
            if first >= before:
                self._begun = start + int(words.starts[first - before])
            if last > end:
                return
            self.found.append((self._begun, start + int(words.ends[last - 1 - before])))
            self._stretches.pop(0)


class _Counter:
    """Reads texts, and keeps the hashes of their lines, fingerprints and words."""

    def __init__(self, folder: Path, settings: DuplicateSettings) -> None:
        self._folder = folder
        self._settings = settings
        memory = settings.memory * _MEGABYTE // 2
        self._lines = Sorter(folder, "lines", memory)
        self._prints = Sorter(folder, "prints", memory)
        self.counts = array("q")

    def read(self, texts: Iterable[str]) -> None:
        """Read all texts: short ones together, long ones piece by piece."""
        waiting: list[str] = []
        size = 0
        with (self._folder / "words.bin").open("wb") as file:
            for text in texts:
                if waiting and size + len(text) > PIECE:
                    self._short(waiting, file)
                    waiting, size = [], 0
                if len(text) > PIECE:
                    self._long(text, file)
                    continue
                waiting.append(text)
                size += len(text) + 1
            if waiting:
                self._short(waiting, file)

    def _short(self, texts: list[str], file: BinaryIO) -> None:
        words, lines = words_of(texts)
        number = len(self.counts)
        self._add_lines(words, lines, number + lines.parts)
        if self._settings.passage_words:
            words.hashes.astype(np.uint32).tofile(file)
            prints, places = fingerprints(
                words.hashes, words.first[1:], self._settings.passage_words
            )
            parts = np.searchsorted(words.first, places, side="right") - 1
            self._add_prints(prints, number + parts, places - words.first[parts])
        self.counts.extend(np.diff(words.first).tolist())

    def _long(self, text: str, file: BinaryIO) -> None:
        number, before = len(self.counts), 0
        passage = self._settings.passage_words
        carried = np.zeros(0, dtype=np.uint64)
        for _, piece in pieces(text):
            words, lines = words_of([piece])
            self._add_lines(words, lines, np.full(len(lines.hashes), number))
            if passage:
                words.hashes.astype(np.uint32).tofile(file)
                hashes = np.concatenate((carried, words.hashes))
                prints, places = fingerprints(hashes, np.array([len(hashes)]), passage)
                self._add_prints(
                    prints, np.full(len(places), number), places + before - len(carried)
                )
                carried = hashes[max(0, len(hashes) - passage + 1) :]
            before += len(words.hashes)
        self.counts.append(before)

    def _add_lines(self, words: Words, lines: Lines, numbers: NDArray[np.int64]) -> None:
        if self._settings.line_documents:
            wide = _wide(words, lines, self._settings.line_characters)
            self._lines.add(lines.hashes[wide], numbers[wide].astype(np.uint64))

    def _add_prints(
        self, prints: NDArray[np.uint64], numbers: NDArray[np.int64], words: NDArray[np.int64]
    ) -> None:
        self._prints.add(prints, (numbers.astype(np.uint64) << SHIFT) | words.astype(np.uint64))

    def repeated_lines(
        self, count: int
    ) -> tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.bool_]]:
        """Lines of many documents, the first document of each, and which documents have any."""
        keys, firsts = [np.zeros(0, dtype=np.uint64)], [np.zeros(0, dtype=np.int64)]
        marked = np.zeros(count, dtype=np.bool_)
        for hashes, values in self._lines.repeated():
            numbers = values.astype(np.int64)
            new = np.ones(len(hashes), dtype=bool)
            new[1:] = hashes[1:] != hashes[:-1]
            other = new.copy()
            other[1:] |= numbers[1:] != numbers[:-1]  # they are in order
            begins = np.flatnonzero(new)
            documents = np.add.reduceat(other, begins, dtype=np.int64)
            many = documents >= self._settings.line_documents
            keys.append(hashes[begins[many]])
            firsts.append(numbers[begins[many]])
            marked[numbers[many[np.cumsum(new) - 1]]] = True
        self._lines.close()
        return np.concatenate(keys), np.concatenate(firsts), marked

    def passages(self, counts: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
        """Stretches of words to drop, in order."""
        if not self._settings.passage_words:
            return
        found = Sorter(self._folder, "matches", self._settings.memory * _MEGABYTE // 2)
        for keys, places in self._prints.repeated():
            found.add(*matches(keys, places, self._settings.passage_documents))
        self._prints.close()
        words = WordFile(self._folder / "words.bin", np.cumsum(counts))
        yield from spans(found.sorted(), words, self._settings.passage_words)
        words.close()
        found.close()


def _wide(words: Words, lines: Lines, characters: int) -> NDArray[np.int64]:
    """The lines that are at least so wide."""
    width = words.ends[lines.last - 1] - words.starts[lines.first]
    return np.flatnonzero(width >= characters)
