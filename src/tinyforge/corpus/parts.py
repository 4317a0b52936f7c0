"""A corpus in three parts: prepared, or the user's texts just as they are with ends held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.prepared import is_prepared, open_prepared
from tinyforge.errors import DataError, SettingError
from tinyforge.records.documents import Document

PARTS = ("train", "validation", "test")

LONG = 4_000
"""A text of this many characters is long enough to hold out its end; of shorter ones some are held
out whole."""


class Parts(Protocol):
    """Documents in three parts; ``corpus.prepared.Prepared`` is one.

    Attributes:
        sources: by name.
        fingerprint: changes when the documents change.
    """

    @property
    def sources(self) -> Mapping[str, Any]: ...
    @property
    def fingerprint(self) -> str: ...

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        """The documents of a part, always in the same order."""
        ...


class RawTexts:
    """Files as they are: read, and neither cleaned nor deduplicated. All of it is ``train``."""

    def __init__(self, sources: Sequence[str], settings: ReadSettings) -> None:
        from tinyforge.corpus.reading import find_units

        self._units, self._settings = find_units(sources, settings), settings
        self.sources: dict[str, Any] = dict.fromkeys(unit.source for unit in self._units)
        stamps = [[unit.source, unit.kind, unit.size, unit.stamp] for unit in self._units]
        text = json.dumps([stamps, settings.model_dump(mode="json")])
        self.fingerprint = hashlib.sha256(text.encode()).hexdigest()

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        """The documents in the order of their files; what cannot be read is passed over."""
        from tinyforge.corpus.reading import read_unit

        if part != "train":
            return
        for unit in self._units:
            if source is None or unit.source == source:
                for found in read_unit(unit, self._settings):
                    if isinstance(found, Document) and found.text.strip():
                        yield found


class EndsHeldOut:
    """A corpus that has too few documents to hold out whole ones.

    Of a long text the last part is held out for the test, and what stands before it for
    validation, cut at the ends of lines; of short texts a share is held out whole, chosen by a
    hash of their names.

    Args:
        share: of the characters, for each of the two.
    """

    def __init__(self, corpus: Parts, share: float) -> None:
        self._corpus, self._share = corpus, share
        self.sources: Mapping[str, Any] = corpus.sources
        self.weights: dict[str, float] = getattr(corpus, "weights", {})
        mark = f"{corpus.fingerprint} ends {share}"
        self.fingerprint = hashlib.sha256(mark.encode()).hexdigest()

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        """The documents' parts; the name of a held-out end tells where it is from."""
        place = PARTS.index(part)
        for document in self._corpus.documents("train", source):
            if len(document.text) < LONG:
                if self._drawn(document.id) == place:
                    yield document
                continue
            text = self._cut(document.text)[place]
            if text.strip():
                name = document.id if part == "train" else f"{document.id}#{part}"
                yield replace(document, id=name, text=text)

    def _cut(self, text: str) -> tuple[str, str, str]:
        first, second = (
            _line_end(text, round(len(text) * (1 - times * self._share))) for times in (2, 1)
        )
        return text[:first], text[first:second], text[second:]

    def _drawn(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        number = int.from_bytes(digest, "big") / 2**64
        return 0 if number >= 2 * self._share else 1 if number >= self._share else 2


def open_parts(
    sources: Sequence[str], read: ReadSettings, *, held_share: float
) -> tuple[Parts, str]:
    """The corpus, and how its test part was held out, in words.

    Args:
        sources: one prepared folder, or texts to be taken as they are.

    Raises:
        SettingError: a prepared folder stands beside something else.
        DataError: nothing can be read, or too little.
    """
    prepared = [source for source in sources if is_prepared(Path(source))]
    if prepared and len(sources) > 1:
        raise SettingError(
            "a prepared folder is a whole corpus, and more was given beside it",
            value=prepared[0], fix="Give all raw texts to one tinyforge prepare",
        )  # fmt: skip
    corpus: Parts = open_prepared(Path(prepared[0])) if prepared else RawTexts(sources, read)
    if not _any(corpus, "train"):
        raise DataError(
            "there is no text to learn from", where=str(sources[0]),
            fix="See in the report of tinyforge prepare what became of it"
            if prepared else "Give files with text in them",
        )  # fmt: skip
    if prepared and all(_any(corpus, part) for part in PARTS[1:]):
        return corpus, "whole documents, none of them like one that was learnt from"
    ends = EndsHeldOut(corpus, held_share)
    if not _any(ends, "train") or not _any(ends, "validation"):
        raise DataError(
            "the corpus is too small to learn from one part and validate on another",
            where=str(sources[0]), fix=f"Give texts of {LONG:,} characters or more",
        )  # fmt: skip
    return ends, "the last part of each text that was learnt from"


def _any(corpus: Parts, part: str) -> bool:
    return next(iter(corpus.documents(part)), None) is not None


def passages(
    documents: Callable[[], Iterable[Document]], *, characters: int, limit: int
) -> list[tuple[Document, str]]:
    """Texts to judge on, from all over some documents.

    Args:
        documents: gives them anew at every call; there are two.
        characters: of a passage, about.
        limit: characters in all, about.
    """
    sizes = [len(text) for _, text in _all_pieces(documents(), characters)]
    count = len(sizes)
    if sum(sizes) > limit:
        count = max(1, count * limit // sum(sizes))
    chosen = {index * len(sizes) // count for index in range(count)}
    return [
        (replace(document, text=""), text)
        for index, (document, text) in enumerate(_all_pieces(documents(), characters))
        if index in chosen
    ]


def _all_pieces(documents: Iterable[Document], characters: int) -> Iterator[tuple[Document, str]]:
    return ((each, text) for each in documents for text in _pieces(each.text, characters))


def _pieces(text: str, characters: int) -> Iterator[str]:
    start = 0
    while start < len(text):
        end = len(text)
        if end - start > 1.5 * characters:
            end = _line_end(text, start + characters, start + 3 * characters // 2)
        if text[start:end].strip():
            yield text[start:end]
        start = end


def _line_end(text: str, place: int, latest: int | None = None) -> int:
    """Behind the next end of a line, or else of a word, from ``place`` on."""
    latest = min(len(text), place + LONG if latest is None else latest)
    for mark in ("\n", " "):
        found = text.find(mark, place, latest)
        if found >= 0:
            return found + 1
    return min(place, len(text))
