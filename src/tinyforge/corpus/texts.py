"""The documents of anything that a user names as a corpus: prepared folders, and raw sources."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinyforge.config.corpus_read import ReadSettings
from tinyforge.errors import DataError
from tinyforge.records.documents import Document


@dataclass
class Amount:
    """Text that was read of one source."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0

    def to_json(self) -> dict[str, int]:
        """Plain data."""
        return {
            "documents": self.documents,
            "characters": self.characters,
            "bytes": self.bytes,
        }


@dataclass
class Corpus:
    """Documents read one after the other, and what was read.

    Attributes:
        sources: what the user named: prepared folders, or anything that ``prepare`` reads.
        settings: of reading raw sources.
        part: which part of a prepared folder is read.
        amounts: by source, after reading.
        dropped: how many documents and files could not be read, by reason, after reading.
    """

    sources: Sequence[str]
    settings: ReadSettings = field(default_factory=ReadSettings)
    part: str = "train"
    amounts: dict[str, Amount] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._digest = hashlib.sha256()

    @property
    def digest(self) -> str:
        """SHA-256 over the texts read, in their order."""
        return self._digest.hexdigest()

    @property
    def bytes(self) -> int:
        """UTF-8 bytes of all that was read."""
        return sum(amount.bytes for amount in self.amounts.values())

    @property
    def documents_read(self) -> int:
        """How many documents were read."""
        return sum(amount.documents for amount in self.amounts.values())

    def documents(self) -> Iterator[Document]:
        """Every document, in an order that is the same every time.

        Raises:
            DataError: a source does not exist, or none can be read.
        """
        self.amounts, self.dropped, self._digest = {}, {}, hashlib.sha256()
        for document in self._all():
            data = document.text.encode("utf-8", "surrogatepass")
            self._digest.update(len(data).to_bytes(8, "little"))
            self._digest.update(data)
            amount = self.amounts.setdefault(document.source, Amount())
            amount.documents += 1
            amount.characters += len(document.text)
            amount.bytes += len(data)
            yield document

    def _all(self) -> Iterator[Document]:
        from tinyforge.corpus.prepared import is_prepared, open_prepared

        raw = []
        for source in self.sources:
            if is_prepared(Path(source)):
                yield from open_prepared(Path(source)).documents(self.part)
            else:
                raw.append(source)
        if raw:
            yield from self._raw(raw)

    def _raw(self, sources: Sequence[str]) -> Iterator[Document]:
        from tinyforge.corpus.reading import find_units, read_unit

        for unit in find_units(sources, self.settings):
            for found in read_unit(unit, self.settings):
                if isinstance(found, Document):
                    yield found
                else:
                    self.dropped[found.reason] = self.dropped.get(found.reason, 0) + 1

    def require_text(self) -> None:
        """Raises DataError where nothing but white space was read."""
        if self.bytes:
            return
        reasons = ", ".join(f"{reason} ({n})" for reason, n in sorted(self.dropped.items()))
        raise DataError(
            "there is no text to read" + (f": {reasons}" if reasons else ""),
            where=", ".join(map(str, self.sources))[:200],
            fix="Give text files, folders of them, rows with a text column, or a prepared folder",
        )

    def to_json(self) -> dict[str, Any]:
        """What was read, as plain data."""
        return {
            "sha256": self.digest,
            "documents": self.documents_read,
            "bytes": self.bytes,
            "sources": {name: self.amounts[name].to_json() for name in sorted(self.amounts)},
            "not_read": dict(sorted(self.dropped.items())),
        }
