"""A document of raw text, and one that was turned away."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Document:
    """One text of a corpus.

    Attributes:
        id: names it for good, the same in every run: the source, the path in it and, where a file
            holds several, a number: ``novels.tar.xz!/emma.txt``, ``rows.jsonl:12``,
            ``crawl.warc.gz:3``. Never an absolute path.
        text: its text.
        source: the source that the user named (a file, folder, query or data set), as a short
            name; weights of a mix are given by it.
        language: ISO 639-1 code, empty while unknown.
        meta: plain JSON that the format had: url, title, date, licence.
    """

    id: str
    text: str
    source: str
    language: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A document, or a file that could not be read, that is not used; its reason is kept.

    Attributes:
        step: which step turned it away: ``read``, ``clean``, ``duplicates``, ``contamination``.
        reason: a short fixed phrase, the same for the same fault, so that it can be counted; for a
            filter its name, as ``gopher.short``.
        detail: the value that was seen and its limit, or the document that it repeats.
        excerpt: its first characters.
        size: characters of the text that is lost (0 where none could be read).
    """

    id: str
    source: str
    step: str
    reason: str
    detail: str = ""
    excerpt: str = ""
    size: int = 0
