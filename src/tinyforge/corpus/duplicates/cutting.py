"""Cutting stretches out of a text so that what is left still reads as text."""

from __future__ import annotations

from collections.abc import Sequence

Stretch = tuple[int, int]


def cut(text: str, lines: Sequence[Stretch], passages: Sequence[Stretch]) -> str:
    """A text without some of its lines and passages.

    Args:
        lines: the first letter of each line, and the place after its last; all of the line goes.
        passages: likewise of each passage; the punctuation that clings to it goes with it.
    """
    stretches = [_line(text, *stretch) for stretch in lines]
    stretches += [_passage(text, *stretch) for stretch in passages]
    kept: list[str] = []
    position = 0
    for start, end in sorted(stretches):
        if end <= position:
            continue
        _append(kept, text[position : max(start, position)])
        position = end
    _append(kept, text[position:])
    return "".join(kept)


def _append(kept: list[str], rest: str) -> None:
    """Add what comes after a cut; white space that now meets is not doubled."""
    if not kept:
        rest = rest.lstrip()
    elif kept[-1][-1].isspace():
        rest = rest.lstrip("\n") if kept[-1].endswith("\n") else rest.lstrip(" ")
    if rest:
        kept.append(rest)


def _line(text: str, start: int, end: int) -> Stretch:
    after = text.find("\n", end)
    return text.rfind("\n", 0, start) + 1, len(text) if after < 0 else after + 1


def _passage(text: str, start: int, end: int) -> Stretch:
    while start and not (text[start - 1].isspace() or text[start - 1].isalnum()):
        start -= 1
    while end < len(text) and not (text[end].isspace() or text[end].isalnum()):
        end += 1
    return start, end
