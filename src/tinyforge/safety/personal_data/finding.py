"""Find personal data: cheap gates over the whole text, then rules where something can stand."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from tinyforge.safety.personal_data import addresses, keys, numbers
from tinyforge.safety.personal_data.spans import Span, without_overlaps

KINDS = ("email", "phone", "card", "iban", "ip", "key", "national_id")
"""What rules find. Names, street addresses, dates and places need a model."""

_DIGIT_RULES = {
    # kind: (rule, digits that a window needs)
    "card": (numbers.cards, 12),
    "iban": (numbers.ibans, 10),
    "national_id": (numbers.national_ids, 7),
    "ip": (numbers.ipv4, 5),
    "phone": (numbers.phones, 7),
}
_DIGIT_DISTANCE = 8  # between digits that can belong to one number: letters of an IBAN
_COLON_DISTANCE = 5
_COLONS = 3  # fewer stand in times and in programs
_MARGIN = 48


def find(text: str, kinds: Collection[str] = KINDS) -> list[Span]:
    """Personal data in a text, by rules with checksums where the numbers have them.

    Args:
        text: any text; a part of a stream too, so long as a number does not lie across its end.
        kinds: those to look for, out of ``KINDS``.

    Returns:
        Spans in order, none overlapping.
    """
    places = _candidates(text, kinds)
    spans = [Span(start, end, kind, text[start:end]) for kind, start, end in places]
    return without_overlaps(text, spans)


def _candidates(text: str, kinds: Collection[str]) -> Iterator[tuple[str, int, int]]:
    if "email" in kinds:
        for start, end in addresses.emails(text):
            yield "email", start, end
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    digits = np.flatnonzero(codes - np.uint32(48) < 10)
    for begin, stop, count in _windows(digits, _DIGIT_DISTANCE, 5, len(text)):
        for kind, (rule, least) in _DIGIT_RULES.items():
            if count >= least and kind in kinds:
                for start, end in rule(text, begin, stop):
                    yield kind, start, end
    if "ip" in kinds and text.count(":") >= _COLONS:
        colons = np.flatnonzero(codes == 58)
        for begin, stop, _ in _windows(colons, _COLON_DISTANCE, _COLONS, len(text)):
            for start, end in addresses.ipv6(text, begin, stop):
                yield "ip", start, end
    if "key" in kinds:
        for start, end in keys.private_keys(text):
            yield "key", start, end
        for begin, stop in _long_words(codes, digits):
            for start, end in keys.keys(text, begin, stop):
                yield "key", start, end


def _windows(
    places: NDArray[np.int64], distance: int, least: int, size: int
) -> Iterator[tuple[int, int, int]]:
    """Stretches in which places lie close together, with a margin; those that touch are one.

    Yields:
        begin, stop, and the places of the largest group within.
    """
    if len(places) < least:
        return
    breaks = np.flatnonzero(places[1:] - places[:-1] > distance) + 1
    edges = np.concatenate(([0], breaks, [len(places)]))
    firsts = edges[:-1]
    counts = edges[1:] - firsts
    enough = counts >= least
    begins = places[firsts[enough]].tolist()
    stops = places[(firsts + counts - 1)[enough]].tolist()
    begin, stop, held = 0, -1, 0
    for start, end, count in zip(begins, stops, counts[enough].tolist(), strict=True):
        if start - _MARGIN <= stop:
            stop, held = end + _MARGIN, max(held, count)
            continue
        if held > 0:
            yield begin, min(stop, size), held
        begin, stop, held = max(0, start - _MARGIN), end + _MARGIN, count
    if held > 0:
        yield begin, min(stop, size), held


def _long_words(codes: NDArray[np.uint32], digits: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Stretches of visible ASCII characters, digits among them, long enough for a secret."""
    outside = np.flatnonzero(codes - np.uint32(33) > 93)
    edges = np.concatenate(([-1], outside, [len(codes)]))
    long = np.flatnonzero(edges[1:] - edges[:-1] > keys.LEAST_LENGTH)
    starts, ends = edges[long] + 1, edges[long + 1]
    mixed = np.searchsorted(digits, starts) < np.searchsorted(digits, ends)
    yield from zip(starts[mixed].tolist(), ends[mixed].tolist(), strict=True)
