"""Personal data found in a text."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of personal data.

    Attributes:
        start, end: characters ``text[start:end]``.
        kind: ``email``, ``phone``, ``card``, ``iban``, ``ip``, ``key``, ``national_id``, ``name``.
        text: the piece itself.
    """

    start: int
    end: int
    kind: str
    text: str


PRIORITY = ("key", "email", "iban", "card", "national_id", "ip", "phone", "name")
"""Which kind a piece has that several rules found: the rule with the strictest check first."""


def without_overlaps(text: str, spans: Iterable[Span]) -> list[Span]:
    """Spans in order of place; those that overlap become one, of the kind with priority."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, -s.end, PRIORITY.index(s.kind))):
        if not found or span.start >= found[-1].end:
            found.append(span)
            continue
        last = found[-1]
        kind = min(last.kind, span.kind, key=PRIORITY.index)
        end = max(last.end, span.end)
        if (kind, end) != (last.kind, last.end):
            found[-1] = Span(last.start, end, kind, text[last.start : end])
    return found
