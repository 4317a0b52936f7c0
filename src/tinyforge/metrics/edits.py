"""Edits that turn one text into another, character by character."""

from __future__ import annotations

from tinyforge.metrics.words import same_text


def edit_distance(first: str, second: str) -> float:
    """Levenshtein's distance in characters over the longer text's length: 0 equal, 1 all new.

    Runs of white space count as one space, as for exact match. Two empty texts are equal.
    """
    one, other = same_text(first), same_text(second)
    longer = max(len(one), len(other))
    return levenshtein(one, other) / longer if longer else 0.0


def levenshtein(first: str, second: str) -> int:
    """The fewest insertions, deletions and replacements of characters (Levenshtein 1966).

    A column of the table of partial distances is two big integers, one of the places where it
    rises by one and one of those where it falls (Myers 1999, in the form of Hyyrö 2003).
    """
    longer, shorter = (first, second) if len(first) >= len(second) else (second, first)
    if not shorter:
        return len(longer)
    places: dict[str, int] = {}
    for i, character in enumerate(longer):
        places[character] = places.get(character, 0) | 1 << i
    mask = (1 << len(longer)) - 1
    last = 1 << (len(longer) - 1)
    rises, falls, distance = mask, 0, len(longer)
    for character in shorter:
        same = places.get(character, 0)
        vertical = same | falls
        level = (((same & rises) + rises) ^ rises) | same
        up = falls | (mask & ~(level | rises))
        down = rises & level
        if up & last:
            distance += 1
        elif down & last:
            distance -= 1
        up = (up << 1 | 1) & mask
        down = (down << 1) & mask
        rises = down | (mask & ~(vertical | up))
        falls = up & vertical
    return distance
