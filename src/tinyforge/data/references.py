"""Columns that hold further right answers beside the one that is learnt."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tinyforge.data import names
from tinyforge.data.names import plain

_NUMBERED = re.compile(r"(?P<stem>.*[^\d_])_?(?P<number>\d+)")
_STEMS = frozenset((*names.ANSWERS, "human", "gold", "simplification"))
LISTS = ("references", "refs")
"""Names of columns that hold all right answers, usually as a list."""


def numbered(columns: Iterable[str]) -> dict[str, list[str]]:
    """First answer column -> the others of the same name with other numbers, in order.

    ``answer1, answer2``, ``ref_0, ref_1, ref_2``, or ``target, target2``: the numbers begin with
    0 or 1, or stand beside the bare name, and follow each other.
    """
    found: dict[str, dict[int, str]] = {}
    for column in columns:
        matched = _NUMBERED.fullmatch(plain(column))
        stem = matched["stem"] if matched else plain(column)
        if stem in _STEMS:
            number = int(matched["number"]) if matched else -1
            found.setdefault(stem, {}).setdefault(number, column)
    families = {}
    for family in found.values():
        order = sorted(family)
        numbers = [number for number in order if number >= 0]
        follows = (
            numbers == list(range(numbers[0], numbers[0] + len(numbers))) if numbers else False
        )
        begins = numbers and numbers[0] <= (1 if order[0] >= 0 else 2)
        if len(order) > 1 and follows and begins:
            families[family[order[0]]] = [family[number] for number in order[1:]]
    return families


def listed(columns: Iterable[str], output: str | None) -> str | None:
    """A column of further references beside another answer column; None where there is none.

    Args:
        output: the column that the user named as output.
    """
    known = {plain(column): column for column in columns}
    column = next((known[name] for name in LISTS if name in known), None)
    if column is None or column == output:
        return None
    others = {plain(output)} if output else set(known) & set(names.ANSWERS) - set(LISTS)
    return column if others else None


def reference_roles(
    output: str | None, families: Mapping[str, list[str]], more: str | None
) -> dict[str, str]:
    """Parts ``reference2``, ``reference3``, ... for the columns beside the output."""
    if output is None:
        return {}
    columns = [*families.get(output, ()), *([more] if more else [])]
    return {f"reference{number}": column for number, column in enumerate(columns, start=2)}
