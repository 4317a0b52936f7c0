"""A row as it was read, and a row that was turned away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """Where a row stands: a file (or a name for data in memory) and its 1-based line or row."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Row:
    """One record of the user's data: column name to value, as the file had it."""

    fields: dict[str, Any]
    source: Source


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that cannot be used.

    Attributes:
        reason: a short fixed phrase, the same for the same fault, so that it can be counted.
        detail: what was seen, if that helps.
        excerpt: the first characters of the row.
    """

    source: Source
    reason: str
    detail: str = ""
    excerpt: str = ""
