"""A corpus in three parts: prepared, or the user's texts just as they are with ends held out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.corpus.cleaning.words import ngrams, plain_words
from tinyforge.corpus.prepared import is_prepared, open_prepared
from tinyforge.errors import DataError, SettingError
from tinyforge.records.documents import Document

PARTS = ("train", "validation", "test")

LONG = 4_000
"""A text of this many characters is long enough to hold out its end; of shorter ones some are held
out whole."""

HELD_SHARE, MOST_HELD = 0.05, 0.2
"""Of a text's characters, held out for validation; and for the test, more where that is too few for
a verdict, and no more than the larger one."""

ENOUGH_HELD = 20_000
"""Characters of the test part from which no more than the usual share is held out."""

SAME_WORDS, PIECE = 13, 500
"""Words in a row that count as repeated (as for evaluation text, Brown et al. 2020, appendix C),
and the characters, about, of which no more than half may be."""


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
    validation, cut at the ends of lines, and without passages that stand further up in the text
    too; of short texts a share is held out whole, chosen by a hash of their names.

    Args:
        share: of the characters, for each of the two; None: ``HELD_SHARE``, and of short texts
            more for the test.

    Attributes:
        test_share: of the characters, for the test.
    """

    def __init__(self, corpus: Parts, share: float | None) -> None:
        self._corpus = corpus
        self._share = HELD_SHARE if share is None else share
        self.test_share = _enough_held(corpus) if share is None else share
        self.sources: Mapping[str, Any] = corpus.sources
        self.weights: dict[str, float] = getattr(corpus, "weights", {})
        mark = f"{corpus.fingerprint} ends {self._share}"
        if self.test_share != self._share:
            mark += f" {self.test_share}"
        self.fingerprint = hashlib.sha256(mark.encode()).hexdigest()

    def documents(self, part: str, source: str | None = None) -> Iterator[Document]:
        """The documents' parts; the name of a held-out end tells where it is from."""
        place = PARTS.index(part)
        for document in self._corpus.documents("train", source):
            if len(document.text) < LONG:
                if self._drawn(document.id) == place:
                    yield document
                continue
            cuts = self._cut(document.text)
            text = cuts[place]
            if place:
                text = _unrepeated(text, "".join(cuts[:place]))
            if text.strip():
                name = document.id if part == "train" else f"{document.id}#{part}"
                yield replace(document, id=name, text=text)

    def _cut(self, text: str) -> tuple[str, str, str]:
        first, second = (
            _line_end(text, round(len(text) * (1 - held)))
            for held in (self._share + self.test_share, self.test_share)
        )
        return text[:first], text[first:second], text[second:]

    def _drawn(self, name: str) -> int:
        digest = hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=8).digest()
        number = int.from_bytes(digest, "big") / 2**64
        if number >= self._share + self.test_share:
            return 0
        return 1 if number >= self.test_share else 2


def _enough_held(corpus: Parts) -> float:
    """The share of the characters to hold out for the test."""
    characters = 0
    for document in corpus.documents("train"):
        characters += len(document.text)
        if characters * HELD_SHARE >= ENOUGH_HELD:
            return HELD_SHARE
    return min(MOST_HELD, ENOUGH_HELD / max(1, characters))


def _unrepeated(text: str, before: str) -> str:
    """The pieces of a text most of whose words do not stand so in what comes before it."""
    pieces = list(_pieces(text, PIECE))
    grams = [ngrams(plain_words(piece)[2], SAME_WORDS) for piece in pieces]
    own = np.unique(np.concatenate([np.zeros(0, dtype=np.uint64), *grams]))
    if not len(own):
        return text
    earlier = ngrams(plain_words(before)[2], SAME_WORDS)
    place = np.minimum(np.searchsorted(own, earlier), len(own) - 1)
    seen = own[np.unique(place[own[place] == earlier])]
    return "".join(
        piece
        for piece, each in zip(pieces, grams, strict=True)
        if not len(each) or np.isin(each, seen).mean() <= 0.5
    )


def open_parts(
    sources: Sequence[str], read: ReadSettings, *, held_share: float | None
) -> tuple[Parts, str]:
    """The corpus, and how its test part was held out, in words.

    Args:
        sources: one prepared folder, or texts to be taken as they are.
        held_share: as for ``EndsHeldOut``, where it has to be one.

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
            where=str(sources[0]),
            fix=f"Give texts of {LONG:,} characters or more that do not only repeat themselves",
        )  # fmt: skip
    return ends, f"the last part of each text that was learnt from ({ends.test_share:.0%})"


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
